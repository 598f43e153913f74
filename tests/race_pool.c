/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool's checks as a plain program, to be built with -Db_sanitize=thread.
 */
#include <stdio.h>

#include "pool_checks.h"

static long check_count(int n_threads, bool pin) {
    struct qn_error err = {0};
    struct qn_pool *pool = make_pool(n_threads, pin, &err);
    if (!pool) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    long wrong = check_sums(pool, 200, 0);
    wrong += check_ring(pool, 200);
    wrong += check_sums(pool, 3, 1000);
    wrong += check_late(pool);
    wrong += check_ring(pool, 20);
    wrong += check_teams(pool, 3);
    qn_pool_free(pool);
    printf("%2d threads, %s: %ld wrong\n", n_threads, pin ? "pinned" : "floating", wrong);
    return wrong;
}

int main(void) {
    static const int counts[] = {1, 2, 3, 4, 8, 9, 17};
    long wrong = 0;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        wrong += check_count(counts[i], true);
        wrong += check_count(counts[i], false);
    }
    return wrong != 0;
}
