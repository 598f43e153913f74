/* SPDX-License-Identifier: Apache-2.0
 *
 * The chat: lines from libedit, commands, turns.
 */
#include "chat.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history_file.h"
#include "interrupt.h"
#include "output.h"

struct chat {
    struct generator *generator;
    const struct dialogue *dialogue;
    EditLine *editor;
    History *history;
    char *saved;      /* the history's file, or NULL */
    int unsaved;      /* errno of the last line, where it could not be saved */
    bool continued;   /* the line goes on a message */
    bool interrupted; /* Ctrl-C while typing */
};

/* ---- lines ------------------------------------------------------------------------------ */

static struct chat *chat_of(EditLine *editor) {
    void *data = NULL;
    el_get(editor, EL_CLIENTDATA, &data);
    return data;
}

static char *prompt(EditLine *editor) {
    static char first[] = "> ", next[] = ". ";
    return chat_of(editor)->continued ? next : first;
}

/* Ctrl-C while typing gives the line up. */
static unsigned char cancel_line(EditLine *editor, int key) {
    (void)key;
    chat_of(editor)->interrupted = true;
    fputs("^C\n", stderr);
    return CC_NEWLINE;
}

/* While typing the terminal sends no signals; this one is wanted all the same. */
static unsigned char suspend(EditLine *editor, int key) {
    (void)editor, (void)key;
    raise(SIGTSTP);
    return CC_REDISPLAY;
}

static bool editor_open(struct chat *chat) {
    /* The editor decodes keys by the locale; in the C locale it would refuse what is not ASCII. */
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
    chat->editor = el_init("quern", stdin, stderr, stderr);
    chat->history = history_file_list();
    if (chat->editor == NULL || chat->history == NULL) {
        out_error("cannot edit lines on this terminal");
        return false;
    }
    el_set(chat->editor, EL_CLIENTDATA, chat);
    el_set(chat->editor, EL_PROMPT, prompt);
    el_set(chat->editor, EL_EDITOR, "emacs");
    el_set(chat->editor, EL_SIGNAL, 1);
    el_set(chat->editor, EL_HIST, history, chat->history);
    el_set(chat->editor, EL_ADDFN, "quern-cancel-line", "give the line up", cancel_line);
    el_set(chat->editor, EL_BIND, "^C", "quern-cancel-line", NULL);
    el_set(chat->editor, EL_ADDFN, "quern-suspend", "stop the program", suspend);
    el_set(chat->editor, EL_BIND, "^Z", "quern-suspend", NULL);
    el_set(chat->editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(chat->editor, EL_SETTY, "-d", "-isig", NULL); /* Ctrl-C comes as a key */
    HistEvent event;
    if (chat->saved != NULL) history(chat->history, &event, H_LOAD, chat->saved);
    return true;
}

/* Saved at once: a closed terminal ends the program. What failed is told at the end. */
static void remember(struct chat *chat, const char *message) {
    HistEvent event;
    history(chat->history, &event, H_ENTER, message);
    if (chat->saved != NULL) chat->unsaved = history_file_append(chat->saved, message);
}

static void editor_close(struct chat *chat) {
    if (chat->unsaved != 0 && !chat->generator->args.quiet)
        out_error("cannot save the history in %s: %s", chat->saved, strerror(chat->unsaved));
    if (chat->history != NULL) history_end(chat->history);
    if (chat->editor != NULL) el_end(chat->editor);
}

enum line { LINE_READ, LINE_GIVEN_UP, LINE_END };

/* One line, without its newline. A signal that another program sends gives it up like Ctrl-C. */
static enum line read_line(struct chat *chat, const char **line, size_t *size) {
    int n = 0;
    chat->interrupted = false;
    *line = el_gets(chat->editor, &n);
    if (*line == NULL && n < 0 && errno == EINTR) {
        fputc('\n', stderr);
        return LINE_GIVEN_UP;
    }
    if (chat->interrupted) return LINE_GIVEN_UP;
    if (*line == NULL || n <= 0) return LINE_END;
    *size = strcspn(*line, "\n");
    return LINE_READ;
}

/* A message: lines as long as they end with a backslash. Allocated. */
static enum line read_message(struct chat *chat, char **message) {
    char *text = NULL;
    size_t length = 0;
    enum line result;
    for (chat->continued = false;; chat->continued = true) {
        const char *line;
        size_t size;
        result = read_line(chat, &line, &size);
        if (result != LINE_READ) break;
        char *longer = realloc(text, length + size + 2);
        if (longer == NULL) {
            out_error("no memory for the message");
            result = LINE_GIVEN_UP;
            break;
        }
        text = longer;
        memcpy(text + length, line, size);
        length += size;
        const bool more = size > 0 && line[size - 1] == '\\';
        if (more) text[length - 1] = '\n';
        text[length] = '\0';
        if (!more) break;
    }
    if (result != LINE_READ) free(text);
    *message = result == LINE_READ ? text : NULL;
    return result;
}

/* ---- turns ------------------------------------------------------------------------------ */

static bool answer(struct chat *chat) {
    struct generator *const g = chat->generator;
    interrupt_catch(false); /* forgets one that came while typing */
    const enum answer result = generator_answer(g);
    switch (result) {
    case ANSWER_FAILED:
        return false;
    case ANSWER_TOO_LONG:
        out_error("the conversation would have %zu tokens, the context holds %d; /clear starts "
                  "anew",
                  (size_t)quern_session_length(g->session, 0) + g->pending.n, g->n_ctx);
        break;
    case ANSWER_FULL:
        out_error("the context of %d tokens is full; /clear starts anew", g->n_ctx);
        break;
    case ANSWER_CANCELLED:
        fputs("(stopped before the answer began)\n", stderr);
        break;
    case ANSWER_STOPPED:
        fputs("(stopped)\n", stderr);
        break;
    case ANSWER_ENDED:
    case ANSWER_LIMIT:
        break;
    }
    return true;
}

/* A turn that could not begin leaves the conversation as it was. */
static bool turn(struct chat *chat, const char *message) {
    struct generator *const g = chat->generator;
    const size_t before = g->pending.n;
    const int start = quern_session_length(g->session, 0);
    const bool first = start == 0 && before == 0;
    if (!dialogue_append(chat->dialogue, first, message, strlen(message), &g->pending)) {
        g->pending.n = before;
        return false;
    }
    if (g->pending.n == 0) return true; /* nothing but white space that has no token */
    const bool done = answer(chat);
    if (quern_session_length(g->session, 0) == start) g->pending.n = before;
    return done;
}

/* ---- commands --------------------------------------------------------------------------- */

enum after { AFTER_GO_ON, AFTER_LEAVE, AFTER_FAILURE };

static enum after command_exit(struct chat *chat) {
    (void)chat;
    return AFTER_LEAVE;
}

static enum after command_clear(struct chat *chat) {
    generator_clear(chat->generator);
    fputs("(the conversation is forgotten)\n", stderr);
    return AFTER_GO_ON;
}

static enum after command_regen(struct chat *chat) {
    if (generator_retract(chat->generator)) return answer(chat) ? AFTER_GO_ON : AFTER_FAILURE;
    fputs("(there is no answer yet)\n", stderr);
    return AFTER_GO_ON;
}

static enum after command_help(struct chat *chat);

static const struct {
    const char *name, *summary;
    enum after (*run)(struct chat *chat);
} commands[] = {
    {"/regen", "answer the last message anew", command_regen},
    {"/clear", "forget the conversation", command_clear},
    {"/help", "this list", command_help},
    {"/exit", "leave (or Ctrl-D)", command_exit},
};

static enum after command_help(struct chat *chat) {
    (void)chat;
    for (size_t i = 0; i < COUNT(commands); i++)
        fprintf(stderr, "  %-8s %s\n", commands[i].name, commands[i].summary);
    fputs("  Ctrl-C   stop the answer, or give up the line\n"
          "  A line that ends with \\ goes on in the next one.\n",
          stderr);
    return AFTER_GO_ON;
}

/* Blanks behind it are cut off. */
static enum after run_command(struct chat *chat, char *line) {
    const char *names[COUNT(commands) + 1] = {NULL};
    size_t size = strlen(line);
    while (strchr(" \t\n", line[size - 1]) != NULL) size--;
    line[size] = '\0';
    for (size_t i = 0; i < COUNT(commands); i++) {
        if (strcmp(line, commands[i].name) == 0) return commands[i].run(chat);
        names[i] = commands[i].name;
    }
    const char *suggestion = args_suggest(line, names);
    if (suggestion != NULL)
        fprintf(stderr, "unknown command %s; did you mean %s?\n", line, suggestion);
    else
        fprintf(stderr, "unknown command %s; /help lists them\n", line);
    return AFTER_GO_ON;
}

/* ---- the chat --------------------------------------------------------------------------- */

static void greet(const struct chat *chat) {
    struct quern_model_info info;
    quern_model_info(chat->generator->model, &info);
    out_text(info.name, strlen(info.name), stderr);
    fprintf(stderr, ", %s, %s, %d thread%s, context %d. /help lists commands.\n", info.type,
            info.isa, info.n_threads, info.n_threads == 1 ? "" : "s", chat->generator->n_ctx);
    if (chat->dialogue->switched_off)
        fputs("Without the chat format (--raw): the model goes on with your text.\n", stderr);
    else if (!chat->dialogue->framed)
        fputs("This model has no ChatML format: it goes on with your text.\n", stderr);
}

static enum after handle(struct chat *chat, char *message) {
    if (message[strspn(message, " \t\n")] == '\0') return AFTER_GO_ON;
    remember(chat, message);
    if (*message == '/') return run_command(chat, message);
    return turn(chat, message) ? AFTER_GO_ON : AFTER_FAILURE;
}

static enum after converse(struct chat *chat) {
    enum after after = AFTER_GO_ON;
    while (after == AFTER_GO_ON) {
        char *message;
        const enum line line = read_message(chat, &message);
        if (line == LINE_END) {
            fputc('\n', stderr);
            return AFTER_LEAVE;
        }
        if (line == LINE_READ) after = handle(chat, message);
        free(message);
    }
    return after;
}

int chat_run(struct generator *generator, const struct dialogue *dialogue) {
    struct chat chat = {.generator = generator, .dialogue = dialogue, .saved = history_file_path()};
    enum after after = AFTER_FAILURE;
    /* The terminal turns Ctrl-C into a signal except while the editor reads, and between two lines
     * there is a moment when it does not: no signal may end the chat. */
    interrupt_catch(false);
    if (editor_open(&chat)) {
        if (!generator->args.quiet) greet(&chat);
        after = converse(&chat);
    }
    editor_close(&chat);
    interrupt_release();
    free(chat.saved);
    return after == AFTER_LEAVE ? EXIT_DONE : EXIT_FAILED;
}
