/* SPDX-License-Identifier: Apache-2.0
 *
 * What changed between two profiles, and which operations explain it.
 */
#ifndef QN_REPORT_PROFILE_DIFF_H
#define QN_REPORT_PROFILE_DIFF_H

#include "report/profile.h"

enum { QN_DIFF_NOTES = 12, QN_DIFF_CELLS = 5 };

/* An operation, in all layers (layer -1) or in one. Times in ns of a pass. */
struct qn_diff_row {
    char name[32];
    int layer;
    struct qn_comparison times;
    bool differs; /* after as many comparisons as there are operations (Bonferroni), by as much as
                     the floor is of a whole pass */
    bool stands_out; /* so does its interval beyond what all operations share */
    bool only_a, only_b;
};

struct qn_diff_phase {
    bool present;               /* in both */
    struct qn_comparison whole; /* of a pass; confidence 95 % */
    double shared;              /* median ratio b / a of the operations that matter */
    bool beyond;                /* all of the interval lies beyond the floor */
    bool differs;               /* beyond, and it is not the machine's speed that changed */
    int n_rows, n_cells;
    struct qn_diff_row *rows;                /* [n_rows] largest change first; free() */
    struct qn_diff_row cells[QN_DIFF_CELLS]; /* the same in single layers */
};

struct qn_profile_diff {
    int n_runs[2];     /* of each side */
    char refusal[256]; /* why they are not comparable, "" when they are */
    int n_notes;
    char notes[QN_DIFF_NOTES][160]; /* what else than the code differs */
    struct qn_diff_phase phases[QN_PHASE_COUNT];
};

/* a, b: arrays of what qn_profile_json writes, runs of one build each. Where a side has several, a
 * run's medians are its samples: what differs from run to run is in the intervals then. Of one run
 * it is not, and its passes are the samples. What changes between two such runs is
 * foremost the speed of the machine, which all operations share: a change counts if an operation
 * stands out from that, or if it is more than machines drift. `floor`: the least change of a whole
 * pass that counts (0.02: 2 %). Where they are not comparable the refusal says so; the comparison
 * is made all the same if the shapes allow it. Errors: QN_BAD_FILE (not a profile, of another form,
 * or runs of one side that do not repeat each other), QN_NO_MEMORY. */
enum qn_status qn_profile_diff(const json_t *a, const json_t *b, double floor,
                               struct qn_profile_diff *diff, struct qn_error *err);
void qn_profile_diff_free(struct qn_profile_diff *diff); /* idempotent */

/* Part of the phase's change that the row explains; 0 when nothing changed. */
double qn_diff_part(const struct qn_diff_phase *phase, const struct qn_diff_row *row);

#endif
