/* SPDX-License-Identifier: Apache-2.0 */
#include "text/passes.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "text/charsmap.h"

static enum qn_status copy_texts(struct qn_pass *pass, struct qn_error *err) {
    struct qn_text *const texts[] = {&pass->step.pattern, &pass->step.content};
    size_t size;
    if (!qn_checked_add(texts[0]->size, texts[1]->size, &size) || size == SIZE_MAX ||
        (pass->texts = malloc(size + 1)) == NULL) {
        return qn_fail(err, QN_NO_MEMORY, "no memory for a step of the tokenizer");
    }
    char *at = pass->texts;
    for (size_t i = 0; i < 2; i++) {
        if (texts[i]->size > 0) memcpy(at, texts[i]->data, texts[i]->size);
        texts[i]->data = at;
        at += texts[i]->size;
    }
    return QN_OK;
}

/* Where all is matched, and matches stand alone, removing what is not matched removes nothing. */
static bool is_isolated(const struct qn_text_step *step) {
    return (step->behavior == QN_BEHAVIOR_ISOLATED && !step->invert) ||
           (step->behavior == QN_BEHAVIOR_REMOVED && step->invert);
}

static enum qn_status make_pass(struct qn_pass *pass, struct qn_error *err) {
    const struct qn_text_step *step = &pass->step;
    const bool runs = step->behavior == QN_BEHAVIOR_CONTIGUOUS;
    if (step->kind == QN_TEXT_SPLIT_CLASS && !step->invert &&
        (runs || step->behavior == QN_BEHAVIOR_ISOLATED)) {
        pass->own =
            (struct qn_cut){.next = qn_cut_runs, .members = step->class, .max_run = runs ? 0 : 1};
        pass->cut = &pass->own;
    }
    if (step->kind == QN_TEXT_CHARSMAP) return qn_charsmap_check(step->content, err);
    if (!step->regex) return QN_OK;
    if (step->kind == QN_TEXT_SPLIT && is_isolated(step)) {
        pass->cut = qn_cut_find(step->pattern, step->behavior == QN_BEHAVIOR_REMOVED);
        if (pass->cut != NULL) return QN_OK;
    }
    return qn_regex_new(step->pattern, &pass->regex, err);
}

static enum qn_status make_room(struct qn_passes *passes, size_t n, struct qn_error *err) {
    if (n > QN_PASSES_MAX) {
        return qn_fail(err, QN_BAD_FILE, "the tokenizer has %zu steps, expected at most %d", n,
                       QN_PASSES_MAX);
    }
    passes->passes = calloc(n + 1, sizeof *passes->passes);
    if (passes->passes == NULL) return qn_fail(err, QN_NO_MEMORY, "no memory for %zu steps", n);
    return QN_OK;
}

enum qn_status qn_passes_init(struct qn_passes *passes, const struct qn_text_step *steps, size_t n,
                              struct qn_error *err) {
    *passes = (struct qn_passes){0};
    QN_TRY(make_room(passes, n, err));
    for (size_t i = 0; i < n; i++) {
        struct qn_pass *pass = &passes->passes[passes->n++];
        pass->step = steps[i];
        QN_TRY(copy_texts(pass, err));
        QN_TRY(make_pass(pass, err));
    }
    return QN_OK;
}

enum qn_status qn_passes_init_named(struct qn_passes *passes, const struct qn_pretokenizer *pre,
                                    struct qn_error *err) {
    *passes = (struct qn_passes){0};
    QN_TRY(make_room(passes, pre->n_cuts + 1, err));
    for (size_t i = 0; i < pre->n_cuts; i++) {
        passes->passes[i] = (struct qn_pass){.step.kind = QN_TEXT_SPLIT, .cut = &pre->cuts[i]};
    }
    passes->passes[pre->n_cuts].step.kind = QN_TEXT_BYTES;
    passes->n = pre->n_cuts + 1;
    return QN_OK;
}

void qn_passes_free(struct qn_passes *passes) {
    for (size_t i = 0; i < passes->n; i++) {
        qn_regex_free(passes->passes[i].regex);
        free(passes->passes[i].texts);
    }
    free(passes->passes);
    *passes = (struct qn_passes){0};
}
