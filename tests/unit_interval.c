/* SPDX-License-Identifier: Apache-2.0
 *
 * Intervals of means, and the lists and ranges of command lines.
 */
#include <criterion/criterion.h>
#include <math.h>

#include "base/lists.h"
#include "report/interval.h"

/* Published table of the distribution, three decimals. */
Test(interval, quantiles_of_student_are_those_of_tables) {
    static const struct {
        int n_free;
        double probability, quantile;
    } table[] = {{1, 0.975, 12.706}, {2, 0.975, 4.303}, {3, 0.975, 3.182},  {4, 0.975, 2.776},
                 {5, 0.975, 2.571},  {9, 0.975, 2.262}, {10, 0.95, 1.812},  {10, 0.995, 3.169},
                 {30, 0.975, 2.042}, {1, 0.75, 1.0},    {120, 0.975, 1.980}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const double found = qn_student_quantile(table[i].n_free, table[i].probability);
        cr_assert(fabs(found - table[i].quantile) <= 0.0005, "%d %.3f: %.5f", table[i].n_free,
                  table[i].probability, found);
    }
}

Test(interval, means_and_their_intervals) {
    static const double samples[] = {2, 4, 4, 4, 5, 5, 7, 9};
    const struct qn_mean m = qn_mean_of(samples, 8, 0.95);
    const double deviation = sqrt(32.0 / 7), half = 2.364624 * deviation / sqrt(8);
    cr_assert_float_eq(m.mean, 5, 1e-12);
    cr_assert_float_eq(m.deviation, deviation, 1e-12);
    cr_assert_float_eq(m.low, 5 - half, 1e-6);
    cr_assert_float_eq(m.high, 5 + half, 1e-6);
    const struct qn_mean one = qn_mean_of(samples, 1, 0.95),
                         same = qn_mean_of(samples + 1, 3, 0.95);
    cr_assert(one.mean == 2 && one.deviation == 0 && isnan(one.low) && isnan(one.high));
    cr_assert(same.low == 4 && same.high == 4);
}

static void expect(const char *text, int n, const int *values) {
    struct qn_int_list list = {.values = {7}, .n = 1};
    cr_assert(qn_int_list_add(text, 0, 512, &list), "%s", text);
    cr_assert_eq(list.n, n, "%s: %d", text, list.n);
    for (int i = 0; i < n; i++) cr_assert_eq(list.values[i], values[i], "%s [%d]", text, i);
}

Test(lists, numbers_and_ranges) {
    expect("4", 1, (int[]){4});
    expect("1,2,4", 3, (int[]){1, 2, 4});
    expect("1-4", 4, (int[]){1, 2, 3, 4});
    expect("1-8*2", 4, (int[]){1, 2, 4, 8});
    expect("3-20*3,0", 3, (int[]){3, 9, 0});
    expect("64-512+64", 8, (int[]){64, 128, 192, 256, 320, 384, 448, 512});
    expect("5-5,2-9+4", 3, (int[]){5, 2, 6});
}

Test(lists, what_is_none) {
    static const char *const wrong[] = {"",      ",",    "1,",    "1,,2",  "a",
                                        "1-",    "8-1",  "1-8*1", "0-8*2", "1-8+0",
                                        "1-8/2", "-1",   "1 ",    "513",   "1-513",
                                        "1-8*",  "1-8+", "1..8",  "1-2-3", "99999999999999999999",
                                        "1-512"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct qn_int_list list = {.n = 0};
        cr_assert_not(qn_int_list_add(wrong[i], 0, 512, &list), "'%s'", wrong[i]);
    }
}

Test(lists, further_uses_add) {
    struct qn_int_list list = {.values = {7}, .n = 1};
    cr_assert(qn_int_list_add("1,2", 0, 9, &list) && qn_int_list_add("3", 0, 9, &list));
    cr_assert(list.n == 3 && list.values[0] == 1 && list.values[2] == 3);
    struct qn_pair_list pairs = {.n = 0};
    cr_assert(qn_pair_list_add("5,2", 0, 9, &pairs) && qn_pair_list_add("0,9", 0, 9, &pairs));
    cr_assert(pairs.n == 2 && pairs.values[1].first == 0 && pairs.values[1].second == 9);
    static const char *const wrong[] = {"5", "5,", "5,2,1", "5,x", "5,10", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_not(qn_pair_list_add(wrong[i], 0, 9, &pairs), "'%s'", wrong[i]);
}

Test(lists, words_are_of_the_choices) {
    struct qn_word_list list = {.values = {"f16"}, .n = 1};
    cr_assert(qn_word_list_add("q8_0,f32", "f16|f32|q8_0", &list));
    cr_assert(qn_word_list_add("f16", "f16|f32|q8_0", &list));
    cr_assert_eq(list.n, 3);
    cr_assert_str_eq(list.values[0], "q8_0");
    cr_assert_str_eq(list.values[2], "f16");
    static const char *const wrong[] = {"", "f1", "f16,", "f16|f32",
                                        "a-word-that-is-much-too-long"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_not(qn_word_list_add(wrong[i], "f16|f32|q8_0", &list), "'%s'", wrong[i]);
}
