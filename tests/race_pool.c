/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool's checks as a plain program, to be built with -Db_sanitize=thread.
 */
#include <stdio.h>

#include "pool_checks.h"

/* A pool that could be made; it is freed. */
static long check_pool(struct qn_pool *pool, const char *where) {
    const int n_threads = qn_pool_n_threads(pool);
    long wrong = check_sums(pool, 200, 0);
    wrong += check_ring(pool, 200);
    wrong += check_sums(pool, 3, 1000);
    wrong += check_late(pool);
    wrong += check_ring(pool, 20);
    wrong += check_teams(pool, 3);
    wrong += check_callers(pool, 50);
    qn_pool_free(pool);
    printf("%2d threads, %s: %ld wrong\n", n_threads, where, wrong);
    return wrong;
}

static long check_count(int n_threads, bool pin) {
    struct qn_error err = {0};
    struct qn_pool *pool = make_pool(n_threads, pin, &err);
    if (pool) return check_pool(pool, pin ? "pinned" : "floating");
    fprintf(stderr, "%s\n", err.message);
    return 1;
}

static long check_domains(const char *synthetic, int n_threads) {
    struct qn_error err = {0};
    struct qn_pool *pool = make_pool_of(synthetic, n_threads, &err);
    if (pool) return check_pool(pool, synthetic);
    fprintf(stderr, "%s\n", err.message);
    return 1;
}

int main(void) {
    static const int counts[] = {1, 2, 3, 4, 8, 9, 17};
    long wrong = 0;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        wrong += check_count(counts[i], true);
        wrong += check_count(counts[i], false);
    }
    /* Groups of three, of one, of six, and of four with one that floats. */
    wrong += check_domains("l3:5 core:3 pu:1", 15);
    wrong += check_domains("numa:9 l3:1 core:1 pu:1", 9);
    wrong += check_domains("core:12 pu:1", 12);
    wrong += check_domains("pack:2 l3:1 core:4 pu:1", 9);
    return wrong != 0;
}
