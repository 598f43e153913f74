/* SPDX-License-Identifier: Apache-2.0
 *
 * Quern's public interface. Two nouns: a model (weights, tokenizer, threads; immutable once
 * open) and a session (KV cache and work buffers; one caller at a time). Sessions of one model may
 * be used from several threads; they take turns on the model's. Nothing here prints, exits or
 * aborts: what can fail returns a status and fills a sentence, and gives NULL where it would give
 * something to free.
 *
 * Once a session is made, nothing that is done with it allocates but quern_record_start, and
 * nothing else can fail except with QUERN_CONTEXT_FULL, QUERN_BAD_ARGUMENT (an id or position out
 * of range) and QUERN_CANCELLED.
 */
#ifndef QUERN_H
#define QUERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(QUERN_BUILD) && defined(__GNUC__)
#define QUERN_API __attribute__((visibility("default")))
#else
#define QUERN_API
#endif

enum quern_status {
    QUERN_OK,
    QUERN_BAD_ARGUMENT, /* a value of the caller's is out of range */
    QUERN_NOT_FOUND,    /* no such file, key or tensor */
    QUERN_IO,           /* the operating system failed to read or map */
    QUERN_BAD_FILE,     /* contents break the format's rules */
    QUERN_UNSUPPORTED,  /* valid, but not something this build can run */
    QUERN_NO_MEMORY,
    QUERN_CONTEXT_FULL, /* no room in the KV cache */
    QUERN_CANCELLED     /* the caller's callback said stop */
};

struct quern_error {
    enum quern_status status;
    char message[512]; /* one sentence: what, where, found, expected */
};

QUERN_API const char *quern_version(void);

/* ---- model ------------------------------------------------------------------------------ */

struct quern_model;

struct quern_model_options { /* all zero: defaults */
    int n_threads;           /* 0: physical cores, within affinity mask and cgroup quota */
    int n_threads_batch;     /* where several tokens are evaluated together; 0: n_threads */
    int spin_us;             /* that a waiting thread spins before it sleeps; 0: the default */
    const char *isa;         /* NULL: QUERN_ISA from the environment, else the best; "avx2", ... */
    bool fast_prefill; /* several tokens of quantized weights by bf16 tiles (AMX-BF16): faster,
                        * other bits than one token at a time. An error where there are none. */
    /* Do not bind threads to cores. Else the thread that opens the model is bound, too, until it
     * closes it, and those that it starts meanwhile inherit that. */
    bool no_pin;
    bool no_huge_pages;
    /* Machines with several memory nodes: "local" (NULL), each thread's weights lie on its node;
     * "interleave", their pages on all nodes by turns; "isolate", cores of the node alone on which
     * the caller runs. "distribute" and "numactl" are other names of "local". */
    const char *numa;
    /* Matrices stored as floats become this type while they load: "q4_k", any type that files can
     * have. Quantized ones stay as they are. NULL: all as stored. */
    const char *quantize;
    /* Folder where packed weights are kept, so that the next start maps them in place of packing:
     * "" is quern/packed among the user's caches; NULL: none. What is there and does not fit the
     * model, or is damaged, is replaced; see quern_model_info. */
    const char *pack_cache;
    bool vocab_only; /* read the tokenizer and no weights; sessions cannot be made */
    /* Called while weights load with the part done, 0 to 1; return false to stop. May be NULL. */
    bool (*progress)(void *context, double done);
    void *progress_context;
};

/* path: a GGUF file (any part of a split one). options and err may be NULL. */
QUERN_API enum quern_status quern_model_open(const char *path,
                                             const struct quern_model_options *options,
                                             struct quern_model **out, struct quern_error *err);
/* Its sessions must be freed before. NULL is allowed. */
QUERN_API void quern_model_close(struct quern_model *model);

struct quern_model_info { /* of vocab_only all but name, n_vocab, file_size, template: 0, NULL */
    const char *name;     /* general.name, or the file's name */
    const char *architecture; /* "llama" */
    const char *type;         /* of most weights: "Q4_1" */
    const char *isa;          /* "avx512vnni" */
    int n_threads, n_threads_batch;
    int n_vocab, n_layers, n_embd, n_heads, n_kv_heads, head_size, n_ff;
    int n_ctx_train;
    uint64_t n_params;
    uint64_t file_size;   /* bytes of the file or files */
    uint64_t weight_size; /* bytes of packed weights in memory */
    uint64_t decode_size; /* bytes of weights that one decoded token reads */
    bool has_chat_template;
    bool cached; /* packed weights were mapped from options.pack_cache */
    /* Why they were there and were not, or could not be kept: one sentence; NULL: no reason. */
    const char *uncached;
};
QUERN_API void quern_model_info(const struct quern_model *model, struct quern_model_info *info);

/* ---- text ------------------------------------------------------------------------------- */

enum {
    QUERN_ENCODE_BOS = 1,      /* add BOS and EOS where the model asks for them */
    QUERN_ENCODE_SPECIAL = 2,  /* control tokens written in the text become their ids */
    QUERN_ENCODE_CONTINUED = 4 /* the text goes on from other tokens: nothing marks its start */
};

/* text [size] bytes -> ids[capacity]; *n is the number of ids of the whole text, also when it is
 * larger than capacity (then QUERN_BAD_ARGUMENT, and nothing is written). */
QUERN_API enum quern_status quern_encode(const struct quern_model *model, const char *text,
                                         size_t size, unsigned flags, int32_t *ids, size_t capacity,
                                         size_t *n, struct quern_error *err);
/* The bytes of a token: *size bytes, not terminated, valid as long as the model; perhaps a part
 * of a character. Control tokens give no bytes unless special. NULL when id is out of range. */
QUERN_API const char *quern_token_bytes(const struct quern_model *model, int32_t id, bool special,
                                        size_t *size);
/* Exact text of a token -> id, or -1. */
QUERN_API int32_t quern_token_find(const struct quern_model *model, const char *text);
QUERN_API bool quern_token_is_end(const struct quern_model *model, int32_t id);
/* The Jinja template by which the model's conversations are written; valid as long as the model.
 * NULL: none. */
QUERN_API const char *quern_model_chat_template(const struct quern_model *model);

/* Streaming text: whole UTF-8 characters only. Zero-initialise. */
struct quern_text_stream {
    char held[4];
    int n_held;
    bool started;
};
/* Bytes to show for the next id, into out[capacity]; returns their count. Three for each byte of
 * quern_token_bytes and 3 more suffice; with less, nothing is written and the id is not taken. id
 * -1 ends the stream: what is left of an unfinished character. */
QUERN_API size_t quern_text_next(struct quern_text_stream *stream, const struct quern_model *model,
                                 int32_t id, bool special, char *out, size_t capacity);

/* ---- session ---------------------------------------------------------------------------- */

struct quern_session;

/* A tensor inside a forward pass, float, some of its rows: row r, of the token at positions[r] of
 * sequence sequences[r], is data[r * stride] ... Everything is valid during the call only.
 *
 * Names, in the order in which they come, but that ffn_norm comes before attn_norm where attention
 * and MLP stand side by side; N is the layer:
 *   embed               the stream that enters layer 0: tokens, and learned positions
 *   layers.N.attn_norm  input of Q, K and V, where a norm comes before (otherwise not there)
 *   layers.N.k, v, q    with bias, heads side by side; before norms of heads and rotation
 *   layers.N.k_rope     after norm and rotation, as it is cached
 *   layers.N.q_rope     after norm and rotation
 *   layers.N.attn       heads side by side, before the output projection
 *   layers.N.attn_out   output projection with bias, before it is normalized or added to the stream
 *   layers.N.ffn_norm   input of the MLP, as attn_norm
 *   layers.N.router     of a mixture of experts: a score for each, before the softmax
 *   layers.N.mlp_out    output of the MLP, as attn_out
 *   layers.N.out        the stream after the layer
 *   final_norm          input of the head, of tokens whose logits are asked for
 *   logits              of these
 * Heads of q and k are as the file orders their rows: GGUF files of the llama architecture have
 * the two components of a rotated pair beside each other, Hugging Face files half a head apart. */
struct quern_tensor {
    const char *name;
    size_t n_rows, n_columns;
    size_t stride; /* floats from row to row */
    const float *data;
    const int32_t *positions, *sequences; /* [n_rows] */
};
typedef void quern_tap_fn(void *context, const struct quern_tensor *tensor);

struct quern_session_options { /* all zero: defaults */
    /* Positions of all sequences together; 0: min(the model's, 4096). Where rotation depends on the
     * context (LongRoPE), n_ctx / n_sequences counts. */
    int n_ctx;
    int n_ubatch;    /* tokens that go through the layers at once; 0: 512 */
    int n_sequences; /* ids 0 .. n_sequences-1; 0: 1 */
    int n_logits;    /* rows of logits that one eval may ask for; 0: n_sequences */
    const char *kv_type_k, *kv_type_v; /* "i16" (NULL on x86), "f16" (elsewhere), "f32", "q8_0" */
    /* Called before each ubatch; return false to stop. May be NULL. */
    bool (*keep_going)(void *context);
    void *keep_going_context;
    /* Called within evals with every tensor that one of tap_patterns (shell globs, ended by NULL,
     * NULL: all; they must outlive the session) matches, a ubatch at a time. It sees the same
     * numbers that a session without it computes, and must not evaluate on the same model. NULL:
     * nobody looks. */
    quern_tap_fn *tap;
    void *tap_context;
    const char *const *tap_patterns;
};

QUERN_API enum quern_status quern_session_new(struct quern_model *model,
                                              const struct quern_session_options *options,
                                              struct quern_session **out, struct quern_error *err);
QUERN_API void quern_session_free(struct quern_session *session);

/* Token i goes to position positions[i] of sequence sequences[i]; each sequence's positions
 * continue where it ends, without gaps. logits[i] asks for the logits after token i. */
struct quern_batch {
    size_t n;
    const int32_t *tokens;    /* [n] */
    const int32_t *positions; /* [n]; NULL: each sequence continues */
    const int32_t *sequences; /* [n]; NULL: all 0 */
    const bool *logits;       /* [n]; NULL: the last token only */
};

/* Evaluates the batch, in ubatches, on the pool's threads and the caller's, whose stack needs 512
 * KiB. On failure of the checks nothing has changed; after
 * QUERN_CANCELLED the sequences hold the tokens of the ubatches that were done. */
QUERN_API enum quern_status quern_session_eval(struct quern_session *session,
                                               const struct quern_batch *batch,
                                               struct quern_error *err);
/* Row i (in order of the tokens that asked) of the last eval: float [n_vocab], valid until the
 * next eval. NULL when there is no such row. May be changed in place. */
QUERN_API float *quern_session_logits(struct quern_session *session, size_t i);

/* Positions that a sequence holds. */
QUERN_API int quern_session_length(const struct quern_session *session, int sequence);
/* Drops the positions from `length` on. */
QUERN_API void quern_session_truncate(struct quern_session *session, int sequence, int length);

struct quern_session_info {
    int n_ctx, n_ubatch, n_sequences;
    size_t kv_size;      /* bytes of the KV cache */
    size_t buffer_size;  /* bytes of work buffers */
    uint64_t bytes_read; /* weights and KV bytes that all evals read so far */
};
QUERN_API void quern_session_info(const struct quern_session *session,
                                  struct quern_session_info *info);

/* ---- recording -------------------------------------------------------------------------- */

/* When each thread worked and waited, step by step. Times are nanoseconds of CLOCK_MONOTONIC, from
 * the processor's counter where that is steady. Recording changes no result, and nothing allocates
 * while it is on; off, it costs a branch a step. */

/* A step of the session's plan. */
struct quern_step {
    int layer;          /* -1 outside the layers */
    const char *module; /* "embed", "norm", "attn", "mlp", "head" */
    const char *op;     /* "matmul", "attention", ... */
    const char *name;   /* "qkv", "down", ... */
    uint64_t bytes;     /* of packed weights that it reads */
    uint64_t flops;     /* of its products, for each token */
};
/* False when there is no such step; numbers start at 0. The names live as long as the session. */
QUERN_API bool quern_session_step(const struct quern_session *session, int number,
                                  struct quern_step *step);

struct quern_event {
    uint64_t start_ns;    /* the step before had ended */
    uint64_t work_end_ns; /* the thread's own part was done */
    uint64_t end_ns;      /* all threads had met; work_end_ns where they need not meet */
    uint32_t pass;        /* which forward pass since recording started, from 0 */
    uint16_t step;        /* see quern_session_step */
    uint16_t pieces;      /* pieces or rows of the step's work that the thread did */
};

/* Tokens that went through all steps together. */
struct quern_pass {
    uint64_t start_ns, end_ns; /* on the thread that called quern_session_eval */
    int n_tokens, n_logits;    /* tokens; those whose logits were computed */
    int n_threads;             /* that took part, the first ones; the others have no events */
    int position;              /* of the last token */
    bool decode;               /* one token of each sequence */
};

/* Records from now on; rings hold the last n_passes passes (rounded up to a power of two). What was
 * recorded before is forgotten. Allocates, unlike everything else of a session.
 * Errors: QUERN_BAD_ARGUMENT (0 passes), QUERN_NO_MEMORY; nothing is recorded then. */
QUERN_API enum quern_status quern_record_start(struct quern_session *session, size_t n_passes,
                                               struct quern_error *err);
/* Ends the recording and forgets what was recorded. */
QUERN_API void quern_record_stop(struct quern_session *session);
/* Take the oldest events of a thread, or passes, that were not taken yet, at most `capacity`;
 * return their number, 0 when nothing is left or recorded. Times of one call are on one line; those
 * of another may be off by some tens of nanoseconds, as the clocks are compared anew. *lost grows
 * by those that rings which were full dropped before; may be NULL. A thread that a pass does not
 * need, where n_threads_batch differs from n_threads, has no events of it. */
QUERN_API size_t quern_record_events(struct quern_session *session, int thread,
                                     struct quern_event *events, size_t capacity, uint64_t *lost);
QUERN_API size_t quern_record_passes(struct quern_session *session, struct quern_pass *passes,
                                     size_t capacity, uint64_t *lost);

/* ---- sampler ---------------------------------------------------------------------------- */

struct quern_sampler;

struct quern_sampler_options {
    float temperature;    /* 0: greedy */
    int top_k;            /* 0: all */
    float top_p;          /* 1: all */
    float min_p;          /* 0: all */
    float repeat_penalty; /* 1: none; over the last repeat_last tokens */
    int repeat_last;
    uint64_t seed;
};

/* temperature 0.8, top_k 40, top_p 0.95, min_p 0.05, repeat_penalty 1, repeat_last 64, seed 0. */
QUERN_API void quern_sampler_defaults(struct quern_sampler_options *options);
/* options: NULL for the defaults. Errors: QUERN_BAD_ARGUMENT (one is out of its range),
 * QUERN_NO_MEMORY. */
QUERN_API enum quern_status quern_sampler_new(const struct quern_model *model,
                                              const struct quern_sampler_options *options,
                                              struct quern_sampler **out, struct quern_error *err);
QUERN_API void quern_sampler_free(struct quern_sampler *sampler);
/* Chooses from logits [n_vocab], remembers the token. Order: repeat penalty, top-k, top-p,
 * min-p, temperature. Does not change the logits. */
QUERN_API int32_t quern_sampler_next(struct quern_sampler *sampler, const float *logits);
/* The same of row i of the session's last eval, whose logits were not changed: sooner, because the
 * pass has found the largest of them on its way. i must be a row that was asked for, the sampler of
 * the session's model. */
QUERN_API int32_t quern_session_next(struct quern_session *session, size_t i,
                                     struct quern_sampler *sampler);
/* Remembers a token that was not sampled (the prompt's). */
QUERN_API void quern_sampler_accept(struct quern_sampler *sampler, int32_t token);

#ifdef __cplusplus
}
#endif

#endif
