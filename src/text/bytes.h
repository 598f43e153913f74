/* SPDX-License-Identifier: Apache-2.0
 *
 * The alphabet in which byte-level vocabularies write bytes: printable Latin-1 characters stand
 * for themselves, the other 68 bytes for U+0100, U+0101, ... in order.
 */
#ifndef QN_TEXT_BYTES_H
#define QN_TEXT_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* The character of a byte. */
int32_t qn_byte_to_char(unsigned char byte);
/* The byte of a character, or -1. */
int qn_byte_from_char(int32_t codepoint);

/* Decodes text in the alphabet into out[size]; returns the bytes written, or SIZE_MAX when a
 * character is not of the alphabet or the text is not UTF-8. */
size_t qn_bytes_decode(const char *text, size_t size, char *out);
/* Encodes bytes into out[2 * size]; returns the bytes written. */
size_t qn_bytes_encode(const char *bytes, size_t size, char *out);

#endif
