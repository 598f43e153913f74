/* SPDX-License-Identifier: Apache-2.0
 *
 * Steps made ready to run: texts copied, patterns compiled or recognised as one of our own rules.
 */
#ifndef QN_TEXT_PASSES_H
#define QN_TEXT_PASSES_H

#include "base/status.h"
#include "text/pretokenize.h"
#include "text/regex.h"
#include "text/steps.h"

/* Real tokenizers have up to some ten. */
enum { QN_PASSES_MAX = 16 };

struct qn_pass {
    struct qn_text_step step; /* its texts point into `texts` */
    const struct qn_cut *cut; /* SPLIT by a rule of our own, or NULL */
    struct qn_cut own;        /* made for a class; cut may point here */
    struct qn_regex *regex;   /* where the pattern is one and cut is NULL */
    char *texts;
};
struct qn_passes {
    struct qn_pass *passes; /* [n] */
    size_t n;
};

/* Errors: QN_BAD_FILE (too many), QN_UNSUPPORTED (a pattern), QN_NO_MEMORY. What was made so far
 * is in passes after a failure too. */
enum qn_status qn_passes_init(struct qn_passes *passes, const struct qn_text_step *steps, size_t n,
                              struct qn_error *err);
/* The splitters of a named pre-tokenizer. */
enum qn_status qn_passes_init_named(struct qn_passes *passes, const struct qn_pretokenizer *pre,
                                    struct qn_error *err);
void qn_passes_free(struct qn_passes *passes);

#endif
