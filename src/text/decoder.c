/* SPDX-License-Identifier: Apache-2.0
 *
 * Ids to text as they come: a character that is not complete is held back.
 */
#include <string.h>

#include "text/private.h"
#include "text/utf8.h"

/* Writes data repaired, but keeps an unfinished character at its end; returns the bytes written. */
static size_t emit(struct qn_decoder *decoder, const char *data, size_t size, char *out) {
    size_t n = 0;
    for (size_t at = 0; at < size;) {
        int32_t codepoint;
        bool truncated;
        const size_t length = qn_utf8_decode(data + at, size - at, &codepoint, &truncated);
        if (truncated) {
            memcpy(decoder->held, data + at, length);
            decoder->n_held = (int)length;
            return n;
        }
        if (codepoint < 0) {
            memcpy(out + n, QN_REPLACEMENT_UTF8, 3);
            n += 3;
        } else {
            memcpy(out + n, data + at, length);
            n += length;
        }
        at += length;
    }
    return n;
}

/* Adds bytes one at a time to the character that is held back, until it is complete or broken;
 * *used becomes the bytes taken. */
static size_t finish_held(struct qn_decoder *decoder, const char *data, size_t size, char *out,
                          size_t *used) {
    char character[QN_UTF8_MAX];
    size_t n = (size_t)decoder->n_held;
    memcpy(character, decoder->held, n);
    decoder->n_held = 0;
    for (*used = 0; *used < size;) {
        character[n++] = data[(*used)++];
        int32_t codepoint;
        bool truncated;
        const size_t length = qn_utf8_decode(character, n, &codepoint, &truncated);
        if (truncated) continue;
        if (codepoint >= 0) {
            memcpy(out, character, length);
            return length;
        }
        (*used)--; /* the new byte does not belong to it and starts something else */
        memcpy(out, QN_REPLACEMENT_UTF8, 3);
        return 3;
    }
    memcpy(decoder->held, character, n);
    decoder->n_held = (int)n;
    return 0;
}

/* The first token of a text without every space that a U+2581 stands for, unless it is an added one
 * that has spaces of its own. */
static size_t emit_without_marks(struct qn_decoder *decoder, struct qn_text piece, char *out) {
    size_t n = 0;
    while (piece.size > 0) {
        const char *space = memchr(piece.data, ' ', piece.size);
        const size_t stop = space == NULL ? piece.size : (size_t)(space - piece.data);
        n += emit(decoder, piece.data, stop, out + n);
        piece.data += stop + (space != NULL);
        piece.size -= stop + (space != NULL);
    }
    return n;
}

size_t qn_decoder_next(struct qn_decoder *decoder, const struct qn_tokenizer *tokenizer, int32_t id,
                       bool special, char *out, size_t capacity) {
    struct qn_text piece = qn_tokenizer_piece(tokenizer, id, special);
    if (capacity < 3 || (capacity - 3) / 3 < piece.size || piece.size == 0) return 0;
    const bool first = !decoder->started;
    decoder->started = true;
    const struct qn_text *token = &tokenizer->tokens[id];
    const bool spelled = token->size > 0 && memchr(token->data, ' ', token->size) != NULL;
    if (first && tokenizer->strip == QN_STRIP_MARKS && !spelled) {
        return emit_without_marks(decoder, piece, out);
    }
    if (first && tokenizer->strip == QN_STRIP_SPACE && piece.data[0] == ' ') {
        piece.data++;
        piece.size--;
    }
    size_t used = 0, n = 0;
    if (decoder->n_held > 0) n = finish_held(decoder, piece.data, piece.size, out, &used);
    if (decoder->n_held > 0) return n;
    return n + emit(decoder, piece.data + used, piece.size - used, out + n);
}

size_t qn_decoder_finish(struct qn_decoder *decoder, char *out, size_t capacity) {
    if (decoder->n_held == 0 || capacity < 3) return 0;
    decoder->n_held = 0;
    memcpy(out, QN_REPLACEMENT_UTF8, 3);
    return 3;
}
