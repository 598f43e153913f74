/* SPDX-License-Identifier: Apache-2.0
 *
 * SentencePiece's precompiled character maps (precompiled_charsmap): a double-array trie from
 * sequences of characters to what replaces them. Format: darts-clone's, after a uint32 with the
 * trie's size in bytes; behind the trie the replacements, each ended by a zero byte.
 */
#ifndef QN_TEXT_CHARSMAP_H
#define QN_TEXT_CHARSMAP_H

#include "base/status.h"
#include "text/steps.h"
#include "text/unicode.h"

/* QN_BAD_FILE unless the map has this form and its replacements are UTF-8. */
enum qn_status qn_charsmap_check(struct qn_text map, struct qn_error *err);

/* Appends what a checked map makes of valid text. As Hugging Face's tokenizers do it: by grapheme
 * cluster where that is short and has an entry, else by character; a lookup gives the entry of the
 * shortest prefix. */
enum qn_status qn_charsmap_apply(struct qn_text map, const char *text, size_t size,
                                 struct qn_bytes *out, struct qn_error *err);

#endif
