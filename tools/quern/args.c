/* SPDX-License-Identifier: Apache-2.0
 *
 * The parser of command lines.
 */
#include "args.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

enum args_result { ARGS_OK, ARGS_HELP, ARGS_WRONG };

struct parser {
    const struct command *command;
    int argc, next;
    char **argv;
};

/* A name of an option as it was written: "--temp" of "--temp=0.5". */
struct word {
    const char *text;
    size_t size;
};

static bool word_is(struct word word, const char *text, size_t size) {
    return word.size == size && memcmp(word.text, text, size) == 0;
}

/* ---- suggestions ------------------------------------------------------------------------ */

enum { MAX_WORD = 32 };

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b; longer words
 * are not compared. */
static size_t distance(const char *a, const char *b) {
    const size_t n = strlen(a), m = strlen(b);
    if (n > MAX_WORD || m > MAX_WORD) return SIZE_MAX;
    size_t rows[MAX_WORD + 1][MAX_WORD + 1];
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = 0; j <= m; j++) {
            size_t best = i == 0 ? j : j == 0 ? i : rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (i > 0 && rows[i - 1][j] + 1 < best) best = rows[i - 1][j] + 1;
            if (j > 0 && rows[i][j - 1] + 1 < best) best = rows[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                rows[i - 2][j - 2] + 1 < best)
                best = rows[i - 2][j - 2] + 1;
            rows[i][j] = best;
        }
    }
    return rows[n][m];
}

const char *args_suggest(const char *word, const char *const *candidates) {
    const size_t length = strlen(word);
    size_t nearest = length < 5 ? 1 : 2; /* a third of a short word would match anything */
    const char *best = NULL;
    for (; *candidates != NULL; candidates++) {
        const size_t d = distance(word, *candidates);
        if (d > nearest || (best != NULL && d == nearest)) continue;
        nearest = d;
        best = *candidates;
    }
    return best;
}

/* ---- looking options up ----------------------------------------------------------------- */

/* Calls visit for every name of every option until it returns true. */
typedef bool name_visitor(void *context, const struct option *option, void *target,
                          struct word name);

static bool visit_names(const struct option *option, void *target, name_visitor *visit,
                        void *context) {
    const char *start = option->names;
    for (;;) {
        const size_t size = strcspn(start, ",");
        if (visit(context, option, target, (struct word){start, size})) return true;
        if (start[size] == '\0') return false;
        start += size + strspn(start + size, ", ");
    }
}

static bool visit_options(const struct command *command, name_visitor *visit, void *context) {
    for (size_t g = 0; g < command->n_groups; g++) {
        const struct option_group *const group = &command->groups[g];
        for (size_t i = 0; i < group->n_options; i++)
            if (visit_names(&group->options[i], group->target, visit, context)) return true;
    }
    return false;
}

struct lookup {
    struct word wanted;
    const struct option *option;
    void *field;
};

static bool lookup_visit(void *context, const struct option *option, void *target,
                         struct word name) {
    struct lookup *const lookup = context;
    if (!word_is(lookup->wanted, name.text, name.size)) return false;
    lookup->option = option;
    lookup->field = (char *)target + option->offset;
    return true;
}

enum { MAX_NAMES = 96 };

struct name_list {
    char storage[MAX_NAMES][MAX_WORD + 1];
    const char *names[MAX_NAMES + 1];
    size_t n;
};

static void name_list_add(struct name_list *list, struct word name) {
    if (list->n == MAX_NAMES || name.size > MAX_WORD) return;
    memcpy(list->storage[list->n], name.text, name.size);
    list->storage[list->n][name.size] = '\0';
    list->names[list->n] = list->storage[list->n];
    list->names[++list->n] = NULL;
}

static bool name_list_visit(void *context, const struct option *option, void *target,
                            struct word name) {
    (void)option, (void)target;
    name_list_add(context, name);
    return false;
}

static enum args_result unknown_option(const struct command *command, struct word word) {
    static const struct word always[] = {{"--help", 6}};
    struct name_list list = {.n = 0};
    name_list_add(&list, always[0]);
    visit_options(command, name_list_visit, &list);
    char written[MAX_WORD + 1] = "";
    if (word.size <= MAX_WORD) memcpy(written, word.text, word.size);
    const char *suggestion = args_suggest(written, list.names);
    if (suggestion != NULL)
        out_error("unknown option %.*s; did you mean %s?", (int)word.size, word.text, suggestion);
    else
        out_error("unknown option %.*s (see 'quern %s --help')", (int)word.size, word.text,
                  command->name);
    return ARGS_WRONG;
}

/* ---- values ----------------------------------------------------------------------------- */

static bool parse_number(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out);
}

static bool parse_int(const struct option *option, const char *text, int *out) {
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (errno != 0 || *text == '\0' || *end != '\0' || text[strspn(text, "-0123456789")] != '\0' ||
        (double)value < option->min || (double)value > option->max)
        return false;
    *out = (int)value;
    return true;
}

static bool parse_float(const struct option *option, const char *text, float *out) {
    double value;
    if (!parse_number(text, &value) || value < option->min || value > option->max) return false;
    *out = (float)value;
    return true;
}

/* -1 asks for a random seed, as does leaving the option out. */
static bool parse_seed(const char *text, struct seed *seed) {
    seed->given = false;
    if (strcmp(text, "-1") == 0) return true;
    if (*text == '\0' || text[strspn(text, "0123456789")] != '\0') return false;
    errno = 0;
    seed->value = strtoull(text, NULL, 10);
    seed->given = true;
    return errno == 0;
}

static bool parse_choice(const struct option *option, const char *text, const char **out) {
    if (!qn_is_choice(text, strlen(text), option->value)) return false;
    *out = text;
    return true;
}

static bool parse_value(const struct option *option, const char *text, void *field) {
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)field = !option->negated;
        return true;
    case OPTION_INT:
        return parse_int(option, text, field);
    case OPTION_INTS:
        return qn_int_list_add(text, (int)option->min, (int)option->max, field);
    case OPTION_PAIR:
        return qn_pair_list_add(text, (int)option->min, (int)option->max, field);
    case OPTION_WORDS:
        return qn_word_list_add(text, option->value, field);
    case OPTION_FLOAT:
        return parse_float(option, text, field);
    case OPTION_SEED:
        return parse_seed(text, field);
    case OPTION_TEXT:
    case OPTION_MAYBE:
        *(const char **)field = text;
        return true;
    case OPTION_CHOICE:
        return parse_choice(option, text, field);
    }
    return false;
}

static enum args_result wrong_value(const struct option *option, struct word name,
                                    const char *text) {
    const int size = (int)name.size;
    switch (option->kind) {
    case OPTION_INT:
        out_error("option %.*s needs a whole number from %.0f to %.0f, found '%s'", size, name.text,
                  option->min, option->max, text);
        break;
    case OPTION_INTS:
        out_error("option %.*s needs up to %d whole numbers from %.0f to %.0f as 1,2 or 1-8 or "
                  "64-512+64 or 1-8*2, found '%s'",
                  size, name.text, QN_INT_LIST_CAPACITY, option->min, option->max, text);
        break;
    case OPTION_PAIR:
        out_error("option %.*s needs two whole numbers from %.0f to %.0f with a comma between, at "
                  "most %d times, found '%s'",
                  size, name.text, option->min, option->max, QN_PAIR_LIST_CAPACITY, text);
        break;
    case OPTION_WORDS:
        out_error("option %.*s needs some of %s with commas between, found '%s'", size, name.text,
                  option->value, text);
        break;
    case OPTION_FLOAT:
        out_error("option %.*s needs a number from %g to %g, found '%s'", size, name.text,
                  option->min, option->max, text);
        break;
    case OPTION_SEED:
        out_error("option %.*s needs a whole number from 0 to 18446744073709551615, or -1 for a "
                  "random one, found '%s'",
                  size, name.text, text);
        break;
    default:
        out_error("option %.*s needs one of %s, found '%s'", size, name.text, option->value, text);
    }
    return ARGS_WRONG;
}

/* ---- the command line ------------------------------------------------------------------- */

static enum args_result parse_option(struct parser *parser, const char *argument) {
    const bool assigned = strncmp(argument, "--", 2) == 0 && strchr(argument, '=') != NULL;
    const struct word name = {argument, assigned ? strcspn(argument, "=") : strlen(argument)};
    if (word_is(name, "-h", 2) || word_is(name, "--help", 6)) {
        args_print_help(parser->command);
        return ARGS_HELP;
    }
    struct lookup lookup = {.wanted = name};
    if (!visit_options(parser->command, lookup_visit, &lookup))
        return unknown_option(parser->command, name);

    const char *value = NULL;
    if (lookup.option->kind == OPTION_FLAG) {
        if (assigned) {
            out_error("option %.*s takes no value, found '%s'", (int)name.size, name.text,
                      argument + name.size + 1);
            return ARGS_WRONG;
        }
    } else if (lookup.option->kind == OPTION_MAYBE) {
        value = assigned ? argument + name.size + 1 : "";
    } else if (assigned) {
        value = argument + name.size + 1;
    } else if (parser->next < parser->argc) {
        value = parser->argv[parser->next++];
    } else {
        out_error("option %s needs a value: %s", argument, lookup.option->value);
        return ARGS_WRONG;
    }
    if (parse_value(lookup.option, value, lookup.field)) return ARGS_OK;
    return wrong_value(lookup.option, name, value);
}

static enum args_result place_positionals(const struct command *command, char **found, int n) {
    size_t slot = 0;
    for (int i = 0; i < n; i++) {
        while (slot < command->n_positionals && *command->positionals[slot].target != NULL) slot++;
        if (slot == command->n_positionals) {
            out_error("unexpected argument '%s' (see 'quern %s --help')", found[i], command->name);
            return ARGS_WRONG;
        }
        *command->positionals[slot].target = found[i];
    }
    return ARGS_OK;
}

static enum args_result parse_all(const struct command *command, int argc, char **argv) {
    struct parser parser = {.command = command, .argc = argc, .next = 1, .argv = argv};
    int n_found = 0; /* positionals are gathered at the front of argv, where all has been read */
    bool options = true;
    while (parser.next < argc) {
        char *argument = argv[parser.next++];
        if (!options || argument[0] != '-' || argument[1] == '\0') {
            argv[n_found++] = argument;
        } else if (strcmp(argument, "--") == 0) {
            options = false;
        } else {
            const enum args_result result = parse_option(&parser, argument);
            if (result != ARGS_OK) return result;
        }
    }
    return place_positionals(command, argv, n_found);
}

bool args_parse(const struct command *command, int argc, char **argv, int *status) {
    const enum args_result result = parse_all(command, argc, argv);
    *status = result == ARGS_WRONG ? EXIT_WRONG_USAGE : EXIT_DONE;
    return result == ARGS_OK;
}
