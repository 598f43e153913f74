/* SPDX-License-Identifier: Apache-2.0 */
#include "models/quantize.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum qn_status qn_quantize_parse(const char *name, enum qn_type *type, struct qn_error *err) {
    char names[160] = "";
    *type = QN_TYPE_COUNT;
    if (!name) return QN_OK;
    for (int t = 0; t < QN_TYPE_STORED; t++) {
        if (strcasecmp(name, qn_type_infos[t].name) == 0) {
            *type = (enum qn_type)t;
            return QN_OK;
        }
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", t ? ", " : "",
                 qn_type_infos[t].name);
    }
    return qn_fail(err, QN_BAD_ARGUMENT,
                   "weights cannot be quantized to '%.32s'; expected one of %s", name, names);
}

static bool is_float(enum qn_type type) {
    return qn_type_infos[type].block == 1;
}

static bool divides(enum qn_type type, int k) {
    return k % qn_type_infos[type].block == 0;
}

static bool is_smaller(enum qn_type a, enum qn_type b) {
    return qn_type_row_size(a, 256) < qn_type_row_size(b, 256);
}

/* Whether a weight is a matrix whose values may change. */
static bool may_change(enum qn_role role) {
    const struct qn_role_info *const info = &qn_role_infos[role];
    return info->n != QN_DIM_ONE && !info->by_row && role != QN_ROLE_ROUTER;
}

enum qn_type qn_quantize_type(enum qn_type wanted, enum qn_role role, enum qn_type stored, int k) {
    static const enum qn_type instead[QN_TYPE_COUNT] = {
        [QN_TYPE_Q2_K] = QN_TYPE_Q4_0, [QN_TYPE_Q3_K] = QN_TYPE_Q4_0,
        [QN_TYPE_Q4_K] = QN_TYPE_Q5_0, [QN_TYPE_Q5_K] = QN_TYPE_Q5_1,
        [QN_TYPE_Q6_K] = QN_TYPE_Q8_0, [QN_TYPE_IQ4_XS] = QN_TYPE_Q4_1,
    };
    if (wanted == QN_TYPE_COUNT || !may_change(role) || !is_float(stored)) return stored;
    if (role == QN_ROLE_OUTPUT && is_smaller(wanted, QN_TYPE_Q6_K)) wanted = QN_TYPE_Q6_K;
    if (!divides(wanted, k) && qn_type_infos[wanted].block > 32) wanted = instead[wanted];
    return divides(wanted, k) ? wanted : stored;
}

enum qn_type qn_packed_type(enum qn_type type, enum qn_role role, int k, uint32_t bundles) {
    return may_change(role) ? qn_type_at_load(type, k, role == QN_ROLE_OUTPUT, bundles) : type;
}
