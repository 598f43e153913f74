/* SPDX-License-Identifier: Apache-2.0
 *
 * The shared option tables.
 */
#include "options.h"

#include <limits.h>
#include <stdint.h>
#include <sys/random.h>
#include <time.h>

const struct option model_options[9] = {
    {"-m, --model", OPTION_TEXT, "MODEL", 0, 0, offsetof(struct model_args, path), false, true,
     "the model, in place of the argument"},
    {"--isa", OPTION_TEXT, "NAME", 0, 0, offsetof(struct model_args, isa), false, true,
     "use kernels of this instruction set and no better one: ref, avx2, avxvnni, avx512, "
     "avx512vnni, avx512bf16, amxint8, amxbf16, amxfast, neon, dotprod, i8mm (the best that the "
     "machine has)"},
    {"--quantize", OPTION_TEXT, "TYPE", 0, 0, offsetof(struct model_args, quantize), false, true,
     "make matrices that are stored as floats this type while they load, others stay as they are: "
     "f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs; "
     "the head becomes q6_k at least"},
    {"--pack-cache", OPTION_MAYBE, "[=DIR]", 0, 0, offsetof(struct model_args, pack_cache), false,
     true,
     "keep packed weights in this folder ($XDG_CACHE_HOME/quern/packed), and map them at the next "
     "start; about as large as the model, may be deleted at any time"},
    {"--fast-prefill", OPTION_FLAG, NULL, 0, 0, offsetof(struct model_args, fast_prefill), false,
     true,
     "multiply several tokens by quantized weights with bf16 tiles (AMX-BF16; an error without "
     "them): faster, but not the bits that one token at a time gives"},
    {"--no-pin", OPTION_FLAG, NULL, 0, 0, offsetof(struct model_args, no_pin), false, true,
     "let threads move between cores"},
    {"--numa", OPTION_CHOICE, "local|interleave|isolate|distribute|numactl", 0, 0,
     offsetof(struct model_args, numa), false, true,
     "where several memory nodes are: each thread's weights on its node (local; distribute and "
     "numactl mean the same), pages on all nodes by turns, or cores of one node only"},
    {"--no-huge-pages", OPTION_FLAG, NULL, 0, 0, offsetof(struct model_args, no_huge_pages), false,
     true, "do not ask for huge pages"},
    {"--no-tune", OPTION_FLAG, NULL, 0, 0, offsetof(struct model_args, no_tune), false, true,
     "do not use what 'quern tune' found for this model and machine"},
};

const struct option thread_options[3] = {
    {"-t, --threads", OPTION_INT, "N", 1, MAX_THREADS, offsetof(struct model_args, n_threads),
     false, true, "threads (physical cores, within affinity mask and cgroup quota)"},
    {"-tb, --threads-batch", OPTION_INT, "N", 1, MAX_THREADS,
     offsetof(struct model_args, n_threads_batch), false, true,
     "threads for the prompt, where several tokens are evaluated together (as -t)"},
    {"--spin", OPTION_INT, "US", 1, 1000000, offsetof(struct model_args, spin_us), false, true,
     "microseconds that a waiting thread spins before it sleeps (50; none where threads outnumber "
     "processors)"},
};

const struct option context_options[1] = {
    {"-c, --ctx-size", OPTION_INT, "N", 0, MAX_CONTEXT, offsetof(struct session_args, n_ctx), false,
     true, "context in tokens (the model's, at most 4096)"},
};

const struct option batch_options[2] = {
    {"-b, --batch-size", OPTION_INT, "N", 1, MAX_CONTEXT, offsetof(struct session_args, n_batch),
     false, false, "tokens handed to the engine at once"},
    {"-ub, --ubatch-size", OPTION_INT, "N", 1, MAX_UBATCH, offsetof(struct session_args, n_ubatch),
     false, true, "tokens that go through the layers at once (512)"},
};

const struct option cache_options[2] = {
    {"-ctk, --cache-type-k", OPTION_CHOICE, KV_TYPES, 0, 0,
     offsetof(struct session_args, kv_type_k), false, false, "type of cached keys"},
    {"-ctv, --cache-type-v", OPTION_CHOICE, KV_TYPES, 0, 0,
     offsetof(struct session_args, kv_type_v), false, false, "type of cached values"},
};

#define SAMPLER(field) offsetof(struct sampling_args, options.field)

const struct option sampling_options[7] = {
    {"--temp", OPTION_FLOAT, "X", 0, 100, SAMPLER(temperature), false, false,
     "temperature; 0 always takes the likeliest token"},
    {"--top-k", OPTION_INT, "N", 0, INT_MAX, SAMPLER(top_k), false, false,
     "choose among the N likeliest; 0: all"},
    {"--top-p", OPTION_FLOAT, "X", 0, 1, SAMPLER(top_p), false, false,
     "choose among the likeliest that together reach this probability; 1: all"},
    {"--min-p", OPTION_FLOAT, "X", 0, 1, SAMPLER(min_p), false, false,
     "choose among those at least X times as likely as the likeliest; 0: all"},
    {"--repeat-penalty", OPTION_FLOAT, "X", 0.001, 1000, SAMPLER(repeat_penalty), false, false,
     "make recent tokens less likely; 1: do not"},
    {"--repeat-last-n", OPTION_INT, "N", 0, 1 << 20, SAMPLER(repeat_last), false, false,
     "how many tokens are recent"},
    {"-s, --seed", OPTION_SEED, "N", 0, 0, offsetof(struct sampling_args, seed), false, true,
     "seed of the choices; the same seed gives the same text; -1 or none: a random one"},
};

struct session_args session_args_default(void) {
    return (struct session_args){.n_batch = 2048,
                                 .kv_type_k = qn_kv_name(QN_KV_DEFAULT),
                                 .kv_type_v = qn_kv_name(QN_KV_DEFAULT)};
}

struct sampling_args sampling_args_default(void) {
    struct sampling_args args = {.seed = {.given = false}};
    quern_sampler_defaults(&args.options);
    return args;
}

struct quern_session_options session_options_from(const struct session_args *args) {
    return (struct quern_session_options){.n_ctx = args->n_ctx,
                                          .n_ubatch = args->n_ubatch,
                                          .kv_type_k = args->kv_type_k,
                                          .kv_type_v = args->kv_type_v};
}

enum qn_cache cache_from(const struct session_args *args) {
    enum qn_kv k, v;
    qn_kv_parse(args->kv_type_k, &k);
    qn_kv_parse(args->kv_type_v, &v);
    return qn_cache_of(k, v);
}

/* 32 bits are enough to differ and short enough to type again. */
void sampling_choose_seed(struct sampling_args *args) {
    uint32_t random;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = (uint32_t)time(NULL);
    args->options.seed = args->seed.given ? args->seed.value : random;
}
