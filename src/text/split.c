/* SPDX-License-Identifier: Apache-2.0
 *
 * Splitters one after another, depth first: each piece goes through all that follow before the
 * next one is looked for, so no list of pieces is kept. Recursion is as deep as there are
 * splitters, at most QN_PASSES_MAX.
 */
#include <string.h>

#include "text/bytes.h"
#include "text/private.h"

/* A piece of text on its way through the splitters. */
struct piece {
    const char *text;
    size_t size;
    bool first; /* it starts the whole text */
};

static enum qn_status run(struct qn_encoding *encoding, size_t at, struct piece piece,
                          struct qn_error *err);

static struct piece part(const struct piece *piece, size_t begin, size_t end) {
    return (struct piece){piece->text + begin, end - begin, piece->first && begin == 0};
}

/* ---- the model ----------------------------------------------------------------------------- */

static enum qn_status encode_word(struct qn_encoding *encoding, const char *word, size_t size,
                                  struct qn_error *err) {
    struct qn_cached_word *slot;
    bool known;
    QN_TRY(qn_cache_find(encoding, word, size, &known, &slot, err));
    if (known) return QN_OK;
    const size_t first = encoding->ids->n;
    QN_TRY(encoding->tokenizer->vocab.model == QN_VOCAB_UNIGRAM
               ? qn_unigram_word(encoding, word, size, err)
               : qn_bpe_word(encoding, word, size, err));
    qn_cache_store(encoding, slot, word, size, first);
    return QN_OK;
}

/* ---- matches ------------------------------------------------------------------------------- */

/* Stretches of a piece that match, and those between them, in turn. */
struct matches {
    const struct qn_pass *pass;
    const struct piece *piece;
    struct qn_regex_walk walk;
    size_t at;         /* what lies before has been given */
    size_t begin, end; /* the next match, where `found` */
    bool found;
};

static bool in_class(const struct matches *m, size_t at, size_t *length) {
    return (qn_unicode_class_at(m->piece->text + at, length) & m->pass->step.class) != 0;
}

static enum qn_status find_match(struct qn_encoding *encoding, struct matches *m,
                                 struct qn_error *err) {
    const struct qn_text_step *step = &m->pass->step;
    const char *text = m->piece->text;
    const size_t size = m->piece->size;
    if (m->pass->regex != NULL) {
        return qn_regex_next(&m->walk, &encoding->regex, &m->begin, &m->end, &m->found, err);
    }
    size_t at = m->end, length = 0;
    m->found = false;
    if (step->kind == QN_TEXT_SPLIT_CLASS) {
        while (at < size && !in_class(m, at, &length)) at += length;
        if (at == size) return QN_OK;
    } else {
        const char *hit =
            step->pattern.size == 0 || at == size
                ? NULL
                : memmem(text + at, size - at, step->pattern.data, step->pattern.size);
        if (hit == NULL) return QN_OK;
        at = (size_t)(hit - text);
        length = step->pattern.size;
    }
    m->begin = at;
    m->end = at + length;
    m->found = true;
    return QN_OK;
}

struct stretch {
    size_t begin, end;
    bool match;
};

/* The next stretch; *more false: there is none. */
static enum qn_status next_stretch(struct qn_encoding *encoding, struct matches *m,
                                   struct stretch *out, bool *more, struct qn_error *err) {
    const bool invert = m->pass->step.invert;
    *more = true;
    if (m->found && m->begin == m->at) {
        *out = (struct stretch){m->begin, m->end, !invert};
        m->at = m->end;
        return find_match(encoding, m, err);
    }
    const size_t end = m->found ? m->begin : m->piece->size;
    *more = m->at < end;
    *out = (struct stretch){m->at, end, invert};
    m->at = end;
    return QN_OK;
}

/* Whether two neighbouring stretches become one piece. joined: `left` has been joined before. */
static bool join(enum qn_behavior behavior, const struct stretch *left,
                 const struct stretch *right) {
    switch (behavior) {
    case QN_BEHAVIOR_MERGED_WITH_PREVIOUS:
        return !left->match && right->match;
    case QN_BEHAVIOR_MERGED_WITH_NEXT:
        return left->match && !right->match;
    case QN_BEHAVIOR_CONTIGUOUS:
        return left->match == right->match;
    default:
        return false;
    }
}

static enum qn_status split_at_matches(struct qn_encoding *encoding, size_t at,
                                       const struct qn_pass *pass, struct piece piece,
                                       struct qn_error *err) {
    struct matches m = {.pass = pass, .piece = &piece};
    m.walk = (struct qn_regex_walk){.regex = pass->regex, .text = piece.text, .size = piece.size};
    QN_TRY(find_match(encoding, &m, err));
    const enum qn_behavior behavior = pass->step.behavior;
    struct stretch last = {0}; /* as the input has it */
    size_t begin = 0, end = 0; /* what waits to be passed on */
    bool some = false;
    for (;;) {
        struct stretch next;
        bool more;
        QN_TRY(next_stretch(encoding, &m, &next, &more, err));
        if (more && behavior == QN_BEHAVIOR_REMOVED && next.match) continue;
        if (more && some && join(behavior, &last, &next)) {
            end = next.end;
            last = next;
            continue;
        }
        if (some) QN_TRY(run(encoding, at + 1, part(&piece, begin, end), err));
        if (!more) return QN_OK;
        begin = next.begin;
        end = next.end;
        last = next;
        some = true;
    }
}

static enum qn_status split_by_rule(struct qn_encoding *encoding, size_t at,
                                    const struct qn_cut *cut, struct piece piece,
                                    struct qn_error *err) {
    for (size_t begin = 0; begin < piece.size;) {
        const size_t end = cut->next(cut, piece.text, begin, piece.size);
        QN_TRY(run(encoding, at + 1, part(&piece, begin, end), err));
        begin = end;
    }
    return QN_OK;
}

/* ---- steps that write ---------------------------------------------------------------------- */

static bool starts_with(const struct piece *piece, struct qn_text text) {
    return piece->size >= text.size && memcmp(piece->text, text.data, text.size) == 0;
}

static enum qn_status write_metaspace(struct qn_bytes *out, const struct qn_text_step *step,
                                      const struct piece *piece, struct qn_error *err) {
    const struct qn_text mark = step->content;
    const bool prepend =
        step->prepend == QN_PREPEND_ALWAYS || (step->prepend == QN_PREPEND_FIRST && piece->first);
    const bool led = starts_with(piece, mark) || piece->text[0] == ' ';
    if (prepend && !led) QN_TRY(qn_bytes_append(out, mark.data, mark.size, err));
    for (size_t i = 0; i < piece->size;) {
        const char *space = memchr(piece->text + i, ' ', piece->size - i);
        const size_t stop = space == NULL ? piece->size : (size_t)(space - piece->text);
        QN_TRY(qn_bytes_append(out, piece->text + i, stop - i, err));
        if (space != NULL) QN_TRY(qn_bytes_append(out, mark.data, mark.size, err));
        i = stop + (space != NULL);
    }
    return QN_OK;
}

static enum qn_status write_bytes(struct qn_bytes *out, const struct piece *piece,
                                  struct qn_error *err) {
    QN_TRY(qn_bytes_reserve(out, 2 * piece->size, err));
    out->size = qn_bytes_encode(piece->text, piece->size, out->data);
    return QN_OK;
}

static enum qn_status rewrite(struct qn_encoding *encoding, size_t at, const struct qn_pass *pass,
                              struct piece piece, struct qn_error *err) {
    const struct qn_text_step *step = &pass->step;
    struct qn_bytes *out = &encoding->rewritten[at];
    out->size = 0;
    if (step->kind == QN_TEXT_PREFIX_SPACE) {
        if (piece.text[0] == ' ') return run(encoding, at + 1, piece, err);
        QN_TRY(qn_bytes_append(out, " ", 1, err));
        QN_TRY(qn_bytes_append(out, piece.text, piece.size, err));
    } else if (step->kind == QN_TEXT_METASPACE) {
        QN_TRY(write_metaspace(out, step, &piece, err));
    } else {
        QN_TRY(write_bytes(out, &piece, err));
    }
    qn_bytes_spend(out, out->size);
    const struct piece written = {out->data, out->size, piece.first};
    const uint32_t epoch = encoding->epoch;
    encoding->epoch = ++encoding->last_epoch;
    const bool cut = step->kind == QN_TEXT_METASPACE && step->cut;
    QN_TRY(cut ? split_at_matches(encoding, at, pass, written, err)
               : run(encoding, at + 1, written, err));
    encoding->epoch = epoch;
    return QN_OK;
}

static enum qn_status run(struct qn_encoding *encoding, size_t at, struct piece piece,
                          struct qn_error *err) {
    if (piece.size == 0) return QN_OK;
    const struct qn_passes *passes = &encoding->tokenizer->splitters;
    const bool bytes = at + 1 == passes->n && encoding->tokenizer->whole_bytes;
    if (at == passes->n || bytes) return encode_word(encoding, piece.text, piece.size, err);
    const struct qn_pass *pass = &passes->passes[at];
    if (pass->cut != NULL) return split_by_rule(encoding, at, pass->cut, piece, err);
    if (pass->step.kind == QN_TEXT_SPLIT || pass->step.kind == QN_TEXT_SPLIT_CLASS) {
        return split_at_matches(encoding, at, pass, piece, err);
    }
    return rewrite(encoding, at, pass, piece, err);
}

enum qn_status qn_split_encode(struct qn_encoding *encoding, const char *text, size_t size,
                               bool first, struct qn_error *err) {
    return run(encoding, 0, (struct piece){text, size, first}, err);
}
