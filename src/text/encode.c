/* SPDX-License-Identifier: Apache-2.0
 *
 * One call of encode: repairs the text, splits it at special tokens, hands what lies between to
 * the model, and remembers words, because text repeats them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "text/private.h"

/* Long words rarely come back. */
enum { CACHED_WORD_MAX = 64 };
/* One entry for 16 bytes of text: words come back, so there are fewer of them than that. 16384
 * entries are 640 KB, which still fits the second level cache of most cores. */
enum { CACHE_MIN = 16, CACHE_MAX = 1 << 14, BYTES_AN_ENTRY = 16 };

static size_t word_hash(const char *text, size_t size) {
    uint64_t h = size;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t block;
        memcpy(&block, text + i, 8);
        h = qn_map_mix(h ^ block);
    }
    uint64_t tail = 0;
    memcpy(&tail, text + i, size - i);
    return qn_map_mix(h ^ tail);
}

enum qn_status qn_cache_find(struct qn_encoding *encoding, const char *text, size_t size,
                             bool *known, struct qn_cached_word **slot, struct qn_error *err) {
    *known = false;
    *slot = NULL;
    if (size > CACHED_WORD_MAX || encoding->cache == NULL) return QN_OK;
    *slot = &encoding->cache[word_hash(text, size) & encoding->cache_mask];
    const struct qn_cached_word *word = *slot;
    if (word->text == NULL || word->size != size || word->epoch != encoding->epoch ||
        memcmp(word->text, text, size) != 0) {
        return QN_OK;
    }
    *known = true;
    /* The list may move while it grows, so make room first. */
    QN_TRY(qn_ids_reserve(encoding->ids, word->n_ids, err));
    return qn_ids_append(encoding->ids, encoding->ids->data + word->ids, word->n_ids, err);
}

void qn_cache_store(struct qn_encoding *encoding, struct qn_cached_word *slot, const char *text,
                    size_t size, size_t first_id) {
    if (slot == NULL) return;
    *slot = (struct qn_cached_word){.text = text,
                                    .size = (uint32_t)size,
                                    .epoch = encoding->epoch,
                                    .ids = first_id,
                                    .n_ids = encoding->ids->n - first_id};
}

/* A cache is a matter of speed: without memory for it, encoding goes on. */
static void make_cache(struct qn_encoding *encoding, size_t size) {
    size_t entries = CACHE_MIN;
    while (entries < CACHE_MAX && entries < size / BYTES_AN_ENTRY) entries *= 2;
    encoding->cache = calloc(entries, sizeof *encoding->cache);
    encoding->cache_mask = entries - 1;
}

static enum qn_status encode_segment(struct qn_encoding *encoding, const char *text, size_t size,
                                     struct qn_error *err) {
    if (size == 0) return QN_OK;
    return encoding->tokenizer->vocab.model == QN_VOCAB_SPM
               ? qn_spm_encode(encoding, text, size, err)
               : qn_bpe_encode(encoding, text, size, err);
}

/* text: valid UTF-8. */
static enum qn_status encode_valid(struct qn_encoding *encoding, const char *text, size_t size,
                                   unsigned flags, struct qn_error *err) {
    const struct qn_special *special = &encoding->tokenizer->special;
    for (size_t at = 0; at < size;) {
        int32_t id = -1;
        const size_t found =
            qn_special_find(special, text, at, size, (flags & QN_ENCODE_SPECIAL) != 0, &id);
        QN_TRY(encode_segment(encoding, text + at, found - at, err));
        if (found == size) break;
        QN_TRY(qn_ids_append(encoding->ids, &id, 1, err));
        at = found + special->tokens[id].size;
    }
    return QN_OK;
}

static enum qn_status encode_any(struct qn_encoding *encoding, const char *text, size_t size,
                                 unsigned flags, struct qn_error *err) {
    const size_t valid = qn_utf8_valid_prefix(text, size);
    if (valid == size) return encode_valid(encoding, text, size, flags, err);
    size_t room;
    if (!qn_checked_mul(size, sizeof QN_REPLACEMENT_UTF8 - 1, &room)) {
        return qn_fail(err, QN_NO_MEMORY, "a text of %zu bytes is too large", size);
    }
    char *repaired = malloc(room);
    if (repaired == NULL) return qn_fail(err, QN_NO_MEMORY, "no memory for %zu bytes", room);
    const size_t repaired_size = qn_utf8_repair(text, size, repaired);
    const enum qn_status status = encode_valid(encoding, repaired, repaired_size, flags, err);
    free(repaired);
    return status;
}

enum qn_status qn_tokenizer_encode(const struct qn_tokenizer *tokenizer, const char *text,
                                   size_t size, unsigned flags, struct qn_ids *ids,
                                   struct qn_error *err) {
    const struct qn_vocab *vocab = &tokenizer->vocab;
    const bool ends = (flags & QN_ENCODE_BOS) != 0;
    if (ends && vocab->add_bos && vocab->bos >= 0) QN_TRY(qn_ids_append(ids, &vocab->bos, 1, err));
    struct qn_encoding encoding = {.tokenizer = tokenizer, .ids = ids};
    make_cache(&encoding, size);
    const enum qn_status status = encode_any(&encoding, text, size, flags, err);
    qn_merger_free(&encoding.merger);
    free(encoding.normalized.data);
    free(encoding.scratch.data);
    free(encoding.cache);
    if (status != QN_OK) return status;
    if (ends && vocab->add_eos && vocab->eos >= 0) return qn_ids_append(ids, &vocab->eos, 1, err);
    return QN_OK;
}
