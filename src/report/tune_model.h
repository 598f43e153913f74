/* SPDX-License-Identifier: Apache-2.0
 *
 * Tunes a model on this machine: threads for decode and for prefill, ubatch, spinning, and what
 * other types of the KV cache would give.
 */
#ifndef QN_REPORT_TUNE_MODEL_H
#define QN_REPORT_TUNE_MODEL_H

#include "host/energy.h"
#include "report/tune.h"
#include "report/tune_store.h"
#include "run/session.h"

/* In the order in which they are searched; each is measured with what was found before. */
enum qn_tune_what {
    QN_TUNE_THREADS,
    QN_TUNE_THREADS_BATCH,
    QN_TUNE_UBATCH,
    QN_TUNE_SPIN,
    QN_TUNE_KV, /* values are those of enum qn_kv */
    QN_TUNE_COUNT
};

struct qn_tune_options {
    double seconds;   /* for everything but loading; a measurement that runs is ended */
    bool kv;          /* measure other types of cache too */
    const char *root; /* stands before /sys */
    /* Before each search. May be NULL. */
    void (*progress)(void *context, enum qn_tune_what what);
    void *progress_context;
    bool (*keep_going)(void *context); /* false stops; may be NULL */
    void *keep_going_context;
};

struct qn_tune_report {
    struct qn_tuned tuned;
    struct qn_tune_search searches[QN_TUNE_COUNT];     /* n_points 0: not searched */
    int n_prompt[QN_TUNE_COUNT], n_gen[QN_TUNE_COUNT]; /* tokens of a measurement */
    int prompt_max;                                    /* that the model's context has room for */
    struct qn_energy energy;
    double seconds; /* that it took */
    double taken;   /* part of a processor that others took from a thread that ran alone */
    bool stopped;
};

/* The most threads that a search tries: processors that may be used, within the quota. A model to
 * be tuned is opened with so many. */
int qn_tune_most_threads(const struct qn_topology *topology);

/* Part of the time that is over when a search must end. What is measured last has all that is left;
 * where types of cache are measured (kv) all others leave it a fifth. spin: spinning is searched.
 */
double qn_tune_end(enum qn_tune_what what, bool spin, bool kv);

/* Changes the model's numbers of threads and its spinning, and leaves them as found. usual: what
 * the model would run with, n_ubatch included. Errors: those of qn_session_new. */
enum qn_status qn_tune_model(struct qn_model *model, const struct qn_tune_options *options,
                             struct qn_tune_report *report, struct qn_error *err);

#endif
