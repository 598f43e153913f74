/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel laboratory: one kernel on one shape, its operands laid into a chosen level of the
 * memory, run on the threads of a pool, timed, counted and held against the reference.
 */
#ifndef QN_REPORT_LAB_H
#define QN_REPORT_LAB_H

#include "host/counters.h"
#include "report/machine.h"

/* A kernel and the table through which it is run: that of its instruction set, or a user's own
 * function in a slot of this machine's. */
struct qn_lab_kernel {
    const char *op;       /* "matmul" */
    const char *variant;  /* "Q4_0" */
    const char *function; /* "qn_matmul_q4_0__avx2" */
    int slot;             /* index of the variant */
    enum qn_isa isa;
    struct qn_kernels table;
};

/* "QN_PACK_Q4_0" -> "Q4_0"; "" for operations of one variant. */
const char *qn_lab_variant(const char *variant_name);

/* The kernel of an entry of the inventory. */
struct qn_lab_kernel qn_lab_kernel_of(const struct qn_kernel_entry *entry);

/* The types of the cache that a kv_store (both) or attention kernel works on. */
enum qn_cache qn_lab_cache(const struct qn_lab_kernel *kernel);

/* Sizes that a case may depend on; each operation takes its own (qn_lab_shape_text). */
struct qn_lab_shape {
    int m;           /* tokens */
    int n, k;        /* weights [n][k]; rows of k; activations, softmax and softcap of n */
    int t;           /* positions that attention sees */
    int d, g, heads; /* head size, query heads of a KV head, KV heads */
};

/* Whether the laboratory knows the operation; every one of the inventory, which a test asserts. */
bool qn_lab_knows(const char *op);
/* Sizes that an operation does not use become 0, so that equal cases compare equal. */
struct qn_lab_shape qn_lab_shape_of(const char *op, const struct qn_lab_shape *shape);
/* NULL, or why the kernel cannot take the shape: "K must be a multiple of 256". */
const char *qn_lab_shape_problem(const struct qn_lab_kernel *kernel,
                                 const struct qn_lab_shape *shape);
/* "512x4864x896" (M, N, K), "1x896"; of attention "1:512x2x7x64" (tokens: positions, KV heads,
 * group, head size). */
void qn_lab_shape_text(const char *op, const struct qn_lab_shape *shape, char *text, size_t size);

struct qn_lab_options {
    int n_samples;      /* at least 1, at most QN_LAB_MAX_SAMPLES */
    double max_seconds; /* no more samples after this long */
    bool counters;
};
enum { QN_LAB_MAX_SAMPLES = 1000 };

struct qn_lab_result {
    /* Seconds of a call on the slowest thread; processor time, so other programs on its core do not
     * count, and the threads do not wait for each other. */
    double median, min, p5, p95;
    /* 95 % confidence interval of the median, by ranks; NaNs of fewer than 6 samples, which have
     * none: the median lies between the least and the largest of 5 with 1 - 2^-4 = 94 %. */
    double low, high;
    double wall_median; /* the same by the clock on the wall */
    int n_samples;
    double ops;          /* arithmetic operations of a call, 0 where they are not counted */
    double bytes;        /* of operands that a call reads and writes */
    enum qn_level where; /* the level that holds what a call walks through: the one asked for, or
                            the next that is large enough */
    bool in_l1;          /* hot operands that fit even there */
    bool between;  /* in L1, or more than one level holds and less than nearly twice as much: partly
                      there,  so  that no measured bandwidth compares */
    size_t copies; /* of the operands, which calls take in turn */
    double error;  /* largest difference to the reference, by its root mean square */
    bool right;    /* no element further off than rounding can explain */
    uint64_t counts[QN_COUNTER_COUNT]; /* of a call, all threads; of meaning where counted */
    bool counted[QN_COUNTER_COUNT];
};

/* Errors: QN_BAD_ARGUMENT (qn_lab_shape_problem), QN_NO_MEMORY. */
enum qn_status qn_lab_measure(struct qn_pool *pool, const struct qn_lab_kernel *kernel,
                              const struct qn_lab_shape *shape, enum qn_level where,
                              const struct qn_lab_options *options, struct qn_lab_result *result,
                              struct qn_error *err);

/* Whether results are right on the given shape, and for products with biases, sums into old y and
 * rows in pieces; runs on one thread and times nothing. Fills error and right. */
enum qn_status qn_lab_check(const struct qn_lab_kernel *kernel, const struct qn_lab_shape *shape,
                            struct qn_lab_result *result, struct qn_error *err);

#endif
