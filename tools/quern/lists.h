/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of options that may have several: "1,2,4", "f16,q8_0". The first use of an option takes
 * the place of its default, further ones add to it.
 */
#ifndef QUERN_TOOLS_LISTS_H
#define QUERN_TOOLS_LISTS_H

#include <stdbool.h>
#include <stddef.h>

enum { INT_LIST_CAPACITY = 256, PAIR_LIST_CAPACITY = 64, WORD_LIST_CAPACITY = 16, WORD_SIZE = 16 };

struct int_list {
    int values[INT_LIST_CAPACITY];
    int n;
    bool given; /* by the user: values are no default */
};

struct int_pair {
    int first, second;
};

struct pair_list {
    struct int_pair values[PAIR_LIST_CAPACITY];
    int n;
};

struct word_list {
    char values[WORD_LIST_CAPACITY][WORD_SIZE];
    int n;
    bool given;
};

/* Numbers and ranges with commas between: "4", "1-8" (each), "64-512+64" (by steps), "1-8*2" (by
 * factors). False, with the list in no particular state, for anything else, numbers out of
 * [min, max], ranges that run backwards or stand still, and more than fit. */
bool int_list_add(const char *text, int min, int max, struct int_list *list);

/* "512,128" */
bool pair_list_add(const char *text, int min, int max, struct pair_list *list);

/* Words with commas between, each one of the choices: "f16|f32". */
bool word_list_add(const char *text, const char *choices, struct word_list *list);

/* Whether the first `size` bytes of a text are one of the choices. */
bool is_choice(const char *text, size_t size, const char *choices);

#endif
