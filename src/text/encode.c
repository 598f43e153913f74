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

/* A stretch of normalized text: words, and added tokens that are looked for only now. */
static enum qn_status encode_normalized(struct qn_encoding *encoding, const char *text, size_t size,
                                        bool first, bool control, struct qn_error *err) {
    struct qn_special_walk walk = {.text = text, .size = size, .control = control};
    const struct qn_special_token *token;
    do {
        size_t begin, end;
        token = qn_special_next(&encoding->tokenizer->normalized, &walk, &begin, &end);
        QN_TRY(qn_split_encode(encoding, text + begin, end - begin, first && begin == 0, err));
        if (token != NULL) QN_TRY(qn_ids_append(encoding->ids, &token->id, 1, err));
    } while (token != NULL);
    return QN_OK;
}

/* A stretch of text between added tokens. first: it starts the whole text. */
static enum qn_status encode_segment(struct qn_encoding *encoding, const char *text, size_t size,
                                     bool first, bool control, struct qn_error *err) {
    const struct qn_tokenizer *tokenizer = encoding->tokenizer;
    if (size == 0) return QN_OK;
    if (tokenizer->vocab.model == QN_VOCAB_SPM) return qn_spm_encode(encoding, text, size, err);
    const char *normalized = text;
    QN_TRY(qn_normalize(&tokenizer->normalizers, encoding->normalized, &encoding->regex,
                        &normalized, &size, &first, err));
    encoding->epoch = normalized == text ? 0 : ++encoding->last_epoch;
    return encode_normalized(encoding, normalized, size, first, control, err);
}

/* text: valid UTF-8. */
static enum qn_status encode_valid(struct qn_encoding *encoding, const char *text, size_t size,
                                   unsigned flags, struct qn_error *err) {
    const bool control = (flags & QN_ENCODE_SPECIAL) != 0;
    const bool continued = (flags & QN_ENCODE_CONTINUED) != 0;
    const size_t max = qn_normalized_max(size);
    for (size_t i = 0; i < 2; i++) encoding->normalized[i].max = max;
    for (size_t i = 0; i < QN_PASSES_MAX; i++) encoding->rewritten[i].max = max;
    struct qn_special_walk walk = {.text = text, .size = size, .control = control};
    const struct qn_special_token *token;
    do {
        size_t begin, end;
        token = qn_special_next(&encoding->tokenizer->special, &walk, &begin, &end);
        const bool first = begin == 0 && !continued;
        QN_TRY(encode_segment(encoding, text + begin, end - begin, first, control, err));
        if (token != NULL) QN_TRY(qn_ids_append(encoding->ids, &token->id, 1, err));
    } while (token != NULL);
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
    const bool affixes = (flags & QN_ENCODE_BOS) != 0;
    if (affixes) QN_TRY(qn_ids_append(ids, tokenizer->prefix, tokenizer->n_prefix, err));
    struct qn_encoding encoding = {.tokenizer = tokenizer, .ids = ids};
    make_cache(&encoding, size);
    const enum qn_status status = encode_any(&encoding, text, size, flags, err);
    qn_merger_free(&encoding.merger);
    for (size_t i = 0; i < 2; i++) free(encoding.normalized[i].data);
    for (size_t i = 0; i < QN_PASSES_MAX; i++) free(encoding.rewritten[i].data);
    qn_regex_work_free(encoding.regex);
    free(encoding.scratch.data);
    free(encoding.lattice);
    free(encoding.cache);
    if (status != QN_OK) return status;
    return affixes ? qn_ids_append(ids, tokenizer->suffix, tokenizer->n_suffix, err) : QN_OK;
}
