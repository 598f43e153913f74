/* SPDX-License-Identifier: Apache-2.0
 *
 * The static execution plan: every step of a forward pass and every byte of a session, fixed
 * before the first token from the model's specification and the session's limits. The executor
 * walks the steps; nothing is decided, allocated or looked up by name on the way.
 */
#ifndef QN_PLAN_PLAN_H
#define QN_PLAN_PLAN_H

#include <stdio.h>

#include "models/spec.h"

/* Work buffers, a row for each token of a ubatch; LOGITS: for each output. In models with experts
 * the ACTs, GATE and UP have a row for each slot, a token's choice of an expert: S = M times
 * the experts that a token uses. PARTS has a row for each KV head, and is there only where a single
 * token may see several spans and threads without KV heads of their own then divide heads by them.
 * All float but the ACTs and ROUTES. */
enum qn_buffer_id {
    QN_BUFFER_X,          /* [M][E] residual stream */
    QN_BUFFER_EMBD,       /* [M][Et] token embeddings before, or outputs after, their projection */
    QN_BUFFER_ACT_F32,    /* [M] rows ready for float weights */
    QN_BUFFER_ACT_Q8,     /* [M] rows ready for quantized weights */
    QN_BUFFER_ACT_Q8X2,   /* [outputs] rows ready for a quantized head */
    QN_BUFFER_ACT_BF16X2, /* [M] rows ready for 16-bit weights and bf16 tiles */
    QN_BUFFER_ACT_BF16,   /* [M] rows ready for weights that bf16 instructions multiply */
    QN_BUFFER_ACT_I16,    /* [M] rows ready for weights of 16-bit integers, [outputs] for a head */
    QN_BUFFER_Q,          /* [M][H D] */
    QN_BUFFER_K,          /* [M][Hkv D] */
    QN_BUFFER_V,          /* [M][Hkv D] */
    QN_BUFFER_ATTN,       /* [M][H D] heads' outputs */
    QN_BUFFER_PARTS,      /* [Hkv] records of attention's spans, [spans][H / Hkv] */
    QN_BUFFER_GATE,       /* [M][F], then the activated product */
    QN_BUFFER_UP,         /* [M][F] */
    QN_BUFFER_OUT,        /* [M][E] output of a module, before it is added to the stream */
    QN_BUFFER_ROUTER,     /* [M][experts] */
    QN_BUFFER_ROUTES,     /* [M] chosen experts, int32 [used], and their weights, float [used] */
    QN_BUFFER_SLOTS,      /* [S][E] outputs of experts */
    QN_BUFFER_COS,        /* [M][rope sets][n_rot / 2] */
    QN_BUFFER_SIN,        /* [M][rope sets][n_rot / 2] */
    QN_BUFFER_LOGITS,     /* [outputs][V] */
    QN_BUFFER_MAXIMA,     /* [outputs] largest of each block of QN_LOGITS_BLOCK logits */
    QN_BUFFER_COUNT
};

/* A multiple of every tile's rows, so that no block is cut between threads. */
enum { QN_LOGITS_BLOCK = 64 };
static inline int qn_n_maxima(int n_logits) {
    return (n_logits + QN_LOGITS_BLOCK - 1) / QN_LOGITS_BLOCK;
}

/* Where rows of a form are prepared. */
enum qn_buffer_id qn_act_buffer(enum qn_act act);

enum qn_op {
    QN_OP_EMBED,     /* tokens -> X or EMBD, positions -> X or COS, SIN */
    QN_OP_PREPARE,   /* norm (if any) of `in`, made ready for the next products */
    QN_OP_MATMUL,    /* up to three products of the prepared rows */
    QN_OP_STORE_KV,  /* rows of Q and K normalized (if the family does), K rotated, K, V cached */
    QN_OP_ATTENTION, /* Q and the cache -> ATTN */
    QN_OP_RESIDUAL,  /* X <- X + norm (if any) of OUT */
    QN_OP_NORM,      /* X <- norm of X */
    QN_OP_ROUTE,     /* ROUTER -> ROUTES */
    QN_OP_NUMBER,    /* ROUTES -> slots, numbered by each thread for itself */
    QN_OP_COUNT
};

/* What the thread that computed a piece of a MATMUL does with it before the barrier. */
enum qn_after {
    QN_AFTER_NOTHING,
    QN_AFTER_ADD,      /* the product was added to `out`, the residual stream */
    QN_AFTER_STORE_KV, /* K is normalized (if the family does) and rotated, K and V go to the cache
                        */
    QN_AFTER_ACTIVATE, /* GATE <- activation(GATE) * UP, or activation(GATE) */
    QN_AFTER_MAXIMA,   /* LOGITS' MAXIMA are found */
    QN_AFTER_SOFTCAP,  /* LOGITS are capped, then the same */
    QN_AFTER_COMBINE   /* a token's weighted SLOTS, summed, are added to X or become OUT */
};

/* What parts a step from the next when there is a single token or output. */
enum qn_meet {
    QN_MEET_ALWAYS, /* a barrier */
    QN_MEET_TOKENS, /* nothing: every thread does all of it for itself; of several, a barrier */
    QN_MEET_LATER,  /* nothing: the next product needs nothing of it, or only a thread's own rows */
    QN_MEET_HEADS,  /* nothing where threads have KV heads of their own (qn_plan_has_own_heads) */
    QN_MEET_NEVER,  /* nothing, of several neither */
};

/* What the rows are that a step works on. */
enum qn_rows {
    QN_ROWS_TOKENS,
    QN_ROWS_OUTPUTS, /* only tokens whose logits are asked for */
    QN_ROWS_SLOTS    /* each token's choices of experts */
};

struct qn_product {
    enum qn_role weight, bias; /* bias QN_ROLE_COUNT: none */
    enum qn_buffer_id out;
};

struct qn_step {
    enum qn_op op;
    int layer;        /* -1 outside the layers */
    const char *name; /* "attn_norm", "qkv", ... */
    enum qn_buffer_id in;
    enum qn_role norm; /* PREPARE, RESIDUAL, NORM: its weight, the bias is the role behind it;
                          QN_ROLE_COUNT: none */
    unsigned acts[2];  /* PREPARE: bit per enum qn_act to produce of one row, of several */
    int n_products;
    struct qn_product products[3]; /* STORE_KV: K, V, Q in this order */
    enum qn_after after;
    enum qn_meet meet;
    enum qn_rows rows;
    enum qn_buffer_id sum; /* COMBINE: X or OUT */
    size_t bytes;          /* packed weights that it reads for one token */
    uint64_t flops;        /* per token: 2 for each weight used */
};

struct qn_limits {
    int n_ctx, n_ubatch, n_sequences, n_logits, n_threads;
    int n_threads_one; /* of them those that decode a single token; 0: all */
    enum qn_cache cache;
    uint32_t bundles; /* of the kernels: what form of rows each weight takes */
    bool tapped;      /* Q, K, V and modules' outputs stand in buffers before they are used */
};

struct qn_buffer {
    const char *name;
    size_t row_size; /* bytes, a multiple of 64 */
    int n_rows;
    size_t offset; /* in the session's arena */
};

/* Where everything of a session lies; offsets into its arena, sizes in bytes. */
struct qn_layout {
    int n_blocks;              /* KV blocks of QN_KV_BLOCK positions */
    int sequence_blocks;       /* that one sequence can have */
    size_t k_block, v_block;   /* of one head */
    size_t k_layer, v_layer;   /* of one layer: [n_blocks][Hkv] blocks */
    size_t kv_offset, kv_size; /* [L] K, then [L] V */
    size_t buffer_offset, buffer_size;
    size_t scratch_offset, scratch_size; /* scratch_size: of one thread */
    size_t norm, matmul;                 /* offsets within a thread's scratch */
    size_t sums;                         /* likewise: float [2 outputs][qn_plan_sums_columns] */
    size_t act[QN_ACT_COUNT];            /* likewise: prepared rows of each form */
    size_t route, slots;                 /* likewise: a row of ROUTES; see qn_slots_at */
    size_t queries;                      /* likewise: a row of Q where heads share a norm, the
                                            queries of a KV head where there is PARTS */
    size_t stream;                       /* likewise: a row of X, see own_stream */
    size_t total;
};

struct qn_plan {
    const struct qn_spec *spec; /* not owned */
    struct qn_limits limits;
    /* Modules' outputs are normalized, so each thread adds a single token's to a stream of its own
     * rather than wait for one that adds them. */
    bool own_stream;
    int n_steps;
    struct qn_step *steps; /* [n_steps] */
    struct qn_buffer buffers[QN_BUFFER_COUNT];
    struct qn_layout layout;
};

/* Errors: QN_BAD_ARGUMENT (limits out of range), QN_UNSUPPORTED, QN_NO_MEMORY. */
enum qn_status qn_plan_new(const struct qn_spec *spec, const struct qn_limits *limits,
                           struct qn_plan *plan, struct qn_error *err);
void qn_plan_free(struct qn_plan *plan); /* idempotent */

/* The form in which a product of a MATMUL reads its rows: of a single one, or of many. */
enum qn_act qn_product_act(const struct qn_plan *plan, const struct qn_step *step,
                           const struct qn_product *product, bool many);
/* Of how many logits at a time, a multiple of QN_LOGITS_BLOCK, the products with the two parts of n
 * rows of Q8X2 are kept before they are summed. */
int qn_plan_sums_columns(int n);
/* Buffers that a step reads or writes, as bits. */
uint32_t qn_step_reads(const struct qn_step *step);
uint32_t qn_step_writes(const struct qn_step *step);
/* Buffers that a step must leave alone or works on itself, as bits: busy [n_steps]. Two that are
 * busy at one step share no bytes. */
void qn_plan_busy(const struct qn_plan *plan, uint32_t *busy);
/* Whether each thread computes Q, K and V of whole KV heads of a single token, as many as the
 * others, and attends with these: their rows are whole tiles of the weights. */
bool qn_plan_has_own_heads(const struct qn_plan *plan, int n_threads);
/* Whether n_threads meet after a step for m tokens or outputs. */
bool qn_step_has_barrier(const struct qn_plan *plan, const struct qn_step *step, int m,
                         int n_threads);
/* Of a decoded token, on the threads that the limits name. */
bool qn_step_has_decode_barrier(const struct qn_plan *plan, const struct qn_step *step);

const char *qn_op_name(enum qn_op op);

/* The parts of a model that its time is told by. A PREPARE that normalizes is NORM; one that only
 * brings rows into another form belongs to the product that reads them. */
enum qn_module {
    QN_MODULE_EMBED,
    QN_MODULE_NORM,
    QN_MODULE_ATTN,
    QN_MODULE_MLP,
    QN_MODULE_HEAD,
    QN_MODULE_COUNT
};
enum qn_module qn_plan_module(const struct qn_plan *plan, int step);
const char *qn_module_name(enum qn_module module); /* "embed", "norm", "attn", "mlp", "head" */

/* Name -> cache type; false when there is none of that name. */
bool qn_kv_parse(const char *name, enum qn_kv *kv);
const char *qn_kv_name(enum qn_kv kv);
/* "f16", or "f16/q8_0" for K of f16 and V of q8_0. */
const char *qn_cache_name(enum qn_cache cache);

/* The least time that a machine needs for each step, nanoseconds. */
struct qn_plan_times {
    double *decode, *prefill; /* [n_steps] */
    int position;             /* of the decoded token */
    int n_prefill;            /* tokens from an empty cache, in ubatches */
    double decode_sum, prefill_sum;
};

/* Writes the plan as text: steps of one layer and those outside, buffers, and where each byte of
 * memory goes. times: shown beside the bytes, or NULL. */
void qn_plan_print(const struct qn_plan *plan, const struct qn_plan_times *times, FILE *out);

#endif
