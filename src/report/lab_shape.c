/* SPDX-License-Identifier: Apache-2.0
 *
 * Which sizes an operation takes, and what they may be.
 */
#include <stdio.h>
#include <string.h>

#include "report/lab_internal.h"

enum {
    USES_N = 1,
    USES_K = 2,
    USES_HEADS = 4, /* d and heads */
    USES_GROUP = 8, /* g and t */
    USES_D = 16,    /* d alone */
    ONE_ROW = 32    /* m is 1 */
};

static const struct {
    const char *op;
    int uses;
} uses[] = {
    {"matmul", USES_N | USES_K},
    {"matvec", USES_N | USES_K | ONE_ROW},
    {"prepare", USES_K},
    {"norm", USES_K},
    {"softmax", USES_N},
    {"activation", USES_N},
    {"add", USES_K},
    {"add_scaled", USES_K},
    {"softcap", USES_N},
    {"rope", USES_K | USES_D},
    {"kv_store", USES_HEADS | USES_D},
    {"attention", USES_HEADS | USES_GROUP | USES_D},
    {"attention_merge", USES_HEADS | USES_GROUP | USES_D},
};

static int uses_of(const char *op) {
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        if (strcmp(op, uses[i].op) == 0) return uses[i].uses;
    return 0;
}

enum qn_cache qn_lab_cache(const struct qn_lab_kernel *kernel) {
    if (uses_of(kernel->op) & USES_GROUP) return (enum qn_cache)kernel->slot;
    return qn_cache_of((enum qn_kv)kernel->slot, (enum qn_kv)kernel->slot);
}

bool qn_lab_knows(const char *op) {
    return uses_of(op) != 0 && qn_lab_find(op) != NULL;
}

struct qn_lab_shape qn_lab_shape_of(const char *op, const struct qn_lab_shape *shape) {
    const int used = uses_of(op);
    return (struct qn_lab_shape){
        .m = used & ONE_ROW ? 1 : shape->m,
        .n = used & USES_N ? shape->n : 0,
        .k = used & USES_K ? shape->k : 0,
        .t = !(used & USES_GROUP)  ? 0
             : shape->t > shape->m ? shape->t
                                   : shape->m,
        .d = used & USES_D ? shape->d : 0,
        .g = used & USES_GROUP ? shape->g : 0,
        .heads = used & USES_HEADS ? shape->heads : 0,
    };
}

static const char *product_problem(const struct qn_lab_kernel *kernel,
                                   const struct qn_lab_shape *shape) {
    int block = 1;
    for (int t = QN_TYPE_COUNT - 1; t >= 0; t--) /* that of the first type, which is measured */
        if ((int)qn_type_infos[t].pack == kernel->slot) block = qn_type_infos[t].block;
    if (shape->k % block == 0) return NULL;
    return block == 256  ? "K must be a multiple of 256"
           : block == 64 ? "K must be a multiple of 64"
                         : "K must be a multiple of 32";
}

const char *qn_lab_shape_problem(const struct qn_lab_kernel *kernel,
                                 const struct qn_lab_shape *shape) {
    if (!qn_lab_knows(kernel->op)) return "the laboratory does not know this operation";
    const int used = uses_of(kernel->op);
    if (shape->m < 1 || (used & USES_N && shape->n < 1) || (used & USES_K && shape->k < 1))
        return "sizes must be at least 1";
    if (used & USES_D && (shape->d < 2 || shape->d % 2 != 0 || shape->d > QN_HEAD_SIZE_MAX))
        return "the head size must be even, from 2 to 256";
    if (used & USES_HEADS && shape->heads < 1) return "there must be a head";
    if (used & USES_GROUP && (shape->g < 1 || shape->t < 1))
        return "attention needs queries and positions";
    if (used & USES_HEADS && shape->d % 32 != 0 &&
        (qn_cache_k(qn_lab_cache(kernel)) == QN_KV_Q8_0 ||
         qn_cache_v(qn_lab_cache(kernel)) == QN_KV_Q8_0))
        return "the head size must be a multiple of 32";
    if (used & USES_D && !(used & USES_HEADS) && shape->k % shape->d != 0)
        return "K must be a multiple of the head size";
    return used & USES_N && used & USES_K ? product_problem(kernel, shape) : NULL;
}

void qn_lab_shape_text(const char *op, const struct qn_lab_shape *shape, char *text, size_t size) {
    const int used = uses_of(op);
    if (used & USES_GROUP)
        snprintf(text, size, "%d:%dx%dx%dx%d", shape->m, shape->t, shape->heads, shape->g,
                 shape->d);
    else if (used & USES_HEADS)
        snprintf(text, size, "%dx%dx%d", shape->m, shape->heads, shape->d);
    else if (used & USES_N && used & USES_K)
        snprintf(text, size, "%dx%dx%d", shape->m, shape->n, shape->k);
    else if (used & USES_D)
        snprintf(text, size, "%dx%dx%d", shape->m, shape->k / shape->d, shape->d);
    else
        snprintf(text, size, "%dx%d", shape->m, used & USES_N ? shape->n : shape->k);
}
