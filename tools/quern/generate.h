/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing an answer: evaluates what is pending, then samples, shows and evaluates tokens one by
 * one. Between answers the KV cache and `pending` together hold the whole conversation, so that
 * the next turn evaluates only what is new.
 */
#ifndef QUERN_TOOLS_GENERATE_H
#define QUERN_TOOLS_GENERATE_H

#include "input.h"
#include "options.h"
#include "slow_report.h"

struct generate_args {
    int n_predict; /* -1: until the model ends */
    bool ignore_eos, print_ids, quiet;
    float explain_slow; /* times the median; 0: do not */
};

enum { MAX_END_TOKENS = 64 };

struct generator {
    struct quern_model *model;
    struct quern_session *session;
    struct quern_sampler *sampler;
    struct generate_args args;
    int n_vocab, n_ctx, n_batch;
    int32_t ends[MAX_END_TOKENS]; /* tokens that are never chosen: with ignore_eos */
    int n_ends;
    struct token_list pending; /* tokens that follow the cached ones, not evaluated yet */

    int answer_start;        /* cached positions before the last answer; 0: there is none */
    int32_t before_answer;   /* the token at answer_start - 1 */
    bool printed, line_open; /* of the answer: anything; something after the last newline */

    size_t n_prompt, n_decoded; /* tokens evaluated, of all answers */
    double prompt_seconds, decode_seconds;
    uint64_t decode_bytes;
    uint64_t watched_bytes;  /* when the last token was shown */
    struct slow_report slow; /* of all answers' tokens but the first ones */
};

enum answer {
    ANSWER_ENDED,     /* the model said so */
    ANSWER_LIMIT,     /* n_predict tokens */
    ANSWER_FULL,      /* the context is full */
    ANSWER_STOPPED,   /* Ctrl-C in the answer: what was shown stays */
    ANSWER_CANCELLED, /* Ctrl-C before it began: cache and pending are as before */
    ANSWER_TOO_LONG,  /* pending does not fit the context: the same */
    ANSWER_FAILED     /* its sentence is printed */
};

/* EXIT_DONE, or another exit status with the sentence printed. */
int generator_new(struct quern_model *model, const struct session_args *session_args,
                  const struct sampling_args *sampling_args, const struct generate_args *args,
                  struct generator *out);
void generator_free(struct generator *generator);

/* Answers what is pending (at least one token). */
enum answer generator_answer(struct generator *generator);

/* Takes the last answer back, so that another can be written; false when there is none. */
bool generator_retract(struct generator *generator);

/* Forgets the conversation. */
void generator_clear(struct generator *generator);

/* Speeds and the hash of the last logits, on stderr. */
void generator_report(const struct generator *generator);

/* With explain_slow: which tokens took too long, and why, on stderr. */
void generator_explain(const struct generator *generator);

#endif
