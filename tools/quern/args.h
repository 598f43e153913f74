/* SPDX-License-Identifier: Apache-2.0
 *
 * Command lines as data. A subcommand lists groups of options; each option says where its value
 * goes and what range it has. Defaults are what the targets hold before parsing, so help shows
 * the truth.
 */
#ifndef QUERN_TOOLS_ARGS_H
#define QUERN_TOOLS_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lists.h"

enum option_kind {               /* target type */
                   OPTION_FLAG,  /* bool: set to true, or to false where `negated` */
                   OPTION_INT,   /* int */
                   OPTION_INTS,  /* struct qn_int_list: "1,2,4", "1-8*2" */
                   OPTION_PAIR,  /* struct qn_pair_list: "512,128", one at a time */
                   OPTION_WORDS, /* struct qn_word_list: some of `value`, which separates them with
                                  * |
                                  */
                   OPTION_FLOAT, /* float */
                   OPTION_SEED,  /* struct seed */
                   OPTION_TEXT,  /* const char *, not copied */
                   OPTION_MAYBE, /* const char *: TEXT of "--name=TEXT", or "" */
                   OPTION_CHOICE /* const char *: one of `value`, which separates them with | */
};

struct seed {
    uint64_t value;
    bool given;
};

struct option {
    const char *names; /* "-t, --threads": what help shows */
    enum option_kind kind;
    const char *value; /* "N", "FILE", "md|csv|json"; NULL for flags */
    double min, max;   /* of numbers; floats exclude nothing at the ends */
    size_t offset;     /* of the field in the group's target */
    bool negated;      /* a flag that turns something off */
    bool hide_default; /* help's sentence says what happens without the option */
    const char *help;
};

struct option_group {
    const char *title; /* NULL: goes on with the group before */
    const struct option *options;
    size_t n_options;
    void *target;
};

/* An argument without a dash. Taken in order, but a target that an option has already filled is
 * passed over: "-m FILE PROMPT" works like "FILE PROMPT". */
struct positional {
    const char *name;
    const char **target;
};

struct command {
    const char *name, *arguments, *summary;
    const char *description; /* paragraphs, separated by a newline */
    const struct option_group *groups;
    size_t n_groups;
    const struct positional *positionals;
    size_t n_positionals;
};

/* argv[0] is the subcommand's name. False when there is nothing to run: *status is then the exit
 * status, EXIT_DONE after --help, which is printed on stdout, EXIT_WRONG_USAGE after a mistake,
 * whose sentence is printed on stderr. */
bool args_parse(const struct command *command, int argc, char **argv, int *status);

void args_print_help(const struct command *command);

/* The candidate nearest to a misspelt word, or NULL when none is near. Candidates end with NULL. */
const char *args_suggest(const char *word, const char *const *candidates);

#endif
