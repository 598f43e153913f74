/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel checker's frame: kernels of the inventory, cases and their verdicts. A case is one
 * kernel on one shape and one kind of input; each counts once.
 */
#ifndef QN_TESTS_KERNEL_CHECK_H
#define QN_TESTS_KERNEL_CHECK_H

#include "compare.h"
#include "kernels/inventory.h"

struct check;
struct check_kernel;

/* Checks all kernels of one operation and variant, [n], on the same cases. There is one such
 * function for every operation of the inventory, named check_<operation>. */
typedef void check_group_fn(struct check *c, const struct check_kernel *const *kernels, int n);

struct check_kernel {
    enum qn_isa isa;
    const char *op;
    int variant;
    const char *variant_name;
    const char *function;
    union { /* member named as the operation */
        qn_prepare_fn *prepare;
        qn_matmul_fn *matmul;
        qn_matvec_fn *matvec;
        qn_norm_fn *norm;
        qn_softmax_fn *softmax;
        qn_rope_fn *rope;
        qn_activation_fn *activation;
        qn_add_fn *add;
        qn_add_scaled_fn *add_scaled;
        qn_softcap_fn *softcap;
        qn_kv_store_fn *kv_store;
        qn_attention_fn *attention;
        qn_attention_merge_fn *attention_merge;
    } run;
    check_group_fn *check;
};

struct check {
    struct qn_kernels ref;
    uint32_t bundles; /* that are run */
    bool quick;       /* fewer shapes, for emulators */
    bool verbose;
    const char *filter; /* part of the function names to check, or NULL */
    long passed, failed;
    long shown; /* failures printed of the current kernel or table */

    /* the case under way */
    const char *subject; /* function, or what else is checked */
    const char *isa;
    char shape[200];
    enum qn_input input;
    uint64_t seed;
    bool ok;
    struct qn_worst worst; /* of all cases of the group, for --verbose */
};

/* Opens a case of a kernel; the seed is made from the shape and the input, so it is the same for
 * all kernels of a group. */
void check_begin(struct check *c, const struct check_kernel *kernel, enum qn_input input,
                 uint64_t seed, const char *shape, ...) __attribute__((format(printf, 5, 6)));
/* Fails the case unless the worst element lies within its bound. */
void check_bound(struct check *c, const struct qn_worst *worst);
/* Fails the case with the words given. */
void check_true(struct check *c, bool ok, const char *otherwise);
/* Fails the case at the first float whose bits differ. */
void check_same_bits(struct check *c, const float *found, const float *expected, size_t n,
                     const char *what);
void check_end(struct check *c);

/* Bundles that the build has and the machine can run. */
uint32_t check_machine_bundles(void);

check_group_fn check_prepare, check_matmul, check_matvec, check_norm, check_softmax, check_rope,
    check_activation, check_add, check_add_scaled, check_softcap, check_kv_store, check_attention,
    check_attention_merge;

/* For each table that can be selected: no empty slot, none that falls back on ref, and tiles of
 * one height; matvec, matmul and splits give the same bits. */
void check_tables(struct check *c);
void check_agreement(struct check *c);

#endif
