/* SPDX-License-Identifier: Apache-2.0
 *
 * Help texts from the option tables: one column of names, one of sentences.
 */
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "output.h"

enum { INDENT = 2, COLUMN = 27 };

/* " (0.8)" into out, or nothing for what has no default to show. */
static void format_default(const struct option *option, const void *target, char *out,
                           size_t capacity) {
    const void *const field = (const char *)target + option->offset;
    *out = '\0';
    if (option->hide_default) return;
    size_t used = 0;
    switch (option->kind) {
    case OPTION_INT:
        snprintf(out, capacity, " (%d)", *(const int *)field);
        break;
    case OPTION_FLOAT:
        snprintf(out, capacity, " (%g)", (double)*(const float *)field);
        break;
    case OPTION_INTS:
        for (int i = 0; i < ((const struct qn_int_list *)field)->n && used < capacity; i++)
            used += (size_t)snprintf(out + used, capacity - used, i == 0 ? " (%d" : ",%d",
                                     ((const struct qn_int_list *)field)->values[i]);
        if (used > 0 && used + 1 < capacity) strcpy(out + used, ")");
        break;
    case OPTION_WORDS:
        for (int i = 0; i < ((const struct qn_word_list *)field)->n && used < capacity; i++)
            used += (size_t)snprintf(out + used, capacity - used, i == 0 ? " (%s" : ",%s",
                                     ((const struct qn_word_list *)field)->values[i]);
        if (used > 0 && used + 1 < capacity) strcpy(out + used, ")");
        break;
    case OPTION_CHOICE:
    case OPTION_TEXT:
        if (*(const char *const *)field != NULL)
            snprintf(out, capacity, " (%s)", *(const char *const *)field);
        break;
    case OPTION_FLAG:
    case OPTION_MAYBE:
    case OPTION_PAIR:
    case OPTION_SEED:
        break;
    }
}

static void print_option(const struct option *option, const void *target) {
    int at = printf("%*s%s", INDENT, "", option->names);
    if (option->value != NULL)
        at += printf("%s%s", option->kind == OPTION_MAYBE ? "" : " ", option->value);
    if (at + 2 > COLUMN) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", COLUMN - at, "");
    char text[512], fallback[128];
    format_default(option, target, fallback, sizeof fallback);
    snprintf(text, sizeof text, "%s%s", option->help, fallback);
    out_words(text, COLUMN, COLUMN);
}

void args_print_help(const struct command *command) {
    printf("quern %s: %s\n\nUsage: quern %s %s\n\n", command->name, command->summary, command->name,
           command->arguments);
    out_words(command->description, 0, 0);
    for (size_t g = 0; g < command->n_groups; g++) {
        const struct option_group *const group = &command->groups[g];
        if (group->title != NULL) printf("\n%s:\n", group->title);
        for (size_t i = 0; i < group->n_options; i++)
            print_option(&group->options[i], group->target);
    }
}
