/* SPDX-License-Identifier: Apache-2.0
 *
 * UTF-8 decoding by the table of well-formed byte sequences (Unicode 15, table 3-7).
 */
#include "text/utf8.h"

#include <string.h>

/* The second byte of a well-formed sequence lies in [low, high], the others in [80, BF]. */
struct lead {
    size_t length;
    unsigned char low, high;
};

static struct lead lead_of(unsigned char byte) {
    if (byte >= 0xC2 && byte <= 0xDF) return (struct lead){2, 0x80, 0xBF};
    if (byte == 0xE0) return (struct lead){3, 0xA0, 0xBF};
    if (byte == 0xED) return (struct lead){3, 0x80, 0x9F}; /* no surrogates */
    if (byte >= 0xE1 && byte <= 0xEF) return (struct lead){3, 0x80, 0xBF};
    if (byte == 0xF0) return (struct lead){4, 0x90, 0xBF};
    if (byte >= 0xF1 && byte <= 0xF3) return (struct lead){4, 0x80, 0xBF};
    if (byte == 0xF4) return (struct lead){4, 0x80, 0x8F}; /* up to U+10FFFF */
    return (struct lead){0, 0, 0};
}

size_t qn_utf8_decode(const char *data, size_t size, int32_t *codepoint, bool *truncated) {
    const unsigned char *u = (const unsigned char *)data;
    *truncated = false;
    if (u[0] < 0x80) {
        *codepoint = u[0];
        return 1;
    }
    *codepoint = -1;
    const struct lead lead = lead_of(u[0]);
    if (lead.length == 0) return 1;
    size_t n = 1;
    while (n < lead.length && n < size) {
        const unsigned char low = n == 1 ? lead.low : 0x80;
        const unsigned char high = n == 1 ? lead.high : 0xBF;
        if (u[n] < low || u[n] > high) return n;
        n++;
    }
    if (n < lead.length) {
        *truncated = true;
        return n;
    }
    size_t length;
    *codepoint = qn_utf8_read(data, &length);
    return length;
}

size_t qn_utf8_valid_prefix(const char *data, size_t size) {
    size_t at = 0;
    while (at < size) {
        uint64_t block;
        if (size - at >= sizeof block) {
            memcpy(&block, data + at, sizeof block);
            if ((block & 0x8080808080808080u) == 0) {
                at += sizeof block;
                continue;
            }
        }
        int32_t codepoint;
        bool truncated;
        const size_t n = qn_utf8_decode(data + at, size - at, &codepoint, &truncated);
        if (codepoint < 0) return at;
        at += n;
    }
    return size;
}

size_t qn_utf8_repair(const char *data, size_t size, char *out) {
    size_t n_out = 0;
    for (size_t at = 0; at < size;) {
        int32_t codepoint;
        bool truncated;
        const size_t n = qn_utf8_decode(data + at, size - at, &codepoint, &truncated);
        if (codepoint < 0) {
            memcpy(out + n_out, QN_REPLACEMENT_UTF8, 3);
            n_out += 3;
        } else {
            memcpy(out + n_out, data + at, n);
            n_out += n;
        }
        at += n;
    }
    return n_out;
}

size_t qn_utf8_write(int32_t codepoint, char *out) {
    const uint32_t c = (uint32_t)codepoint;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}
