/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8: decoding, and repair of invalid bytes. Each maximal invalid subsequence counts as one
 * U+FFFD, the practice of the Unicode standard (section 3.9) that Rust and Python follow.
 */
#ifndef QN_TEXT_UTF8_H
#define QN_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QN_UTF8_MAX = 4 }; /* bytes of the longest character */
enum { QN_REPLACEMENT = 0xFFFD };
#define QN_REPLACEMENT_UTF8 "\xEF\xBF\xBD"

/* Decodes the character at data[0], size >= 1. Returns the bytes it takes; *codepoint is -1 for a
 * maximal invalid subsequence. *truncated: only because data ends too early. */
size_t qn_utf8_decode(const char *data, size_t size, int32_t *codepoint, bool *truncated);

/* Bytes of the longest valid prefix. */
size_t qn_utf8_valid_prefix(const char *data, size_t size);

/* Writes the repaired text into out[3 * size]; returns its size. */
size_t qn_utf8_repair(const char *data, size_t size, char *out);

/* Bytes of the character that starts with this byte, in valid text. */
static inline size_t qn_utf8_length(unsigned char lead) {
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* The character at data[0] of valid text; *length becomes its bytes. */
static inline int32_t qn_utf8_read(const char *data, size_t *length) {
    const unsigned char *u = (const unsigned char *)data;
    if (u[0] < 0x80) {
        *length = 1;
        return u[0];
    }
    if (u[0] < 0xE0) {
        *length = 2;
        return (u[0] & 0x1F) << 6 | (u[1] & 0x3F);
    }
    if (u[0] < 0xF0) {
        *length = 3;
        return (u[0] & 0x0F) << 12 | (u[1] & 0x3F) << 6 | (u[2] & 0x3F);
    }
    *length = 4;
    return (u[0] & 0x07) << 18 | (u[1] & 0x3F) << 12 | (u[2] & 0x3F) << 6 | (u[3] & 0x3F);
}

/* Writes a scalar value into out[4]; returns its bytes. */
size_t qn_utf8_write(int32_t codepoint, char *out);

#endif
