/* SPDX-License-Identifier: Apache-2.0
 *
 * Translation of patterns and the walk over matches.
 */
#include "text/regex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "text/unicode.h"

struct qn_regex {
    pcre2_code *code;
};

enum { PATTERN_MAX = 1 << 16 }; /* real ones have up to some 2 KB */
/* Characters that an item may run over before it fails, which no budget sees: the least number of
 * a repetition, and how far a look-behind looks. Real ones have up to some ten. */
enum { UNSEEN_MAX = 1000 };

/* ---- translation --------------------------------------------------------------------------- */

/* PCRE2's own \s has U+180E and its \w lacks marks, so classes are spelled out. Oniguruma's words
 * have the superscripts and fractions of Latin-1, but no others, and not within a class. */
#define WORD_MEMBERS "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define WORD_ALL     WORD_MEMBERS "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}"
#define WORD         "[" WORD_ALL "]"
#define SPACE        "\\p{White_Space}"
#define NOT_SPACE    "\\P{White_Space}"

static const struct escape {
    char letter;
    const char *inside, *outside; /* of a character class; NULL: refused there */
} escapes[] = {
    {'s', SPACE, SPACE},
    {'S', NOT_SPACE, NOT_SPACE},
    {'w', WORD_MEMBERS, WORD},
    {'W', NULL, "[^" WORD_ALL "]"},
    {'d', "\\p{Nd}", "\\p{Nd}"},
    {'D', "\\P{Nd}", "\\P{Nd}"},
    {'b', "\\x08", "(?:(?<=" WORD ")(?!" WORD ")|(?<!" WORD ")(?=" WORD "))"},
    {'B', NULL, "(?:(?<=" WORD ")(?=" WORD ")|(?<!" WORD ")(?!" WORD "))"},
    {'h', "0-9a-fA-F", "[0-9a-fA-F]"},
    {'H', NULL, "[^0-9a-fA-F]"},
};
/* [:name:], which within PCRE2's classes would be general categories. */
static const struct posix_class {
    const char *name, *members;
} posix_classes[] = {
    {"alpha", "\\p{Alphabetic}"}, {"digit", "\\p{Nd}"},        {"alnum", "\\p{Alphabetic}\\p{Nd}"},
    {"upper", "\\p{Uppercase}"},  {"lower", "\\p{Lowercase}"}, {"space", SPACE},
    {"word", WORD_MEMBERS},       {"xdigit", "0-9a-fA-F"},     {"cntrl", "\\p{Cc}"},
};

/* Letters whose escapes mean the same in both. */
static const char same_escapes[] = "xtnrfaeAzZvRX";

/* Properties of which PCRE2's tables lack the youngest characters, and our classes for those. */
static const struct property {
    const char *name;
    unsigned class;
} properties[] = {
    {"L", QN_CHAR_LETTER}, {"Alphabetic", QN_CHAR_LETTER}, {"Lu", QN_CHAR_UPPER},
    {"Ll", QN_CHAR_LOWER}, {"Lo", QN_CHAR_UNCASED},        {"M", QN_CHAR_MARK},
    {"N", QN_CHAR_NUMBER}, {"Nd", QN_CHAR_NUMBER},         {"P", QN_CHAR_PUNCTUATION},
    {"S", QN_CHAR_SYMBOL},
};

struct translation {
    const char *at, *end;
    struct qn_bytes out;
    bool inside; /* a character class */
    int nested;  /* classes within it, of which it is the union */
};

static enum qn_status put(struct translation *t, const char *text, size_t size,
                          struct qn_error *err) {
    QN_TRY(qn_bytes_reserve(&t->out, size, err));
    memcpy(t->out.data + t->out.size, text, size);
    t->out.size += size;
    return QN_OK;
}

static enum qn_status refuse(const char *what, struct qn_error *err) {
    return qn_fail(err, QN_UNSUPPORTED, "a pattern has %s, which is not supported", what);
}

static bool is_one_of(char c, const char *set) {
    return c != '\0' && strchr(set, c) != NULL;
}

static enum qn_status put_younger(struct translation *t, unsigned class, struct qn_error *err) {
    size_t n;
    const struct qn_class_range *ranges = qn_unicode_after_pcre2(&n);
    for (size_t i = 0; i < n; i++) {
        if ((ranges[i].class & class) == 0) continue;
        char text[32];
        const int size = snprintf(text, sizeof text, "\\x{%X}-\\x{%X}", (unsigned)ranges[i].first,
                                  (unsigned)ranges[i].last);
        QN_TRY(put(t, text, (size_t)size, err));
    }
    return QN_OK;
}

static unsigned class_of(struct qn_text name) {
    for (size_t i = 0; i < sizeof properties / sizeof *properties; i++) {
        if (strlen(properties[i].name) == name.size &&
            memcmp(properties[i].name, name.data, name.size) == 0) {
            return properties[i].class;
        }
    }
    return 0;
}

/* Whether PCRE2 has a script of this name. */
static bool is_script(struct qn_text name) {
    char text[64];
    int code;
    size_t at;
    if (name.size > 40) return false;
    const int size = snprintf(text, sizeof text, "\\p{sc:%.*s}", (int)name.size, name.data);
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)text, (size_t)size, PCRE2_UTF, &code, &at, NULL);
    pcre2_code_free(compiled);
    return compiled != NULL;
}

/* \p{Name} and \P{Name}, at the letter p. A negated one within a class stays as it is. */
static enum qn_status translate_property(struct translation *t, struct qn_error *err) {
    const bool negated = *t->at == 'P';
    const char *name = t->at + 1;
    const char *close =
        name < t->end && *name == '{' ? memchr(name, '}', (size_t)(t->end - name)) : NULL;
    if (close == NULL) return refuse("\\p without a name in braces", err);
    const struct qn_text text = {name + 1, (size_t)(close - name - 1)};
    const unsigned class = t->inside && negated ? 0 : class_of(text);
    t->at = close + 1;
    if (class == 0) {
        /* By itself a script's name would mean all that is used with the script. */
        const char *prefix = is_script(text) ? "{sc:" : "{";
        QN_TRY(put(t, negated ? "\\P" : "\\p", 2, err));
        QN_TRY(put(t, prefix, strlen(prefix), err));
        return put(t, text.data, (size_t)(close + 1 - text.data), err);
    }
    if (!t->inside) QN_TRY(put(t, negated ? "[^" : "[", negated ? 2 : 1, err));
    QN_TRY(put(t, "\\p", 2, err));
    QN_TRY(put(t, name, (size_t)(close + 1 - name), err));
    QN_TRY(put_younger(t, class, err));
    return t->inside ? QN_OK : put(t, "]", 1, err);
}

static enum qn_status translate(struct translation *t, struct qn_error *err);

/* Translates what an escape stands for, which has no such escapes itself. */
static enum qn_status put_translated(struct translation *t, const char *text,
                                     struct qn_error *err) {
    const struct translation outer = *t;
    t->at = text;
    t->end = text + strlen(text);
    const enum qn_status status = translate(t, err);
    t->at = outer.at;
    t->end = outer.end;
    return status;
}

/* \x{HHHH}, at the letter x, which means the same in both; outside of a class its braces would be
 * read as a repetition's. */
static enum qn_status translate_code(struct translation *t, struct qn_error *err) {
    const char *const start = t->at;
    const char *const close = memchr(start, '}', (size_t)(t->end - start));
    if (close == NULL) return refuse("\\x without a closing brace", err);
    t->at = close + 1;
    QN_TRY(put(t, "\\", 1, err));
    return put(t, start, (size_t)(t->at - start), err);
}

/* t->at stands behind the backslash. */
static enum qn_status translate_escape(struct translation *t, struct qn_error *err) {
    if (t->at == t->end) return refuse("a backslash at its end", err);
    const char c = *t->at;
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        if (escapes[i].letter != c) continue;
        const char *text = t->inside ? escapes[i].inside : escapes[i].outside;
        if (text == NULL) return refuse("a negated escape in a character class", err);
        t->at++;
        return put_translated(t, text, err);
    }
    if (c == 'p' || c == 'P') return translate_property(t, err);
    if (c == 'u' && t->end - t->at >= 5) { /* \uHHHH */
        QN_TRY(put(t, "\\x{", 3, err));
        QN_TRY(put(t, t->at + 1, 4, err));
        t->at += 5;
        return put(t, "}", 1, err);
    }
    if (c == 'x' && t->end - t->at >= 2 && t->at[1] == '{') return translate_code(t, err);
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter && !is_one_of(c, same_escapes)) {
        char what[] = "the escape \\?";
        what[sizeof what - 2] = c;
        return refuse(what, err);
    }
    const char escape[2] = {'\\', c};
    t->at++;
    return put(t, escape, 2, err);
}

static bool starts_with(const struct translation *t, const char *text) {
    const size_t size = strlen(text);
    return (size_t)(t->end - t->at) >= size && memcmp(t->at, text, size) == 0;
}

/* {n,m}+ repeats a repetition there, and gives nothing back here. */
static bool is_possessive_interval(const struct translation *t) {
    const char *p = t->at + 1;
    while (p < t->end && ((*p >= '0' && *p <= '9') || *p == ',')) p++;
    return p > t->at + 1 && p + 1 < t->end && p[0] == '}' && p[1] == '+';
}

/* {n, at its brace. */
static bool repeats_too_often(const struct translation *t) {
    int n = 0;
    for (const char *p = t->at + 1; p < t->end && *p >= '0' && *p <= '9'; p++)
        if ((n = 10 * n + (*p - '0')) > UNSEEN_MAX) return true;
    return false;
}

static enum qn_status check_construct(const struct translation *t, struct qn_error *err) {
    if (t->inside) {
        if (starts_with(t, "&&")) return refuse("an intersection of character classes", err);
        if (starts_with(t, "[^")) return refuse("a negated class within another", err);
        return QN_OK;
    }
    if (starts_with(t, "{,")) return refuse("a repetition without a lower bound", err);
    if (*t->at == '{' && is_possessive_interval(t)) return refuse("a repeated repetition", err);
    if (starts_with(t, "(?") && t->end - t->at > 2 && is_one_of(t->at[2], "imx-")) {
        const char *p = t->at + 2;
        while (p < t->end && is_one_of(*p, "ix-")) p++;
        if (p == t->end || *p == 'm') return refuse("the option m", err);
    }
    if (*t->at == '{' && repeats_too_often(t)) return refuse("a repetition so long", err);
    if (starts_with(t, "(?P")) return refuse("a group as Python writes them", err);
    if (starts_with(t, "(*")) return refuse("a verb", err);
    return QN_OK;
}

/* Behind a bracket that opens a class: a bracket that closes is a member there. */
static enum qn_status open_class(struct translation *t, struct qn_error *err) {
    t->inside = true;
    if (t->at < t->end && *t->at == '^') QN_TRY(put(t, t->at++, 1, err));
    if (t->at < t->end && *t->at == ']') QN_TRY(put(t, t->at++, 1, err));
    return QN_OK;
}

/* Behind "[" within a class, at ":name:]". */
static enum qn_status translate_posix(struct translation *t, struct qn_error *err) {
    const char *close = memmem(t->at, (size_t)(t->end - t->at), ":]", 2);
    const size_t size = close != NULL && close > t->at ? (size_t)(close - t->at - 1) : 0;
    for (size_t i = 0; i < sizeof posix_classes / sizeof *posix_classes; i++) {
        const struct posix_class *class = &posix_classes[i];
        if (strlen(class->name) != size || memcmp(class->name, t->at + 1, size) != 0) continue;
        t->at = close + 2;
        return put_translated(t, class->members, err);
    }
    return refuse("a [:class:] of another name", err);
}

static enum qn_status translate(struct translation *t, struct qn_error *err) {
    while (t->at < t->end) {
        QN_TRY(check_construct(t, err));
        const char c = *t->at++;
        if (c == '\\') {
            QN_TRY(translate_escape(t, err));
            continue;
        }
        if (t->inside && c == '[' && (t->at == t->end || *t->at != ':')) {
            t->nested++; /* PCRE2 knows no such; its members are the outer one's */
            continue;
        }
        if (t->inside && c == ']' && t->nested > 0) {
            t->nested--;
            continue;
        }
        if (t->inside && c == '[') {
            QN_TRY(translate_posix(t, err));
            continue;
        }
        QN_TRY(put(t, &c, 1, err));
        if (!t->inside && c == '[') {
            QN_TRY(open_class(t, err));
        } else if (t->inside && c == ']') {
            t->inside = false;
        }
    }
    return QN_OK;
}

/* ---- compiling ----------------------------------------------------------------------------- */

/* translated: what PCRE2 reads; pattern: as the file has it. */
static enum qn_status compile(struct qn_text translated, struct qn_text pattern,
                              struct qn_regex *regex, struct qn_error *err) {
    int code;
    size_t at;
    uint32_t behind = 0;
    /* In Oniguruma ^ and $ always mean lines. Callouts keep the budget. */
    regex->code = pcre2_compile((PCRE2_SPTR)translated.data, translated.size,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C |
                                    PCRE2_AUTO_CALLOUT,
                                &code, &at, NULL);
    if (regex->code == NULL) {
        char why[128];
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        const int shown = (int)(pattern.size < 100 ? pattern.size : 100);
        return qn_fail(err, QN_UNSUPPORTED, "the pattern \"%.*s\" cannot be compiled: %s", shown,
                       pattern.data, why);
    }
    pcre2_pattern_info(regex->code, PCRE2_INFO_MAXLOOKBEHIND, &behind);
    if (behind > UNSEEN_MAX) return refuse("a look-behind so long", err);
    /* Where there is no compiler for this machine, the interpreter does the same. */
    pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    return QN_OK;
}

enum qn_status qn_regex_new(struct qn_text pattern, struct qn_regex **out, struct qn_error *err) {
    *out = NULL;
    if (pattern.size > PATTERN_MAX) {
        return qn_fail(err, QN_BAD_FILE, "a pattern has %zu bytes, expected at most %d",
                       pattern.size, PATTERN_MAX);
    }
    struct translation t = {.at = pattern.data, .end = pattern.data + pattern.size};
    struct qn_regex *regex = calloc(1, sizeof *regex);
    enum qn_status status =
        regex == NULL ? qn_fail(err, QN_NO_MEMORY, "no memory for a pattern") : translate(&t, err);
    if (status == QN_OK) status = qn_bytes_reserve(&t.out, 1, err); /* not NULL */
    if (status == QN_OK) {
        status = compile((struct qn_text){t.out.data, t.out.size}, pattern, regex, err);
    }
    free(t.out.data);
    if (status != QN_OK) {
        qn_regex_free(regex);
        return status;
    }
    *out = regex;
    return QN_OK;
}

void qn_regex_free(struct qn_regex *regex) {
    if (regex == NULL) return;
    pcre2_code_free(regex->code);
    free(regex);
}

/* ---- matching ------------------------------------------------------------------------------ */

/* Steps that all matches of a text may take together: for each byte that is searched, and in any
 * case. An alternative that fails at once is a step, and so are 8 bytes that an item runs over,
 * which takes about as long. Patterns of words take up to some 40 a byte. A step takes some 20 ns,
 * so a pattern that backtracks without end is stopped after a tenth of a second and, of a
 * megabyte, after some seconds. */
enum { STEPS_A_BYTE = 256, STEPS_MIN = 1 << 22, BYTES_A_STEP = 8, HEAP_MAX_MIB = 256 };

struct qn_regex_work {
    pcre2_match_data *data;
    pcre2_match_context *context;
    uint64_t steps;  /* that are left */
    size_t position; /* in the text at the last of them */
};

/* Called before each item of a pattern, and at its end. */
static int spend(pcre2_callout_block *block, void *data) {
    struct qn_regex_work *work = data;
    const size_t at = block->current_position, last = work->position;
    const size_t cost = 1 + (at > last ? at - last : last - at) / BYTES_A_STEP;
    work->position = at;
    if (cost > work->steps) return PCRE2_ERROR_MATCHLIMIT;
    work->steps -= cost;
    return 0;
}

static int match(const struct qn_regex_walk *walk, const struct qn_regex_work *work) {
    const uint32_t options = PCRE2_NO_UTF_CHECK;
    const PCRE2_SPTR text = (PCRE2_SPTR)walk->text;
    const int rc = pcre2_match(walk->regex->code, text, walk->size, walk->at, options, work->data,
                               work->context);
    /* Compiled code has a small stack; the interpreter takes memory up to the limit. */
    if (rc != PCRE2_ERROR_JIT_STACKLIMIT) return rc;
    return pcre2_match(walk->regex->code, text, walk->size, walk->at, options | PCRE2_NO_JIT,
                       work->data, work->context);
}

static enum qn_status fail(int code, struct qn_error *err) {
    switch (code) {
    case PCRE2_ERROR_NOMEMORY:
        return qn_fail(err, QN_NO_MEMORY, "no memory for a pattern of the tokenizer on this text");
    case PCRE2_ERROR_HEAPLIMIT:
        return qn_fail(err, QN_UNSUPPORTED,
                       "a pattern of the tokenizer takes more than %d MiB of memory on this text",
                       HEAP_MAX_MIB);
    case PCRE2_ERROR_RECURSELOOP:
        return qn_fail(err, QN_UNSUPPORTED,
                       "a pattern of the tokenizer calls itself without end on this text");
    case PCRE2_ERROR_MATCHLIMIT:
        return qn_fail(err, QN_UNSUPPORTED,
                       "a pattern of the tokenizer takes too long on this text");
    default:
        return qn_fail(err, QN_UNSUPPORTED,
                       "a pattern of the tokenizer fails on this text (error %d of PCRE2)", code);
    }
}

static enum qn_status find(struct qn_regex_walk *walk, const struct qn_regex_work *work,
                           size_t *begin, size_t *end, bool *found, struct qn_error *err) {
    while (walk->at <= walk->size) {
        const int rc = match(walk, work);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0) return fail(rc, err);
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(work->data);
        *begin = ends[0];
        *end = ends[1];
        if (*end < *begin) return refuse("\\K in a look-around", err);
        if (*begin == *end && walk->any && walk->last_end == *end) { /* step over a character */
            walk->at = *end < walk->size ? *end + qn_utf8_length((unsigned char)walk->text[*end])
                                         : walk->size + 1;
            continue;
        }
        walk->at = walk->last_end = *end;
        walk->any = *found = true;
        return QN_OK;
    }
    walk->at = walk->size + 1;
    *found = false;
    return QN_OK;
}

void qn_regex_work_free(struct qn_regex_work *work) {
    if (work == NULL) return;
    pcre2_match_data_free(work->data);
    pcre2_match_context_free(work->context);
    free(work);
}

static enum qn_status make_work(struct qn_regex_work **out, struct qn_error *err) {
    if (*out != NULL) return QN_OK;
    struct qn_regex_work *work = *out = calloc(1, sizeof *work);
    if (work != NULL) {
        work->data = pcre2_match_data_create(1, NULL);
        work->context = pcre2_match_context_create(NULL);
    }
    if (work == NULL || work->data == NULL || work->context == NULL) {
        return qn_fail(err, QN_NO_MEMORY, "no memory to match a pattern");
    }
    work->steps = STEPS_MIN;
    pcre2_set_callout(work->context, spend, work);
    pcre2_set_match_limit(work->context, UINT32_MAX); /* PCRE2's own, which holds for one match */
    pcre2_set_heap_limit(work->context, HEAP_MAX_MIB << 10);
    return QN_OK;
}

enum qn_status qn_regex_next(struct qn_regex_walk *walk, struct qn_regex_work **work, size_t *begin,
                             size_t *end, bool *found, struct qn_error *err) {
    QN_TRY(make_work(work, err));
    if (walk->at == 0 && !walk->any) {
        (*work)->steps += (uint64_t)walk->size * STEPS_A_BYTE;
        (*work)->position = 0;
    }
    return find(walk, *work, begin, end, found, err);
}
