/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of the tables that dispatch can select on this machine.
 */
#include <stdio.h>
#include <string.h>

#include "kernel_check.h"

/* The bundle of a function that a slot holds, QN_ISA_COUNT where the slot is empty. The last
 * bundle of the mask that has the slot is the one that dispatch must have taken. */
static enum qn_isa slot_isa(uint32_t mask, const char *op, int variant) {
    size_t n;
    const struct qn_kernel_entry *const entries = qn_kernel_list(&n);
    enum qn_isa isa = QN_ISA_COUNT;
    for (size_t i = 0; i < n; i++)
        if (mask >> entries[i].isa & 1 && entries[i].variant == variant &&
            strcmp(entries[i].op, op) == 0)
            isa = entries[i].isa;
    return isa;
}

/* Rows that no weight takes in this table are prepared by the reference alone; and I16 and heads'
 * forms, which none is packed as but on x86, are multiplied by it. */
static bool is_needed(const struct qn_kernels *t, const char *op, int variant) {
    const bool is_product = strcmp(op, "matmul") == 0 || strcmp(op, "matvec") == 0;
    const bool has_i16 = t->bundles >> QN_ISA_AVX2 & 1; /* qn_type_at_load */
    if (is_product && variant >= QN_PACK_I16) return has_i16;
    if (strcmp(op, "prepare") != 0) return true;
    for (int form = 0; form < QN_PACK_COUNT; form++) {
        if (form >= QN_PACK_I16 && !has_i16) continue;
        if ((int)qn_pack_act((enum qn_pack)form, t->bundles) == variant ||
            (int)qn_pack_act_many((enum qn_pack)form, t->bundles) == variant)
            return true;
    }
    return false;
}

static void check_slot(struct check *c, enum qn_isa table, uint32_t mask, int tile_rows,
                       const char *op, int variant, bool is_set) {
    const struct check_kernel subject = {.isa = table, .function = "table"};
    const enum qn_isa isa = slot_isa(mask, op, variant);
    const bool tiled = strcmp(op, "matmul") == 0 || strcmp(op, "matvec") == 0;
    check_begin(c, &subject, QN_INPUT_ZERO, 0, "slot %s[%d]", op, variant);
    check_true(c, is_set, "the slot is empty");
    check_true(c, isa != QN_ISA_COUNT, "no bundle has a kernel for it");
    check_true(c, table == QN_ISA_REF || isa != QN_ISA_REF, "it falls back on the reference");
    if (tiled && tile_rows == 16)
        check_true(c, isa >= QN_ISA_AVX512 && isa <= QN_ISA_AMXFAST,
                   "a kernel for tiles of 8 rows in a table with tiles of 16");
    check_end(c);
}

void check_tables(struct check *c) {
    const uint32_t machine = check_machine_bundles();
    for (int isa = 0; isa < QN_ISA_COUNT; isa++) {
        struct qn_kernels t;
        const uint32_t mask = qn_isa_mask((enum qn_isa)isa) & machine;
        if (!(c->bundles >> isa & 1)) continue;
        qn_kernels_select(mask, &t);
        c->shown = 0;
#define SLOTS(operation)                                                                           \
    for (int v = 0; v < (int)(sizeof t.operation / sizeof *t.operation); v++)                      \
        if (is_needed(&t, #operation, v))                                                          \
            check_slot(c, (enum qn_isa)isa, mask, t.tile_rows, #operation, v,                      \
                       t.operation[v] != NULL);
        SLOTS(prepare)
        SLOTS(matmul)
        SLOTS(matvec)
        SLOTS(norm)
        SLOTS(softmax)
        SLOTS(rope)
        SLOTS(activation)
        SLOTS(add)
        SLOTS(add_scaled)
        SLOTS(softcap)
        SLOTS(kv_store)
        SLOTS(attention)
        SLOTS(attention_merge)
#undef SLOTS
    }
}
