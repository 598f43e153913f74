/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of options that may have several: "1,2,4", "f16,q8_0". The first use of an option takes
 * the place of its default, further ones add to it.
 */
#ifndef QN_BASE_LISTS_H
#define QN_BASE_LISTS_H

#include <stdbool.h>
#include <stddef.h>

enum {
    QN_INT_LIST_CAPACITY = 256,
    QN_PAIR_LIST_CAPACITY = 64,
    QN_WORD_LIST_CAPACITY = 16,
    QN_WORD_SIZE = 16
};

struct qn_int_list {
    int values[QN_INT_LIST_CAPACITY];
    int n;
    bool given; /* by the user: values are no default */
};

struct qn_int_pair {
    int first, second;
};

struct qn_pair_list {
    struct qn_int_pair values[QN_PAIR_LIST_CAPACITY];
    int n;
};

struct qn_word_list {
    char values[QN_WORD_LIST_CAPACITY][QN_WORD_SIZE];
    int n;
    bool given;
};

/* Numbers and ranges with commas between: "4", "1-8" (each), "64-512+64" (by steps), "1-8*2" (by
 * factors). False, with the list in no particular state, for anything else, numbers out of
 * [min, max], ranges that run backwards or stand still, and more than fit. */
bool qn_int_list_add(const char *text, int min, int max, struct qn_int_list *list);

/* "512,128" */
bool qn_pair_list_add(const char *text, int min, int max, struct qn_pair_list *list);

/* Words with commas between, each one of the choices: "f16|f32". */
bool qn_word_list_add(const char *text, const char *choices, struct qn_word_list *list);

/* Whether the first `size` bytes of a text are one of the choices. */
bool qn_is_choice(const char *text, size_t size, const char *choices);

#endif
