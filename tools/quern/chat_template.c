/* SPDX-License-Identifier: Apache-2.0 */
#include "chat_template.h"

#include <stdlib.h>
#include <string.h>

/* A template is a program that prints frames. It is not run, but read through once, for the frame
 * of a system message that it would print for a conversation without one, and without tools and
 * documents: in a string literal, or as text between tags. */
enum truth { FAILS, UNKNOWN, HOLDS };
enum { NESTED_MAX = 32 };

struct template {
    const char *at, *end;
    struct branch {
        enum truth taken, before; /* it; one of those before it, or it */
    } branches[NESTED_MAX];       /* around `at` */
    int n_branches;
    char *system; /* found, or NULL */
    bool missed;  /* there is one, but not as text alone */
};

/* Of a condition; the first of these that it has decides. */
static enum truth truth_of(const char *text, size_t size) {
    static const struct {
        const char *part;
        enum truth truth;
    } parts[] = {{"== 'system'", FAILS},
                 {"== \"system\"", FAILS},
                 {"=='system'", FAILS},
                 {"==\"system\"", FAILS},
                 {"not tools", HOLDS},
                 {"tools is none", HOLDS},
                 {"tools is not defined", HOLDS},
                 {"not documents", HOLDS},
                 {"documents is none", HOLDS},
                 {"documents is not defined", HOLDS},
                 {"tools", FAILS},
                 {"documents", FAILS},
                 {"!= 'system'", HOLDS},
                 {"!= \"system\"", HOLDS},
                 {"!='system'", HOLDS},
                 {"!=\"system\"", HOLDS}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (memmem(text, size, parts[i].part, strlen(parts[i].part)) != NULL) return parts[i].truth;
    return UNKNOWN;
}

/* Of all branches around: one that fails decides, then one that is not known. */
static enum truth here(const struct template *t) {
    enum truth truth = HOLDS;
    for (int i = 0; i < t->n_branches; i++)
        if (t->branches[i].taken < truth) truth = t->branches[i].taken;
    return truth;
}

/* The text of a literal; NULL where it has an escape of another kind, or there is no memory. */
static char *unescape(const char *text, size_t size) {
    static const char letters[] = "nt'\"\\", meanings[] = "\n\t'\"\\";
    char *const out = malloc(size + 1);
    size_t n = 0;
    for (size_t i = 0; out != NULL && i < size; i++) {
        out[n] = text[i];
        if (text[i] == '\\') {
            const char *const letter = i + 1 < size ? strchr(letters, text[++i]) : NULL;
            if (letter == NULL) {
                free(out);
                return NULL;
            }
            out[n] = meanings[letter - letters];
        }
        n++;
    }
    if (out != NULL) out[n] = '\0';
    return out;
}

/* Text that the template prints, a literal or not. */
static void look_for_frame(struct template *t, const char *text, size_t size, bool literal) {
    static const char start[] = CHATML_OPEN "system";
    const char *const hit = memmem(text, size, start, sizeof start - 1), *const end = text + size;
    const enum truth truth = here(t);
    if (hit == NULL || truth == FAILS || t->system != NULL) return;
    const char *at = hit + sizeof start - 1;
    if (at < end && *at == '\n')
        at++;
    else if (literal && end - at >= 2 && memcmp(at, "\\n", 2) == 0)
        at += 2;
    else
        return;
    const char *const close = memmem(at, (size_t)(end - at), CHATML_CLOSE, sizeof CHATML_CLOSE - 1);
    const size_t length = close != NULL ? (size_t)(close - at) : 0;
    if (length > 0) t->system = literal ? unescape(at, length) : strndup(at, length);
    if (t->system == NULL && truth == HOLDS) t->missed = true;
}

/* A branch is taken where none before it was. */
static void next_branch(struct branch *branch, enum truth truth) {
    const enum truth left = HOLDS - branch->before;
    branch->taken = truth < left ? truth : left;
    if (branch->before < truth) branch->before = truth;
}

/* if, elif, else, endif: text[size] is what stands between {% and %}. */
static void enter(struct template *t, const char *text, size_t size) {
    static const char blanks[] = "-+ \t\r\n";
    while (size > 0 && strchr(blanks, *text) != NULL) text++, size--;
    size_t word = 0;
    while (word < size && strchr(blanks, text[word]) == NULL) word++;
    struct branch *const last = t->n_branches > 0 ? &t->branches[t->n_branches - 1] : NULL;
    const enum truth truth = truth_of(text + word, size - word);
    if (word == 2 && memcmp(text, "if", 2) == 0 && t->n_branches < NESTED_MAX)
        t->branches[t->n_branches++] = (struct branch){truth, truth};
    else if (word == 5 && memcmp(text, "endif", 5) == 0 && last != NULL)
        t->n_branches--;
    else if (word == 4 && memcmp(text, "else", 4) == 0 && last != NULL)
        next_branch(last, HOLDS);
    else if (word == 4 && memcmp(text, "elif", 4) == 0 && last != NULL)
        next_branch(last, truth);
}

/* At {{ or {%: goes behind the closing braces, and looks at literals on the way. */
static void read_tag(struct template *t) {
    const char *const inner = t->at + 2;
    const char close = t->at[1] == '%' ? '%' : '}';
    const char *p = inner;
    while (p < t->end && !(t->end - p >= 2 && p[0] == close && p[1] == '}')) {
        const char quote = *p++;
        if (quote != '\'' && quote != '"') continue;
        const char *const text = p;
        while (p < t->end && *p != quote) p += *p == '\\' && t->end - p > 1 ? 2 : 1;
        look_for_frame(t, text, (size_t)(p - text), true);
        if (p < t->end) p++;
    }
    if (close == '%') enter(t, inner, (size_t)(p - inner));
    t->at = t->end - p >= 2 ? p + 2 : t->end;
}

/* Text up to the next tag or comment. */
static void read_text(struct template *t) {
    const char *p = t->at;
    while (p < t->end && !(*p == '{' && t->end - p > 1 && strchr("{%#", p[1]) != NULL)) p++;
    look_for_frame(t, t->at, (size_t)(p - t->at), false);
    t->at = p;
}

char *chat_template_system(const char *chat_template, bool *missed) {
    struct template t = {.at = chat_template, .end = chat_template + strlen(chat_template)};
    while (t.at < t.end && t.system == NULL) {
        read_text(&t);
        if (t.at == t.end) break;
        if (t.at[1] == '#') {
            const char *const close = strstr(t.at, "#}");
            t.at = close != NULL ? close + 2 : t.end;
        } else {
            read_tag(&t);
        }
    }
    *missed = t.missed && t.system == NULL;
    return t.system;
}
