/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the time of a run went: what was recorded of every step, pass and thread, with what each
 * step was (layer, module, shape, type, kernel) and what it had to do (bytes, operations).
 */
#ifndef QN_REPORT_PROFILE_H
#define QN_REPORT_PROFILE_H

#include <jansson.h>

#include "host/counters.h"
#include "quern.h"
#include "report/cost.h"
#include "report/machine_cache.h"
#include "report/statistics.h"
#include "run/session.h"

enum qn_phase { QN_PHASE_PREFILL, QN_PHASE_DECODE, QN_PHASE_COUNT };
const char *qn_phase_name(enum qn_phase phase); /* "prefill", "decode" */

/* What the program does between passes. */
enum qn_span_kind { QN_SPAN_SAMPLE, QN_SPAN_TEXT, QN_SPAN_COUNT };
const char *qn_span_name(enum qn_span_kind kind); /* "sample", "text" */

/* A step of the plan as a reader knows it. */
struct qn_tag {
    int layer; /* -1 outside the layers */
    enum qn_module module;
    enum qn_op op;
    const char *name;
    char shape[48];                  /* "2 x 1536 x 576": products, outputs, inputs */
    char type[32];                   /* of what it reads: "Q4_1", "Q4_K+Q6_K", "f16" */
    char kernel[QN_PHASE_COUNT][96]; /* functions of one row, and of many, joined by '+' */
    struct qn_peak_use use;          /* the machine's limit for its arithmetic */
};

struct qn_span {
    enum qn_span_kind kind;
    uint64_t start, end; /* ns of CLOCK_MONOTONIC, as all times here */
};

/* From the moment that the program began to work on a token until its text was there. */
struct qn_token_time {
    uint64_t start, end;
    bool first; /* of an answer: with the prompt's evaluation */
};

/* Hardware events of all threads in a phase, where the kernel lets them be counted. */
struct qn_phase_counts {
    uint64_t count[QN_COUNTER_COUNT];
    bool valid[QN_COUNTER_COUNT];
};

struct qn_profile {
    struct qn_session *session; /* not owned */
    struct qn_tag *tags;        /* [plan.n_steps] */
    int n_threads;

    size_t n_passes;
    struct qn_pass *passes;  /* [n_passes], times in ns */
    size_t *first;           /* [n_passes + 1] events of pass p: [first[p], first[p + 1]) */
    struct qn_event *events; /* [n_threads][first[n_passes]], times in ns; all 0 but pass and step
                                where the thread took no part */
    uint64_t lost;           /* events that found no room */
    int64_t skew;            /* ns by which a thread passed a barrier before another came: clocks */

    size_t n_spans, n_tokens, capacity;
    struct qn_span *spans;        /* [n_spans] */
    struct qn_token_time *tokens; /* [n_tokens] */
    struct qn_counters *counters; /* [n_threads] */
    struct qn_phase_counts counts[QN_PHASE_COUNT];
    uint64_t counted[QN_COUNTER_COUNT]; /* at the last qn_profile_count */
    int counters_reason;                /* errno of the first that is not to be had, or 0 */
};

/* Starts to record on the session, with room for n_passes passes and n_tokens tokens.
 * Errors: QN_NO_MEMORY, QN_BAD_ARGUMENT. */
enum qn_status qn_profile_start(struct qn_session *session, size_t n_passes, size_t n_tokens,
                                struct qn_profile *profile, struct qn_error *err);
/* Ends the recording and takes what was recorded. Errors: QN_NO_MEMORY. */
enum qn_status qn_profile_finish(struct qn_profile *profile, struct qn_error *err);
void qn_profile_free(struct qn_profile *profile); /* idempotent */

/* While it records; what there is no room for is dropped. */
void qn_profile_span(struct qn_profile *profile, enum qn_span_kind kind, uint64_t start,
                     uint64_t end);
void qn_profile_token(struct qn_profile *profile, uint64_t start, uint64_t end, bool first);

/* What the hardware counted since the last call belongs to the phase. */
void qn_profile_count(struct qn_profile *profile, enum qn_phase phase);

/* The token that the program worked on at a time; NULL: none. */
const struct qn_token_time *qn_profile_token_at(const struct qn_profile *profile, uint64_t ns);

/* A pass of a recorded token is of its phase: the last ubatch of a prompt is prefill, though it may
 * have one token. */
static inline enum qn_phase qn_pass_phase(const struct qn_pass *pass) {
    return pass->decode ? QN_PHASE_DECODE : QN_PHASE_PREFILL;
}
static inline const struct qn_event *qn_profile_events(const struct qn_profile *profile,
                                                       int thread) {
    return profile->events + (size_t)thread * profile->first[profile->n_passes];
}

static inline bool qn_event_happened(const struct qn_event *event) {
    return event->end > 0;
}
/* Threads that the phase's passes have. */
int qn_profile_threads(const struct qn_profile *profile, enum qn_phase phase);

/* What a step had to do in a pass. */
static inline struct qn_cost qn_profile_cost(const struct qn_profile *profile, int step,
                                             const struct qn_pass *pass) {
    return qn_plan_cost(&profile->session->plan, step, pass);
}
/* Fills the tags (profile_tags.c). */
void qn_profile_tag(const struct qn_session *session, struct qn_tag *tags);

/* ---- groups of steps (profile_groups.c) ---- */

/* Steps that are counted together, in the passes of one phase. Times in ns; a step takes from the
 * end of the one before to its own on the caller's thread, so steps of a pass add up. */
struct qn_group {
    struct qn_spread wall; /* of a pass */
    double work, wait;     /* mean of the threads, all passes together */
    double most_work;      /* of the thread that worked longest in each step, summed */
    struct qn_cost cost;   /* all passes together */
};
/* What the others wait for: longest work over mean work, less 1. */
double qn_group_imbalance(const struct qn_group *group);
double qn_group_wait_share(const struct qn_group *group); /* of all threads' time */

/* By what steps are counted together. */
enum qn_by { QN_BY_PHASE, QN_BY_MODULE, QN_BY_LAYER, QN_BY_LAYER_MODULE, QN_BY_NAME, QN_BY_STEP };

struct qn_table {
    int n;
    struct qn_row {
        int step;    /* the first of them, whose tag stands for all */
        int n_steps; /* how many there are */
        struct qn_group group;
    } * rows;      /* [n] in the order of the plan; free() */
    double *walls; /* [n_passes][n] ns of each pass; free() */
    size_t n_passes;
    bool uneven; /* passes differ in tokens or outputs: no median goes with mean bytes */
};
/* The passes of one phase; steps that were not taken in them make no row. */
enum qn_status qn_profile_table(const struct qn_profile *profile, enum qn_phase phase,
                                enum qn_by by, struct qn_table *table, struct qn_error *err);
void qn_table_free(struct qn_table *table); /* idempotent */

/* A phase as a whole. Seconds. */
struct qn_phase_times {
    size_t n_passes;
    uint64_t n_tokens;
    double passes;               /* sum of the passes */
    double steps;                /* sum of their steps */
    double spans[QN_SPAN_COUNT]; /* DECODE alone: behind its passes */
    struct qn_spread pass;       /* of a pass, ns */
    bool uneven;                 /* passes differ in tokens or outputs */
};
/* ns of a pass to hold against means, as of tokens: the median, or the mean of uneven passes. */
static inline double qn_phase_pass_ns(const struct qn_phase_times *times) {
    return times->uneven ? times->pass.mean : times->pass.p50;
}
enum qn_status qn_profile_phase(const struct qn_profile *profile, enum qn_phase phase,
                                struct qn_phase_times *times, struct qn_error *err);

/* ---- as files (profile_json.c) ---- */

/* What the profile is of. */
struct qn_profile_about {
    struct quern_model_info model;
    const char *file; /* the model's, without its folder */
    const char *kv;   /* type of the cache */
    int n_prompt, n_gen, repeats, n_ubatch;
    struct qn_machine_key host;
};

/* Version of the form: a reader refuses others. */
enum { QN_PROFILE_FORM = 1 };

/* All of it: who and where, latencies, phases, and each step with its time in every pass. A new
 * reference; NULL without memory. */
json_t *qn_profile_json(const struct qn_profile *profile, const struct qn_profile_about *about);

#endif
