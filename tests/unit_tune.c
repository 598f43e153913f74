/* SPDX-License-Identifier: Apache-2.0
 *
 * Tuning: the search on responses that are formulas, energy counters in a folder, and what is kept.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "host/energy.h"
#include "report/tune_model.h"
#include "report/tune_store.h"
#include "run/random.h"
#include "temp_folder.h"

/* ---- responses -------------------------------------------------------------------------- */

struct response {
    double (*rate)(double value, double parameter);
    double parameter;
    double noise; /* a measurement is off by at most this part */
    int left;     /* measurements until time is over; below 0: never */
    int n;        /* measurements that were made */
    struct qn_random random;
};

/* Rises like the number of threads, falls when they wait for each other; best at the parameter. */
static double peak(double n, double at) {
    return n / (1 + n / at * (n / at));
}

/* Bandwidth: no gain beyond the parameter. */
static double plateau(double n, double at) {
    return fmin(n, at);
}

static double sharp(double n, double at) {
    return n <= at ? n : at * at / n;
}

static double flat(double n, double at) {
    (void)n;
    return at;
}

static bool measure(void *context, int value, double *rate, double *joules) {
    struct response *const r = context;
    if (r->left-- == 0) return false;
    r->n++;
    *rate = r->rate(value, r->parameter) * (1 + r->noise * (2 * qn_random_unit(&r->random) - 1));
    *joules = 1 / *rate;
    return true;
}

static void find(struct response *r, int n_cores, int n_allowed, int usual,
                 struct qn_tune_search *s) {
    const struct qn_tune_meter meter = {measure, r};
    int values[16];
    const int n = qn_tune_threads(n_cores, n_allowed, 256, values);
    qn_tune_find(values, n, usual, true, &meter, s);
    cr_assert_eq(s->n_measured, r->n);
}

static double best_rate(const struct response *r, int n) {
    double most = 0;
    for (int i = 1; i <= n; i++) most = fmax(most, r->rate(i, r->parameter));
    return most;
}

/* 3 rounds of at most 10 first values, then of 3 values for each halving, and the duel. */
enum { MOST_MEASUREMENTS = QN_TUNE_ROUNDS * (10 + 3 * QN_TUNE_HALVINGS) + 2 * QN_TUNE_DUEL };

static double best_measured(const struct response *r, const struct qn_tune_search *s) {
    double most = 0;
    for (int i = 0; i < s->n_points; i++)
        most = fmax(most, r->rate(s->points[i].value, r->parameter));
    return most;
}

static void check(double (*rate)(double, double), double parameter, double noise, uint64_t seed) {
    static const int machines[][2] = {{1, 1}, {2, 2}, {6, 12}, {24, 24}, {64, 128}, {128, 256}};
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        const int n_cores = machines[i][0], n_allowed = machines[i][1];
        struct response r = {.rate = rate, .parameter = parameter, .noise = noise, .left = -1};
        struct qn_tune_search s;
        qn_random_seed(&r.random, seed);
        find(&r, n_cores, n_allowed, n_cores, &s);
        cr_assert(s.complete);
        /* A value within 3 % of the best was measured. Noise makes two values look alike when
         * they are this near, on the way to it and at its end. */
        const double alike = (1 - noise) / (1 + noise), most = best_rate(&r, n_allowed);
        cr_assert_geq(best_measured(&r, &s), 0.97 * alike * most, "%d cores, best at %g", n_cores,
                      parameter);
        /* It is chosen, or the usual value that it does not exceed by more than the noise. */
        const double found = rate(s.chosen, parameter);
        cr_assert_geq(found, 0.97 * alike * alike * most / (1 + (s.chosen == n_cores) * s.noise),
                      "%d cores, best at %g: chose %d, %.1f %% of the best", n_cores, parameter,
                      s.chosen, 100 * found / most);
        cr_assert_leq(r.n, MOST_MEASUREMENTS, "%d measurements", r.n);
    }
}

Test(tune, finds_peaks) {
    for (double at = 1; at <= 256; at = ceil(at * 1.3)) {
        check(peak, at, 0, 0);
        check(sharp, at, 0, 0);
    }
}

Test(tune, finds_plateaus) {
    for (double at = 1; at <= 256; at = ceil(at * 1.3)) check(plateau, at, 0, 0);
}

Test(tune, finds_peaks_in_noise) {
    for (uint64_t seed = 0; seed < 20; seed++)
        for (double at = 2; at <= 200; at = ceil(at * 2.3)) {
            check(peak, at, 0.01, seed);
            check(plateau, at, 0.01, seed);
        }
}

Test(tune, leaves_the_usual_value_where_all_are_alike) {
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct response r = {.rate = flat, .parameter = 7, .noise = 0.02, .left = -1};
        struct qn_tune_search s;
        qn_random_seed(&r.random, seed);
        find(&r, 32, 64, 32, &s);
        cr_assert_eq(s.chosen, 32, "seed %d: %d, gain %g, noise %g", (int)seed, s.chosen, s.gain,
                     s.noise);
        cr_assert_geq(s.noise, QN_TUNE_LEAST_GAIN);
    }
}

/* 2.9 % is not enough, 3.1 % is. */
static double step(double n, double gain) {
    return n < 2 ? 100 * (1 + gain) : 100;
}

Test(tune, takes_what_exceeds_the_noise) {
    for (int more = 0; more < 2; more++) {
        struct response r = {.rate = step, .parameter = more ? 0.031 : 0.029, .left = -1};
        struct qn_tune_search s;
        find(&r, 2, 2, 2, &s);
        cr_assert_eq(s.chosen, more ? 1 : 2);
        cr_assert_float_eq(s.gain, r.parameter, 1e-9);
        cr_assert_float_eq(qn_tune_at(&s, 1)->joules, 1 / r.rate(1, r.parameter), 1e-9);
    }
}

Test(tune, keeps_the_usual_value_when_time_is_over) {
    struct response whole = {.rate = peak, .parameter = 5, .left = -1};
    struct qn_tune_search s;
    find(&whole, 64, 64, 64, &s);
    cr_assert_eq(s.chosen, 5);
    for (int left = 0; left < whole.n; left++) {
        struct response r = {.rate = peak, .parameter = 5, .left = left};
        find(&r, 64, 64, 64, &s);
        cr_assert_not(s.complete);
        cr_assert_eq(s.chosen, 64);
    }
}

/* One thread leaves the time of spinning to ubatches, which need long prompts. */
Test(tune, no_time_is_left_over) {
    cr_assert_eq(qn_tune_end(QN_TUNE_SPIN, true, false), 1);
    cr_assert_lt(qn_tune_end(QN_TUNE_UBATCH, true, false), 1);
    cr_assert_eq(qn_tune_end(QN_TUNE_UBATCH, false, false), 1);
    cr_assert_eq(qn_tune_end(QN_TUNE_KV, false, true), 1);
    for (int spin = 0; spin < 2; spin++)
        for (int kv = 0; kv < 2; kv++) {
            double before = 0;
            for (enum qn_tune_what what = 0; what < QN_TUNE_COUNT; what++) {
                const double end = qn_tune_end(what, spin, kv);
                cr_assert(end >= before && end <= 1);
                before = end;
            }
        }
}

Test(tune, begins_with_powers_of_two_and_all_cores) {
    int v[16];
    cr_assert_eq(qn_tune_threads(1, 1, 256, v), 1);
    cr_assert_eq(v[0], 1);
    cr_assert_eq(qn_tune_threads(6, 12, 256, v), 5);
    cr_assert_arr_eq(v, ((int[]){1, 2, 4, 6, 12}), 5 * sizeof *v);
    cr_assert_eq(qn_tune_threads(8, 8, 3, v), 3);
    cr_assert_arr_eq(v, ((int[]){1, 2, 3}), 3 * sizeof *v);
    cr_assert_leq(qn_tune_threads(256, 256, 256, v), 16);
}

/* ---- energy ----------------------------------------------------------------------------- */

static void put_zone(const struct temp_folder *root, int zone, const char *name, const char *uj) {
    char path[96];
    mkdir(temp_folder_path(root, "sys"), 0700);
    mkdir(temp_folder_path(root, "sys/class"), 0700);
    mkdir(temp_folder_path(root, "sys/class/powercap"), 0700);
    snprintf(path, sizeof path, "sys/class/powercap/intel-rapl:%d", zone);
    mkdir(temp_folder_path(root, path), 0700);
    snprintf(path, sizeof path, "sys/class/powercap/intel-rapl:%d/name", zone);
    temp_folder_put_text(root, path, name);
    snprintf(path, sizeof path, "sys/class/powercap/intel-rapl:%d/max_energy_range_uj", zone);
    temp_folder_put_text(root, path, "10000000\n");
    if (!uj) return;
    snprintf(path, sizeof path, "sys/class/powercap/intel-rapl:%d/energy_uj", zone);
    temp_folder_put_text(root, path, uj);
}

Test(energy, is_the_sum_of_packages) {
    const struct temp_folder root = temp_folder_make();
    struct qn_energy energy;
    qn_energy_open(root.path, &energy);
    cr_assert_eq(energy.n, 0);
    cr_assert_not_null(strstr(energy.reason, "there is no /sys/class/powercap"));
    put_zone(&root, 0, "package-0\n", NULL);
    qn_energy_open(root.path, &energy);
    cr_assert_eq(energy.n, 0);
    cr_assert_not_null(strstr(energy.reason, "cannot be read"));
    put_zone(&root, 0, "package-0\n", "9000000\n");
    put_zone(&root, 1, "psys\n", "77\n");
    put_zone(&root, 2, "package-1\n", "1000000\n");
    qn_energy_open(root.path, &energy);
    cr_assert_eq(energy.n, 2);
    const struct qn_energy_mark before = qn_energy_read(&energy);
    put_zone(&root, 0, "package-0\n", "500000\n"); /* has started again */
    put_zone(&root, 1, "psys\n", "77777\n");
    put_zone(&root, 2, "package-1\n", "1250000\n");
    const struct qn_energy_mark after = qn_energy_read(&energy);
    cr_assert_float_eq(qn_energy_between(&energy, &before, &after), 1.5 + 0.25, 1e-9);
    temp_folder_remove(&root);
}

/* ---- what is kept ----------------------------------------------------------------------- */

static const struct qn_tuned settings = {.n_threads = 3,
                                         .n_threads_batch = 5,
                                         .n_ubatch = 256,
                                         .spin_us = 10,
                                         .prefill = 100,
                                         .decode = 10,
                                         .measured_at = 1234567890};

static struct qn_tune_key key_of(const char *cpu, const char *model) {
    struct qn_tune_key key = {
        .machine = {.microcode = "0x1", .bundles = 5, .n_threads = 2, .n_processors = 4}};
    snprintf(key.machine.cpu, sizeof key.machine.cpu, "%s", cpu);
    snprintf(key.model, sizeof key.model, "%s", model);
    return key;
}

static bool keeps(const struct temp_folder *folder, const struct qn_tune_key *key) {
    struct qn_tuned read;
    return qn_tune_store_read(folder->path, key, &read) &&
           memcmp(&read, &settings, sizeof read) == 0;
}

Test(tune_store, belongs_to_machine_and_model) {
    const struct temp_folder folder = temp_folder_make();
    const struct qn_tune_key a = key_of("A", "one"), b = key_of("A", "two"), c = key_of("B", "one");
    struct qn_tune_key more = a;
    struct qn_error err;
    bool found;
    more.machine.n_processors = 8;
    cr_assert_not(keeps(&folder, &a));
    cr_assert_not(qn_tune_store_has_machine(folder.path, &a.machine));
    cr_assert_eq(qn_tune_store_write(folder.path, &a, &settings, &err), QN_OK);
    cr_assert(keeps(&folder, &a) && qn_tune_store_has_machine(folder.path, &a.machine));
    cr_assert_not(keeps(&folder, &b) || keeps(&folder, &c) || keeps(&folder, &more));
    cr_assert_eq(qn_tune_store_write(folder.path, &b, &settings, &err), QN_OK);
    cr_assert(keeps(&folder, &a) && keeps(&folder, &b));
    cr_assert_eq(qn_tune_store_forget(folder.path, &a, &found, &err), QN_OK);
    cr_assert(found && !keeps(&folder, &a) && keeps(&folder, &b));
    cr_assert_eq(qn_tune_store_forget(folder.path, &a, &found, &err), QN_OK);
    cr_assert_not(found);
    cr_assert_eq(qn_tune_store_forget(folder.path, &b, &found, &err), QN_OK);
    cr_assert_not(qn_tune_store_has_machine(folder.path, &a.machine));
    temp_folder_remove(&folder);
}

Test(tune_store, believes_no_settings_that_are_out_of_range) {
    const struct temp_folder folder = temp_folder_make();
    const struct qn_tune_key key = key_of("A", "one");
    struct qn_error err;
    for (int i = 0; i < 6; i++) {
        struct qn_tuned bad = settings;
        if (i == 0) bad.n_threads = 0;
        if (i == 1) bad.n_threads = 257;
        if (i == 2) bad.n_threads_batch = -1;
        if (i == 3) bad.n_ubatch = 0;
        if (i == 4) bad.spin_us = -1;
        if (i == 5) bad.spin_us = 1000001;
        cr_assert_eq(qn_tune_store_write(folder.path, &key, &bad, &err), QN_OK);
        cr_assert_not(qn_tune_store_read(folder.path, &key, &bad), "%d", i);
    }
    cr_assert_eq(qn_tune_store_write(folder.path, &key, &settings, &err), QN_OK);
    cr_assert(keeps(&folder, &key));
    temp_folder_remove(&folder);
}
