/* SPDX-License-Identifier: Apache-2.0
 *
 * The byte alphabet, computed: no tables.
 */
#include "text/bytes.h"

#include <stdbool.h>

#include "text/utf8.h"

/* Bytes below the first printable range and between the ranges: 00-20, 7F-A0, AD. */
enum { N_LOW = 0x21, N_MIDDLE = 0xA1 - 0x7F };

int32_t qn_byte_to_char(unsigned char byte) {
    if (byte < N_LOW) return 0x100 + byte;
    if (byte >= 0x7F && byte <= 0xA0) return 0x100 + N_LOW + (byte - 0x7F);
    if (byte == 0xAD) return 0x100 + N_LOW + N_MIDDLE;
    return byte;
}

int qn_byte_from_char(int32_t codepoint) {
    if (codepoint < 0x100)
        return qn_byte_to_char((unsigned char)codepoint) == codepoint ? (int)codepoint : -1;
    const int32_t n = codepoint - 0x100;
    if (n < N_LOW) return (int)n;
    if (n < N_LOW + N_MIDDLE) return (int)(n - N_LOW + 0x7F);
    return n == N_LOW + N_MIDDLE ? 0xAD : -1;
}

size_t qn_bytes_decode(const char *text, size_t size, char *out) {
    size_t n = 0;
    for (size_t at = 0; at < size;) {
        int32_t codepoint;
        bool truncated;
        at += qn_utf8_decode(text + at, size - at, &codepoint, &truncated);
        const int byte = codepoint < 0 ? -1 : qn_byte_from_char(codepoint);
        if (byte < 0) return SIZE_MAX;
        out[n++] = (char)byte;
    }
    return n;
}

size_t qn_bytes_encode(const char *bytes, size_t size, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        n += qn_utf8_write(qn_byte_to_char((unsigned char)bytes[i]), out + n);
    }
    return n;
}
