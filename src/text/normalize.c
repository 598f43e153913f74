/* SPDX-License-Identifier: Apache-2.0
 *
 * Normalizers: each writes the whole of a text into the buffer that the one before did not use.
 */
#include <string.h>

#include "base/checked.h"
#include "text/charsmap.h"
#include "text/private.h"

static enum qn_status lowercase(const char *text, size_t size, struct qn_bytes *out,
                                struct qn_error *err) {
    size_t length;
    for (size_t at = 0; at < size; at += length) {
        int32_t lower[2];
        const size_t n = qn_unicode_lower(qn_utf8_read(text + at, &length), lower);
        QN_TRY(qn_bytes_reserve(out, n * QN_UTF8_MAX, err));
        for (size_t i = 0; i < n; i++) {
            out->size += qn_utf8_write(lower[i], out->data + out->size);
        }
    }
    return QN_OK;
}

static enum qn_status strip_accents(const char *text, size_t size, struct qn_bytes *out,
                                    struct qn_error *err) {
    size_t length;
    for (size_t at = 0; at < size; at += length) {
        const int32_t codepoint = qn_utf8_read(text + at, &length);
        if (codepoint >= 0x80 && qn_unicode_is_accent(codepoint)) continue;
        QN_TRY(qn_bytes_append(out, text + at, length, err));
    }
    return QN_OK;
}

static enum qn_status strip(const struct qn_text_step *step, const char *text, size_t size,
                            struct qn_bytes *out, struct qn_error *err) {
    size_t begin = 0, end = size, length;
    while (step->left && begin < end &&
           (qn_unicode_class_at(text + begin, &length) & QN_CHAR_SPACE) != 0) {
        begin += length;
    }
    while (step->right && end > begin) {
        size_t last = end - 1;
        while (((unsigned char)text[last] & 0xC0) == 0x80) last--;
        if ((qn_unicode_class_at(text + last, &length) & QN_CHAR_SPACE) == 0) break;
        end = last;
    }
    return qn_bytes_append(out, text + begin, end - begin, err);
}

static enum qn_status replace_literal(const struct qn_text_step *step, const char *text,
                                      size_t size, struct qn_bytes *out, struct qn_error *err) {
    const struct qn_text from = step->pattern;
    if (from.data == NULL || from.size == 0) return qn_bytes_append(out, text, size, err);
    for (size_t at = 0; at < size;) {
        const char *const hit = memmem(text + at, size - at, from.data, from.size);
        const size_t stop = hit == NULL ? size : (size_t)(hit - text);
        QN_TRY(qn_bytes_append(out, text + at, stop - at, err));
        if (hit == NULL) break;
        QN_TRY(qn_bytes_append(out, step->content.data, step->content.size, err));
        at = stop + from.size;
    }
    return QN_OK;
}

static enum qn_status replace_regex(const struct qn_pass *pass, const char *text, size_t size,
                                    struct qn_regex_work **work, struct qn_bytes *out,
                                    struct qn_error *err) {
    if (size == 0) return QN_OK;
    struct qn_regex_walk walk = {.regex = pass->regex, .text = text, .size = size};
    for (size_t at = 0;;) {
        size_t begin, end;
        bool found;
        QN_TRY(qn_regex_next(&walk, work, &begin, &end, &found, err));
        QN_TRY(qn_bytes_append(out, text + at, (found ? begin : size) - at, err));
        if (!found) return QN_OK;
        QN_TRY(qn_bytes_append(out, pass->step.content.data, pass->step.content.size, err));
        at = end;
    }
}

/* Whether what a normalizer wrote has lost what the text started with. */
static bool loses_front(const struct qn_pass *pass, const char *text, size_t size) {
    size_t length;
    if (size == 0) return false;
    const unsigned class = qn_unicode_class_at(text, &length);
    const struct qn_text_step *step = &pass->step;
    switch (step->kind) {
    case QN_TEXT_STRIP:
        return step->left && (class & QN_CHAR_SPACE) != 0;
    case QN_TEXT_STRIP_ACCENTS:
        return length > 1 && qn_unicode_is_accent(qn_utf8_read(text, &length));
    case QN_TEXT_REPLACE:
        return step->content.size == 0 && !step->regex && step->pattern.size > 0 &&
               size >= step->pattern.size &&
               memcmp(text, step->pattern.data, step->pattern.size) == 0;
    default:
        return false;
    }
}

static enum qn_status apply(const struct qn_pass *pass, const char *text, size_t size,
                            struct qn_regex_work **work, struct qn_bytes *out,
                            struct qn_error *err) {
    const struct qn_text_step *step = &pass->step;
    switch (step->kind) {
    case QN_TEXT_NFC:
    case QN_TEXT_NFD:
    case QN_TEXT_NFKC:
    case QN_TEXT_NFKD:
        return qn_unicode_normalize((enum qn_form)(step->kind - QN_TEXT_NFC), text, size, out, err);
    case QN_TEXT_LOWERCASE:
        return lowercase(text, size, out, err);
    case QN_TEXT_STRIP_ACCENTS:
        return strip_accents(text, size, out, err);
    case QN_TEXT_STRIP:
        return strip(step, text, size, out, err);
    case QN_TEXT_PREPEND:
        if (size > 0) QN_TRY(qn_bytes_append(out, step->content.data, step->content.size, err));
        return qn_bytes_append(out, text, size, err);
    case QN_TEXT_CHARSMAP:
        return qn_charsmap_apply(step->content, text, size, out, err);
    default:
        return pass->regex != NULL ? replace_regex(pass, text, size, work, out, err)
                                   : replace_literal(step, text, size, out, err);
    }
}

/* A text that a normalizer leaves alone need not be copied. */
static bool changes(const struct qn_text_step *step, const char *text, size_t size) {
    if (step->kind == QN_TEXT_NFC) return !qn_unicode_is_nfc(text, size);
    return true;
}

/* Steps follow each other, and each may write what a file says for what it finds, so that a file of
 * a few lines could make terabytes of a word. Compatible decompositions write up to 11 bytes for
 * one, and real tokenizers have some five steps. */
size_t qn_normalized_max(size_t size) {
    enum { TIMES = 64, ANY_TEXT = 64 << 10 };
    return size < (SIZE_MAX - ANY_TEXT) / TIMES ? size * TIMES + ANY_TEXT : SIZE_MAX;
}

enum qn_status qn_normalize(const struct qn_passes *passes, struct qn_bytes buffers[2],
                            struct qn_regex_work **work, const char **text, size_t *size,
                            bool *front, struct qn_error *err) {
    int next = 0;
    for (size_t i = 0; i < passes->n; i++) {
        if (!changes(&passes->passes[i].step, *text, *size)) continue;
        struct qn_bytes *out = &buffers[next];
        next = !next;
        out->size = 0;
        QN_TRY(qn_bytes_reserve(out, 1, err)); /* not NULL */
        if (loses_front(&passes->passes[i], *text, *size)) *front = false;
        QN_TRY(apply(&passes->passes[i], *text, *size, work, out, err));
        for (int b = 0; b < 2; b++) qn_bytes_spend(&buffers[b], out->size);
        *text = out->data;
        *size = out->size;
    }
    return QN_OK;
}
