/* SPDX-License-Identifier: Apache-2.0
 *
 * Operations against the machine's measured limits. 80 columns.
 */
#include "profile_roofline.h"

#include <stdio.h>

#include "output.h"
#include "style.h"

int profile_measure(const struct qn_model *model, const struct qn_machine_key *host,
                    struct qn_roof *roof) {
    char folder[4096];
    struct qn_machine_figures figures;
    struct qn_error err;
    const char *const cache = qn_machine_cache_folder(folder, sizeof folder) ? folder : NULL;
    if (qn_machine_figures_get(cache, false, host, &model->topology, &figures, &err) != QN_OK) {
        out_error("%s", err.message);
        return EXIT_FAILED;
    }
    if (*figures.unkept.message != '\0') out_error("%s", figures.unkept.message);
    *roof = qn_roof_of(&figures.all, model->spec.decode_size);
    return EXIT_DONE;
}

/* ---- a phase ---------------------------------------------------------------------------- */

enum { ROOF_BAR = 8 };

static void print_row(const struct qn_tag *tag, const struct qn_roofline *r) {
    printf("  %-12s %8.*f %8.3f %7.2f %6.1f %7.1f %4.0f %%  %-7s ", tag->name, r->ns < 1e8 ? 1 : 0,
           1e-3 * r->ns, 1e-6 * r->gb_s * r->ns, r->intensity, r->gb_s, r->gop_s, 100 * r->part,
           qn_bound_name(r->bound));
    style_bar(STYLE_PLAIN, r->part * ROOF_BAR > ROOF_BAR ? ROOF_BAR : r->part * ROOF_BAR);
    putchar('\n');
}

/* The rows with most time between them and the roof. */
static void print_left(const struct qn_profile *p, const struct qn_roof *roof,
                       const struct qn_table *names, double all) {
    int first = -1, second = -1;
    double most = 0, next = 0;
    for (int i = 0; i < names->n; i++) {
        const struct qn_roofline r = qn_roofline_of(p, roof, names, i);
        const double left = r.ns - r.least_ns;
        if (left > most) {
            second = first;
            next = most;
            first = i;
            most = left;
        } else if (left > next) {
            second = i;
            next = left;
        }
    }
    if (first < 0) return;
    printf("  Most is left in %s (%.0f us, %.0f %%)", p->tags[names->rows[first].step].name,
           1e-3 * most, 100 * most / all);
    if (second >= 0)
        printf(", then %s (%.0f us, %.0f %%)", p->tags[names->rows[second].step].name, 1e-3 * next,
               100 * next / all);
    puts(".");
}

static bool faster_than_machine(const struct qn_roof *roof, const struct qn_roofline *r) {
    /* A twentieth for the error of both measurements. */
    return r->gb_s > 1.05 * roof->limits.read[r->level].best;
}

static enum qn_status print_phase(const struct qn_profile *p, const struct qn_roof *roof,
                                  enum qn_phase phase, struct qn_error *err) {
    struct qn_phase_times times;
    struct qn_table names;
    double least;
    char title[96];
    QN_TRY(qn_profile_phase(p, phase, &times, err));
    if (times.n_passes == 0) return QN_OK;
    QN_TRY(qn_roofline_pass(p, roof, phase, &least, err));
    QN_TRY(qn_profile_table(p, phase, QN_BY_NAME, &names, err));
    snprintf(title, sizeof title, "Roofline of %s", qn_phase_name(phase));
    style_title(title);
    printf("  step         %s  MB read   ops/B   GB/s   GOP/s   roof  bound\n",
           times.uneven ? "us, mean" : " us, p50");
    for (int r = 0; r < names.n; r++) {
        const struct qn_roofline row = qn_roofline_of(p, roof, &names, r);
        print_row(&p->tags[names.rows[r].step], &row);
        if (faster_than_machine(roof, &row))
            printf("  WARN: %s reads faster than %s was measured to.\n",
                   p->tags[names.rows[r].step].name, qn_level_name(row.level));
    }
    const double tokens = (double)times.n_tokens / (double)times.n_passes;
    const double ns = qn_phase_pass_ns(&times);
    printf("\n  At the roof %.3f ms a pass, %.1f tokens/s;\n"
           "  measured    %.3f ms, %.1f tokens/s: %.0f %% of it.\n",
           1e-6 * least, 1e9 * tokens / least, 1e-6 * ns, 1e9 * tokens / ns, 100 * least / ns);
    print_left(p, roof, &names, ns);
    qn_table_free(&names);
    return QN_OK;
}

int profile_print_roofline(const struct qn_profile *profile, const struct qn_roof *roof) {
    struct qn_error err;
    const struct qn_machine_limits *const l = &roof->limits;
    style_title("Limits measured on this machine");
    printf("  %d threads: %.1f GB/s from %s (weights, cache), %.0f GB/s from L2 (rows),\n"
           "  %.0f GOP/s int8, %.0f GFLOP/s f32\n",
           l->n_threads, l->read[roof->weights].best, qn_level_name(roof->weights),
           l->read[QN_LEVEL_L2].best, l->peak[QN_PEAK_INT8].best, l->peak[QN_PEAK_F32].best);
    if (roof->noisy)
        puts("  WARN: they scatter; measure again on an idle machine: quern doctor --fresh");
    for (int phase = 0; phase < QN_PHASE_COUNT; phase++) {
        if (print_phase(profile, roof, (enum qn_phase)phase, &err) == QN_OK) continue;
        out_error("%s", err.message);
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}
