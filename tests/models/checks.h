/* SPDX-License-Identifier: Apache-2.0
 *
 * What every model of the suite is held to. Each check counts itself as passed or failed and
 * prints only failures.
 */
#ifndef QN_TESTS_MODELS_CHECKS_H
#define QN_TESTS_MODELS_CHECKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "npy.h"
#include "quern.h"

enum { MAX_IDS = 64, PATH_SIZE = 512, LINE_SIZE = 4096, N_CTX = 192 };

/* The inputs that all models are given. */
struct golden {
    struct npy ids;       /* int32 [T] */
    struct npy positions; /* int32 [P], those whose logits are kept */
};

/* A line of a table of models. */
struct subject {
    char name[96];           /* for messages */
    char type[16];           /* of most weights: "f32", "q4_k" */
    char path[PATH_SIZE];    /* what is opened */
    char logits[PATH_SIZE];  /* float32 [P][V] by transformers */
    char rounded[PATH_SIZE]; /* the same with inputs rounded to int8; may not exist */
    char greedy[PATH_SIZE];  /* prompts and continuations; may not exist */
    char words[PATH_SIZE];   /* texts and their ids, of many models */
    char file[96];           /* what `words` calls this model, if it does */
};

/* Counts; prints the sentence when it is not ok. */
void check(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints "N passed, N failed" and returns the exit status. */
int check_result(void);

/* NULL, and a failure counted, when it does not open. */
struct quern_model *open_model(const char *path, int n_threads, int n_threads_batch);
/* Ends the program on failure. ubatch and kv: 0 and NULL for the defaults; kv is "f16", or
 * "q8_0/f16" for K and V of different types. */
struct quern_session *new_session(struct quern_model *model, int n_ubatch, int n_sequences,
                                  const char *kv);
/* Logits of every token; sequences may be NULL. */
void eval(struct quern_session *session, const int32_t *ids, const int32_t *sequences, size_t n);

/* Logits against transformers'; prints the line of the model, after `prefix`. */
void check_logits(struct quern_model *model, const struct subject *subject,
                  const struct golden *golden, const char *prefix);
/* The same bits for every KV type, number of threads, size of calls and mix of sequences. */
void check_bits(struct quern_model *model, const struct subject *subject, const struct npy *ids);
/* The same bits for tokens one by one and many, on 1 to 8 threads, where a token sees several spans
 * of attention; of some models. */
void check_long(const struct subject *subject, const struct npy *ids);
/* What must be refused, and that decoding does not allocate. */
void check_limits(struct quern_model *model, const char *name);
/* Greedy continuations, where a file of them exists. */
void check_greedy(struct quern_model *model, const struct subject *subject);
/* The ids of texts, where the table of them has the model. */
void check_words(struct quern_model *model, const struct subject *subject);

#endif
