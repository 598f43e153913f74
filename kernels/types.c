/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/types.h"

#include "kernels/kernels.h"

const struct qn_type_info qn_type_infos[QN_TYPE_COUNT] = {
    [QN_TYPE_F32] = {"F32", 1, 4, QN_PACK_F32, -1, -1},
    [QN_TYPE_F16] = {"F16", 1, 2, QN_PACK_F16, -1, -1},
    [QN_TYPE_BF16] = {"BF16", 1, 2, QN_PACK_BF16, -1, -1},
    [QN_TYPE_Q8_0] = {"Q8_0", 32, 34, QN_PACK_Q8_0, 0, -1},
    [QN_TYPE_Q4_0] = {"Q4_0", 32, 18, QN_PACK_Q4_0, 0, -1},
    [QN_TYPE_Q4_1] = {"Q4_1", 32, 20, QN_PACK_Q4_1, 0, 2},
    [QN_TYPE_Q5_0] = {"Q5_0", 32, 22, QN_PACK_Q5_0, 0, -1},
    [QN_TYPE_Q5_1] = {"Q5_1", 32, 24, QN_PACK_Q5_1, 0, 2},
    [QN_TYPE_Q2_K] = {"Q2_K", 256, 84, QN_PACK_Q2_K, 80, 82},
    [QN_TYPE_Q3_K] = {"Q3_K", 256, 110, QN_PACK_Q3_K, 108, -1},
    [QN_TYPE_Q4_K] = {"Q4_K", 256, 144, QN_PACK_Q4_K, 0, 2},
    [QN_TYPE_Q5_K] = {"Q5_K", 256, 176, QN_PACK_Q5_K, 0, 2},
    [QN_TYPE_Q6_K] = {"Q6_K", 256, 210, QN_PACK_Q6_K, 208, -1},
    [QN_TYPE_IQ4_NL] = {"IQ4_NL", 32, 18, QN_PACK_IQ4_NL, 0, -1},
    [QN_TYPE_IQ4_XS] = {"IQ4_XS", 256, 136, QN_PACK_IQ4_XS, 0, -1},
    [QN_TYPE_I16] = {"I16", 64, 132, QN_PACK_I16, -1, -1},
    [QN_TYPE_Q8_I16] = {"Q8_I16", 32, 34, QN_PACK_Q8_I16, 0, -1},
    [QN_TYPE_Q6_I16] = {"Q6_I16", 256, 210, QN_PACK_Q6_I16, 208, -1},
};

size_t qn_type_row_size(enum qn_type type, size_t k) {
    return k / (size_t)qn_type_infos[type].block * (size_t)qn_type_infos[type].block_size;
}

const char *qn_act_name(enum qn_act act) {
    static const char *const names[QN_ACT_COUNT] = {
        [QN_ACT_F32] = "f32",       [QN_ACT_Q8] = "q8",     [QN_ACT_Q8X2] = "q8x2",
        [QN_ACT_BF16X2] = "bf16x2", [QN_ACT_BF16] = "bf16", [QN_ACT_I16] = "i16"};
    return names[act];
}

bool qn_pack_is_float(enum qn_pack pack) {
    return pack == QN_PACK_F32 || pack == QN_PACK_F16 || pack == QN_PACK_BF16;
}

enum qn_type qn_type_at_load(enum qn_type type, int k, bool is_head, uint32_t bundles) {
    const bool has_words = bundles >> QN_ISA_AVX2 & 1, has_tiles = bundles >> QN_ISA_AMXINT8 & 1;
    const bool own_form = is_head && has_words && !qn_isa_has_dots(bundles);
    if (own_form && type == QN_TYPE_Q8_0) return QN_TYPE_Q8_I16;
    if (own_form && type == QN_TYPE_Q6_K) return QN_TYPE_Q6_I16;
    const bool is_half =
        type == QN_TYPE_F16 || (type == QN_TYPE_BF16 && !(bundles >> QN_ISA_AVX512BF16 & 1));
    const bool divides = k % qn_type_infos[QN_TYPE_I16].block == 0;
    return is_half && divides && has_words && !has_tiles ? QN_TYPE_I16 : type;
}

enum qn_type qn_type_stored(enum qn_type type) {
    return type == QN_TYPE_Q8_I16 ? QN_TYPE_Q8_0 : type == QN_TYPE_Q6_I16 ? QN_TYPE_Q6_K : type;
}

enum qn_act qn_pack_act(enum qn_pack pack, uint32_t bundles) {
    if (pack == QN_PACK_I16 || pack == QN_PACK_Q8_I16 || pack == QN_PACK_Q6_I16) return QN_ACT_I16;
    if (!qn_pack_is_float(pack)) return QN_ACT_Q8;
    if (pack != QN_PACK_F32 && bundles >> QN_ISA_AMXBF16 & 1) return QN_ACT_BF16X2;
    return pack == QN_PACK_BF16 && bundles >> QN_ISA_AVX512BF16 & 1 ? QN_ACT_BF16 : QN_ACT_F32;
}

enum qn_act qn_pack_act_many(enum qn_pack pack, uint32_t bundles) {
    const enum qn_act act = qn_pack_act(pack, bundles);
    return act == QN_ACT_Q8 && bundles >> QN_ISA_AMXFAST & 1 ? QN_ACT_BF16 : act;
}
