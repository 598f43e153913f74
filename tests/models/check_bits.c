/* SPDX-License-Identifier: Apache-2.0
 *
 * The promise of equal bits: for any number of threads, any ubatch and any mix of sequences.
 */
#include <stdlib.h>
#include <string.h>

#include "checks.h"

/* The greedy choice from row i: by what the pass has found of the logits, and by looking at all. */
static bool chooses_largest(struct quern_session *session, struct quern_sampler *greedy, size_t i) {
    return quern_session_next(session, i, greedy) ==
           quern_sampler_next(greedy, quern_session_logits(session, i));
}

/* Evaluates the ids in calls of `step` tokens, in a session of `ubatch`, and compares every row of
 * logits with those of all at once. */
static void check_chunks(struct quern_model *model, const char *name, const struct npy *ids,
                         const char *kv, int ubatch, size_t step, const float *expected,
                         size_t n_vocab) {
    struct quern_session *const session = new_session(model, ubatch, 1, kv);
    const struct quern_sampler_options options = {.top_p = 1, .repeat_penalty = 1};
    struct quern_sampler *greedy = NULL;
    bool equal = true, largest = true;
    check(quern_sampler_new(model, &options, &greedy, NULL) == QUERN_OK, "%s: no sampler", name);
    for (size_t first = 0; first < ids->rows; first += step) {
        const size_t n = ids->rows - first < step ? ids->rows - first : step;
        eval(session, ids->i32 + first, NULL, n);
        for (size_t i = 0; i < n; i++) {
            largest = largest && chooses_largest(session, greedy, i);
            equal = equal && memcmp(quern_session_logits(session, i),
                                    expected + (first + i) * n_vocab, n_vocab * sizeof(float)) == 0;
        }
    }
    quern_sampler_free(greedy);
    check(largest, "%s: ubatch %d, %zu tokens a call: another choice by maxima than by logits",
          name, ubatch, step);
    check(equal, "%s: KV %s, ubatch %d, %zu tokens a call: bits differ from all at once", name, kv,
          ubatch, step);
    quern_session_free(session);
}

static float *all_logits(struct quern_model *model, const struct npy *ids, const char *kv,
                         size_t n_vocab) {
    float *const all = malloc(ids->rows * n_vocab * sizeof *all);
    struct quern_session *const session = new_session(model, 0, 1, kv);
    eval(session, ids->i32, NULL, ids->rows);
    for (size_t i = 0; i < ids->rows; i++)
        memcpy(all + i * n_vocab, quern_session_logits(session, i), n_vocab * sizeof *all);
    quern_session_free(session);
    return all;
}

/* Two sequences interleaved, one of them truncated and refilled, give what each gives alone. */
static void check_sequences(struct quern_model *model, const char *name, const struct npy *ids,
                            const float *expected, size_t n_vocab) {
    struct quern_session *const session = new_session(model, 32, 2, "f16");
    int32_t tokens[2 * MAX_IDS], sequences[2 * MAX_IDS];
    bool equal = true;
    const size_t n = ids->rows;
    eval(session, ids->i32, NULL, n / 2); /* will be dropped from position 3 on */
    quern_session_truncate(session, 0, 3);
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        tokens[total] = ids->i32[i];
        sequences[total++] = 1;
        if (i < 3) continue;
        tokens[total] = ids->i32[i];
        sequences[total++] = 0;
    }
    eval(session, tokens, sequences, total);
    size_t next[2] = {3, 0};
    for (size_t i = 0; i < total; i++)
        equal = equal &&
                memcmp(quern_session_logits(session, i), expected + next[sequences[i]]++ * n_vocab,
                       n_vocab * sizeof(float)) == 0;
    check(equal, "%s: two sequences together give other bits than alone", name);
    check(quern_session_length(session, 0) == (int)n && quern_session_length(session, 1) == (int)n,
          "%s: sequences hold %d and %d positions; expected %zu", name,
          quern_session_length(session, 0), quern_session_length(session, 1), n);
    quern_session_free(session);
}

void check_bits(struct quern_model *model, const struct subject *subject, const struct npy *ids) {
    static const size_t steps[] = {1, 7, 17};
    struct quern_model_info info;
    const char *const name = subject->name;
    quern_model_info(model, &info);
    const size_t n_vocab = (size_t)info.n_vocab;
    const bool in_32s = info.head_size % 32 == 0; /* as q8_0 wants them */
    const char *const kinds[] = {"f16",
                                 "i16",
                                 "f32",
                                 "i16/f16",
                                 "f16/i16",
                                 in_32s ? "q8_0" : "f32/f16",
                                 in_32s ? "q8_0/f16" : "f16/f32"};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        float *const expected = all_logits(model, ids, kinds[k], n_vocab);
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++)
            check_chunks(model, name, ids, kinds[k], 64, steps[s], expected, n_vocab);
        check_chunks(model, name, ids, kinds[k], 5, ids->rows, expected, n_vocab);
        if (k == 0) {
            check_sequences(model, name, ids, expected, n_vocab);
            for (int threads = 1; threads <= 4; threads++) {
                struct quern_model *const other = open_model(subject->path, threads, 5 - threads);
                if (other == NULL) continue;
                check_chunks(other, name, ids, kinds[k], 64, ids->rows, expected, n_vocab);
                check_chunks(other, name, ids, kinds[k], 64, 1, expected, n_vocab);
                /* Ubatches of 5 tokens and one: both numbers of threads by turns. */
                check_chunks(other, name, ids, kinds[k], 5, 6, expected, n_vocab);
                quern_model_close(other);
            }
        }
        free(expected);
    }
}
