/* SPDX-License-Identifier: Apache-2.0
 *
 * quern profile diff: two profiles, what changed and what explains it.
 */
#include "report/profile_diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_load.h"
#include "options.h"
#include "output.h"
#include "percent.h"
#include "profile_commands.h"
#include "report/json_text.h"
#include "style.h"

struct diff_args {
    const char *a, *b, *fail_above, *floor;
    bool anyway, json;
};

#define DIFF(field) offsetof(struct diff_args, field)

static const struct option diff_options[] = {
    {"--fail-above", OPTION_TEXT, "PERCENT", 0, 0, DIFF(fail_above), false, true,
     "exit status 1 if prefill or decode got slower by more than this, beyond doubt"},
    {"--floor", OPTION_TEXT, "PERCENT", 0, 0, DIFF(floor), false, false,
     "a change of a whole pass counts if its interval lies beyond this"},
    {"--anyway", OPTION_FLAG, NULL, 0, 0, DIFF(anyway), false, true,
     "compare what is not comparable"},
    {"--json", OPTION_FLAG, NULL, 0, 0, DIFF(json), false, true, "as JSON"},
};

static double percent(double a, double b) {
    return a > 0 ? 100 * (b / a - 1) : 0;
}

/* ---- text ------------------------------------------------------------------------------- */

static void print_side(const char *side, const char *path, const json_t *runs) {
    const json_t *const profile = json_array_get(runs, 0);
    const json_t *const host = json_object_get(profile, "host");
    const char *when = json_string_value(json_object_get(profile, "when"));
    const char *isa = json_string_value(json_object_get(host, "isa"));
    printf("%s  %s: %s, %lld threads, %s", side, path, isa != NULL ? isa : "",
           (long long)json_integer_value(json_object_get(host, "threads")),
           when != NULL ? when : "");
    if (json_array_size(runs) > 1) printf(", %zu runs", json_array_size(runs));
    putchar('\n');
}

static void print_row(const struct qn_diff_phase *phase, const struct qn_diff_row *row) {
    char name[64], change[24], part[24] = "";
    if (row->layer >= 0)
        snprintf(name, sizeof name, "%s of layer %d", row->name, row->layer);
    else
        snprintf(name, sizeof name, "%s", row->name);
    if (row->only_a || row->only_b)
        snprintf(change, sizeof change, "only in %s", row->only_a ? "A" : "B");
    else
        snprintf(change, sizeof change, "%+.1f %%", percent(row->times.a, row->times.b));
    if (phase->differs) snprintf(part, sizeof part, "%.0f %%", 100 * qn_diff_part(phase, row));
    printf("  %-22s %10.1f %10.1f %+9.1f %10s %9s  %s\n", name, 1e-3 * row->times.a,
           1e-3 * row->times.b, 1e-3 * (row->times.b - row->times.a), change, part,
           row->differs ? "" : "~");
}

static void print_phase(enum qn_phase which, const struct qn_diff_phase *phase) {
    const struct qn_comparison *const w = &phase->whole;
    char title[160], interval[64] = "too few runs for an interval";
    if (w->has_interval)
        snprintf(interval, sizeof interval, "95 %%: %+.1f to %+.1f", 100 * (w->ratio_low - 1),
                 100 * (w->ratio_high - 1));
    snprintf(title, sizeof title, "%s: %.3f -> %.3f ms a pass, %+.1f %% (%s)",
             which == QN_PHASE_PREFILL ? "Prefill" : "Decode", 1e-6 * w->a, 1e-6 * w->b,
             percent(w->a, w->b), interval);
    style_title(title);
    if (!phase->differs && phase->beyond)
        printf("No significant difference: all steps share %+.1f %%, none stands out, and\n"
               "machines drift by as much. Several runs of each would tell.\n",
               100 * (phase->shared - 1));
    else if (!phase->differs)
        puts("No significant difference.");
    puts("\n  step                        us, A      us, B    change          %   of it");
    for (int i = 0; i < phase->n_rows; i++) print_row(phase, &phase->rows[i]);
    if (phase->n_cells == 0) return;
    puts("\n  Largest in single layers:");
    for (int i = 0; i < phase->n_cells; i++) print_row(phase, &phase->cells[i]);
}

static void explain(enum qn_phase which, const struct qn_diff_phase *phase) {
    const struct qn_comparison *const w = &phase->whole;
    if (!phase->differs || phase->n_rows == 0) return;
    printf("\nWhat explains the %.1f %% of %s: %s (%.0f %%)",
           percent(w->a, w->b) < 0 ? -percent(w->a, w->b) : percent(w->a, w->b),
           qn_phase_name(which), phase->rows[0].name, 100 * qn_diff_part(phase, &phase->rows[0]));
    if (phase->n_rows > 1)
        printf(", then %s (%.0f %%)", phase->rows[1].name,
               100 * qn_diff_part(phase, &phase->rows[1]));
    puts(".");
}

static void print_text(const struct qn_profile_diff *diff) {
    for (int i = 0; i < diff->n_notes; i++) printf("   differs in %s\n", diff->notes[i]);
    for (int p = 0; p < QN_PHASE_COUNT; p++)
        if (diff->phases[p].present) print_phase((enum qn_phase)p, &diff->phases[p]);
    for (int p = 0; p < QN_PHASE_COUNT; p++) explain((enum qn_phase)p, &diff->phases[p]);
    if (diff->n_runs[0] == 1 || diff->n_runs[1] == 1)
        puts("\nOf one run a side, steps count that stand out from what all share: append runs\n"
             "to each file, in turn, and their medians are compared.");
    puts("\nTimes are medians; ~: what chance gives, or less than the floor (--floor).");
}

/* ---- JSON ------------------------------------------------------------------------------- */

static json_t *row_json(const struct qn_diff_phase *phase, const struct qn_diff_row *row) {
    return json_pack("{s:s, s:i, s:f, s:f, s:o, s:b, s:b, s:f}", "name", row->name, "layer",
                     row->layer, "a_ns", row->times.a, "b_ns", row->times.b, "change_ns_interval",
                     qn_json_interval(row->times.has_interval, row->times.low, row->times.high),
                     "differs", row->differs, "stands_out", row->stands_out, "part",
                     qn_diff_part(phase, row));
}

static json_t *phase_json(enum qn_phase which, const struct qn_diff_phase *phase) {
    json_t *const rows = json_array(), *const cells = json_array();
    for (int i = 0; i < phase->n_rows; i++)
        json_array_append_new(rows, row_json(phase, &phase->rows[i]));
    for (int i = 0; i < phase->n_cells; i++)
        json_array_append_new(cells, row_json(phase, &phase->cells[i]));
    const struct qn_comparison *const w = &phase->whole;
    return json_pack(
        "{s:s, s:f, s:f, s:f, s:o, s:f, s:b, s:o, s:o}", "phase", qn_phase_name(which), "a_ns",
        w->a, "b_ns", w->b, "change_percent", percent(w->a, w->b), "change_percent_95",
        qn_json_interval(w->has_interval, 100 * (w->ratio_low - 1), 100 * (w->ratio_high - 1)),
        "shared_percent", 100 * (phase->shared - 1), "differs", phase->differs, "steps", rows,
        "layers", cells);
}

static void print_json(const struct qn_profile_diff *diff) {
    json_t *const phases = json_array(), *const notes = json_array();
    for (int i = 0; i < diff->n_notes; i++)
        json_array_append_new(notes, json_string(diff->notes[i]));
    for (int p = 0; p < QN_PHASE_COUNT; p++)
        if (diff->phases[p].present)
            json_array_append_new(phases, phase_json((enum qn_phase)p, &diff->phases[p]));
    json_t *const object = json_pack("{s:b, s:s, s:o, s:o}", "comparable", !diff->refusal[0], "why",
                                     diff->refusal, "differs_in", notes, "phases", phases);
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
}

/* ---- the subcommand --------------------------------------------------------------------- */

static bool too_slow(const struct qn_profile_diff *diff, double limit) {
    for (int p = 0; p < QN_PHASE_COUNT; p++) {
        const struct qn_diff_phase *const phase = &diff->phases[p];
        if (phase->present && phase->differs && percent(phase->whole.a, phase->whole.b) > limit)
            return true;
    }
    return false;
}

static int compare(const struct diff_args *args, const json_t *a, const json_t *b) {
    double limit = -1, least = 0;
    struct qn_profile_diff diff;
    struct qn_error err;
    if (!percent_parse("--fail-above", args->fail_above, &limit) ||
        !percent_parse("--floor", args->floor, &least))
        return EXIT_WRONG_USAGE;
    if (qn_profile_diff(a, b, 0.01 * least, &diff, &err) != QN_OK) {
        out_error("%s and %s: %s", args->a, args->b, err.message);
        return EXIT_FAILED;
    }
    int status = EXIT_DONE;
    if (diff.refusal[0] && !args->anyway) {
        out_error("not comparable: %s (--anyway compares all the same)", diff.refusal);
        status = EXIT_FAILED;
    } else {
        if (args->json) {
            print_json(&diff);
        } else {
            print_side("A", args->a, a);
            print_side("B", args->b, b);
            print_text(&diff);
        }
        if (limit >= 0 && too_slow(&diff, limit)) status = EXIT_FAILED;
    }
    qn_profile_diff_free(&diff);
    return status;
}

int command_profile_diff(int argc, char **argv) {
    struct diff_args args = {.floor = "3"};
    const struct option_group groups[] = {OPTION_GROUP("Options", diff_options, &args)};
    const struct positional positionals[] = {{"A", &args.a}, {"B", &args.b}};
    const struct command command = {
        .name = "profile diff",
        .arguments = "[options] A.json B.json",
        .summary = "what changed between two profiles",
        .description =
            "Aligns what two runs of 'quern profile --json' wrote by layer and "
            "operation and ranks what explains the change, with bootstrap confidence "
            "intervals. A file may hold several runs, one behind the other "
            "(>> in place of >): then runs are compared by their medians, and four of "
            "each are the least that can differ. Of one run a side a change counts if a "
            "step stands out from what all share, or if it is more than 15 %: less, and "
            "alike in all, is what the machine's speed does. Profiles of other machines, "
            "shapes or prompts are not comparable; other builds, instruction sets, "
            "threads and types are.",
        .groups = groups,
        .n_groups = COUNT(groups),
        .positionals = positionals,
        .n_positionals = COUNT(positionals)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;
    if (args.a == NULL || args.b == NULL) {
        out_error("two profiles are compared: quern profile diff A.json B.json");
        return EXIT_WRONG_USAGE;
    }
    json_t *const a = json_load_all(args.a), *const b = a != NULL ? json_load_all(args.b) : NULL;
    status = b != NULL ? compare(&args, a, b) : EXIT_FAILED;
    json_decref(a);
    json_decref(b);
    return status;
}
