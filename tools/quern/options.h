/* SPDX-License-Identifier: Apache-2.0
 *
 * Options that subcommands share: the model and its threads, the session, sampling. A subcommand
 * that runs a model has all of the first two.
 */
#ifndef QUERN_TOOLS_OPTIONS_H
#define QUERN_TOOLS_OPTIONS_H

#include "args.h"
#include "plan/plan.h"
#include "quern.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { MAX_THREADS = 256, MAX_CONTEXT = 1 << 24, MAX_UBATCH = 1 << 16 };

struct model_args {
    const char *path;
    const char *isa;
    bool fast_prefill;
    const char *quantize;   /* NULL: weights as stored */
    const char *numa;       /* NULL: local */
    const char *pack_cache; /* folder, "" the user's; NULL: none */
    int n_threads;          /* 0: the engine's choice */
    int n_threads_batch;    /* 0: n_threads */
    int spin_us;            /* 0: the engine's choice */
    bool no_pin, no_huge_pages, no_tune;
};

struct session_args {
    int n_ctx;             /* 0: the engine's choice */
    int n_batch, n_ubatch; /* n_ubatch 0: the engine's choice */
    const char *kv_type_k, *kv_type_v;
};

struct sampling_args {
    struct quern_sampler_options options;
    struct seed seed;
};

extern const struct option model_options[9];
extern const struct option thread_options[3];
extern const struct option context_options[1];
extern const struct option batch_options[2];
extern const struct option cache_options[2];
extern const struct option sampling_options[7];

/* The groups over a target: OPTION_GROUP("Model", model_options, &model). */
#define OPTION_GROUP(heading, table, address)                                                      \
    { .title = (heading), .options = (table), .n_options = COUNT(table), .target = (address) }

/* Choices of -ctk and -ctv. */
#define KV_TYPES "f16|i16|f32|q8_0"

struct session_args session_args_default(void);
struct sampling_args sampling_args_default(void);

struct quern_session_options session_options_from(const struct session_args *args);

/* Types that the parser of arguments let through. */
enum qn_cache cache_from(const struct session_args *args);

/* Fills in a random seed unless one was given. */
void sampling_choose_seed(struct sampling_args *args);

#endif
