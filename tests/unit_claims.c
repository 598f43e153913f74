/* SPDX-License-Identifier: Apache-2.0
 *
 * Pieces of shares are claimed once, by whoever comes first; threads help those on their node, and
 * look less often where there is nothing to do.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "run/claims.h"

Test(claims, each_piece_once_and_anew_at_each_step) {
    struct qn_claim claim = {.word = 0};
    for (uint64_t step = 1; step < 1000; step += 1 + step % 5) {
        for (int i = 0; i < QN_CLAIM_PIECES; i++) cr_assert_eq(qn_claim_piece(&claim, step), i);
        for (int i = 0; i < 3; i++) cr_assert_eq(qn_claim_piece(&claim, step), -1);
    }
}

Test(claims, pieces_cover_a_share) {
    cr_assert_eq(qn_claim_bounds[0], 0);
    cr_assert_eq(qn_claim_bounds[QN_CLAIM_PIECES], QN_CLAIM_PARTS);
    for (int i = 0; i < QN_CLAIM_PIECES; i++)
        cr_assert_lt(qn_claim_bounds[i], qn_claim_bounds[i + 1]);
}

Test(claims, what_is_left_at_once) {
    struct qn_claim claim = {.word = 0};
    cr_assert_eq(qn_claim_rest(&claim, 1), 0, "all");
    cr_assert_eq(qn_claim_piece(&claim, 1), -1);
    cr_assert_eq(qn_claim_piece(&claim, 2), 0);
    cr_assert_eq(qn_claim_rest(&claim, 2), 1, "but the first");
    cr_assert_eq(qn_claim_rest(&claim, 2), -1);
}

/* first and end of each thread: {0, 2, 0, 2, 2, 4, 2, 4} */
static void check_seats(const char *synthetic, int n_threads, const int *expected) {
    struct qn_topology topology;
    cr_assert_eq(qn_topology_read(synthetic, &topology, NULL), QN_OK);
    struct qn_claims *const claims = qn_claims_new(n_threads, &topology);
    cr_assert_not_null(claims);
    for (int i = 0; i < n_threads; i++) {
        cr_assert_eq(claims->threads[i].first, expected[2 * i], "%s, %d", synthetic, i);
        cr_assert_eq(claims->threads[i].end, expected[2 * i + 1], "%s, %d", synthetic, i);
    }
    free(claims);
    qn_topology_free(&topology);
}

Test(claims, help_stays_on_the_node) {
    check_seats("core:4 pu:2", 3, (const int[]){0, 3, 0, 3, 0, 3});
    check_seats("numa:2 l3:1 core:2 pu:1", 4, (const int[]){0, 2, 0, 2, 2, 4, 2, 4});
    check_seats("numa:2 l3:1 core:2 pu:1", 3, (const int[]){0, 2, 0, 2, 2, 3});
    check_seats("l3:2 core:1 pu:1", 2, (const int[]){0, 2, 0, 2});
    check_seats("core:2 pu:1", 4, (const int[]){0, 2, 0, 2, 2, 4, 2, 4});
    check_seats("core:1 pu:1", 1, (const int[]){0, 1});
}

/* Samples until a thread could help in three in a row, then all steps as long as it can. */
Test(claims, steps_are_cut_where_it_helps) {
    const struct qn_topology none = {0};
    struct qn_claims *const claims = qn_claims_new(2, &none);
    uint64_t step = 1;
    for (; step < 100 * QN_CLAIM_SAMPLE; step++) {
        cr_assert_eq(qn_claims_cut(claims, step), step % QN_CLAIM_SAMPLE == 0);
        const uint64_t sample = step / QN_CLAIM_SAMPLE;
        if (step % QN_CLAIM_SAMPLE == 0) qn_claims_found(claims, 1, step, sample % 3 != 0);
    }
    for (int i = 0; i < QN_CLAIM_HITS; i++)
        qn_claims_found(claims, 1, step + (uint64_t)i * QN_CLAIM_SAMPLE, true);
    step += (QN_CLAIM_HITS - 1) * QN_CLAIM_SAMPLE;
    for (int i = 0; i < QN_CLAIM_LASTS * QN_CLAIM_SAMPLE; i++, step++) {
        cr_assert(qn_claims_cut(claims, step));
        qn_claims_found(claims, 0, step, false);
    }
    cr_assert_not(qn_claims_cut(claims, step + 1));
    free(claims);
}
