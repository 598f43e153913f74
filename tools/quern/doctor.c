/* SPDX-License-Identifier: Apache-2.0
 *
 * quern doctor: what the machine is, whether anything about it costs speed, and what to type then.
 */
#include "report/doctor.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "out_file.h"
#include "output.h"
#include "report/json_text.h"
#include "style.h"
#include "system.h"

struct doctor_args {
    bool json, fresh, no_measure, strict;
    const char *svg, *isa, *root, *topology;
};

#define DOCTOR(field) offsetof(struct doctor_args, field)

static const struct option doctor_options[] = {
    {"--json", OPTION_FLAG, NULL, 0, 0, DOCTOR(json), false, true, "as JSON"},
    {"--svg", OPTION_TEXT, "FILE", 0, 0, DOCTOR(svg), false, true,
     "also draw packages, L3 domains, cores and threads, with the chosen ones marked"},
    {"--fresh", OPTION_FLAG, NULL, 0, 0, DOCTOR(fresh), false, true,
     "measure again (figures are kept in $XDG_CACHE_HOME/quern for each processor)"},
    {"--no-measure", OPTION_FLAG, NULL, 0, 0, DOCTOR(no_measure), false, true,
     "leave out bandwidth and peaks"},
    {"--strict", OPTION_FLAG, NULL, 0, 0, DOCTOR(strict), false, true,
     "exit status 1 if anything is WARN"},
    {"--isa", OPTION_TEXT, "NAME", 0, 0, DOCTOR(isa), false, true,
     "as if this were the best instruction set (the best that the machine has)"},
    {"--root", OPTION_TEXT, "FOLDER", 0, 0, DOCTOR(root), false, true,
     "read /proc and /sys of this folder, a copy of another machine's; measures nothing"},
    {"--topology", OPTION_TEXT, "TEXT", 0, 0, DOCTOR(topology), false, true,
     "a machine that hwloc's synthetic description gives, as 'pack:2 l3:2 core:4 pu:2', of up to "
     "8192 processors; measures nothing"},
};

/* ---- text ------------------------------------------------------------------------------- */

enum { LABEL = 8, VALUE = 29 };

/* `before` is the finding of the line above, whose command need not be said again, or NULL. */
static void print_finding(const struct qn_finding *f, const struct qn_finding *before) {
    static const char *const words[] = {
        [QN_VERDICT_NONE] = "-   ", [QN_VERDICT_OK] = "OK  ", [QN_VERDICT_WARN] = "WARN"};
    fputs("  ", stdout);
    style_word(f->verdict == QN_VERDICT_WARN ? STYLE_WARN : STYLE_PLAIN, words[f->verdict]);
    printf("  %-*s ", VALUE - LABEL - 1, f->label);
    out_words(f->value, VALUE, VALUE);
    if (!f->mend[0] || (before && strcmp(before->mend, f->mend) == 0)) return;
    /* A command stays whole, to be copied; a note after four blanks goes on its own line. */
    const char *const note = strstr(f->mend, "    (");
    printf("%*s$ %.*s\n", LABEL, "", note ? (int)(note - f->mend) : (int)strlen(f->mend), f->mend);
    if (note) {
        printf("%*s", LABEL + 2, "");
        out_words(note + 4, LABEL + 2, LABEL + 2);
    }
}

/* "QN_PACK_Q4_0" -> "Q4_0"; operations of one kind have a number. */
static const char *short_name(const char *variant) {
    if (strncmp(variant, "QN_", 3) != 0) return "";
    const char *const underscore = strchr(variant + 3, '_');
    return underscore ? underscore + 1 : variant;
}

/* "matmul   avx512vnni  Q8_0 Q4_0 ..." for every operation and set that it got. */
static void print_slots(const struct qn_kernels *kernels) {
    struct qn_slot slots[QN_DOCTOR_SLOTS];
    const int n = qn_doctor_slots(kernels, slots, QN_DOCTOR_SLOTS);
    style_title("Kernels: operation, instruction set, variants");
    for (int i = 0; i < n; i++) {
        bool first = true;
        for (int j = 0; j < i; j++)
            if (strcmp(slots[j].op, slots[i].op) == 0 && slots[j].isa == slots[i].isa)
                first = false;
        if (!first) continue;
        char names[512] = "";
        size_t used = 0;
        for (int j = i; j < n && used < sizeof names; j++)
            if (strcmp(slots[j].op, slots[i].op) == 0 && slots[j].isa == slots[i].isa)
                used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? " " : "",
                                         short_name(slots[j].variant_name));
        printf("%*s%-11s %-*s", LABEL, "", slots[i].op, names[0] ? 11 : 0,
               qn_isa_name(slots[i].isa));
        out_words(names, LABEL + 23, LABEL + 23);
    }
}

/* since: when this run began. */
static void print_age(const struct qn_machine_figures *figures, time_t since) {
    static const struct {
        long long from, seconds;
        const char *unit;
    } units[] = {
        {2 * 86400, 86400, "day"}, {2 * 3600, 3600, "hour"}, {60, 60, "minute"}, {0, 1, "second"}};
    const long long age = (long long)time(NULL) - figures->measured_at;
    char title[80] = "Measured just now";
    if (figures->measured_at < (long long)since) {
        size_t i = 0;
        while (i + 1 < COUNT(units) && age < units[i].from) i++;
        const long long n = age / units[i].seconds;
        snprintf(title, sizeof title, "Measured %lld %s%s ago (--fresh measures again)", n,
                 units[i].unit, n == 1 ? "" : "s");
    }
    style_title(title);
}

static void print_page(const struct qn_doctor *doctor, time_t since) {
    const char *section = "";
    const int n_threads = doctor->topology.n_default;
    printf("%s: %s on %d thread%s\n", doctor->key.cpu, qn_isa_name(doctor->kernels.isa), n_threads,
           n_threads == 1 ? "" : "s");
    for (int i = 0; i < doctor->n; i++) {
        const struct qn_finding *const f = &doctor->findings[i];
        if (strcmp(section, f->section) != 0) {
            if (strcmp(section, "Instructions") == 0) print_slots(&doctor->kernels);
            section = f->section;
            if (strcmp(section, "Measured") == 0)
                print_age(&doctor->figures, since);
            else
                style_title(section);
        }
        print_finding(f, i > 0 ? f - 1 : NULL);
    }
    const int n = qn_doctor_n_warnings(doctor);
    if (n == 0)
        puts("\nNothing costs speed here.");
    else
        printf("\n%d warning%s\n", n, n == 1 ? "" : "s");
}

/* ---- JSON ------------------------------------------------------------------------------- */

static json_t *text_of(const char *text) {
    return qn_json_text(text, strlen(text));
}

static json_t *findings_json(const struct qn_doctor *doctor) {
    static const char *const verdicts[] = {"-", "OK", "WARN"};
    json_t *const list = json_array();
    for (int i = 0; i < doctor->n; i++) {
        const struct qn_finding *const f = &doctor->findings[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o, s:o}", "section", f->section,
                                              "key", f->key, "verdict", verdicts[f->verdict],
                                              "value", text_of(f->value), "mend",
                                              f->mend[0] ? text_of(f->mend) : json_null()));
    }
    return list;
}

static json_t *slots_json(const struct qn_kernels *kernels) {
    struct qn_slot slots[QN_DOCTOR_SLOTS];
    const int n = qn_doctor_slots(kernels, slots, QN_DOCTOR_SLOTS);
    json_t *const list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "op", slots[i].op, "variant",
                                              short_name(slots[i].variant_name), "isa",
                                              qn_isa_name(slots[i].isa), "best_compiled",
                                              qn_isa_name(slots[i].best)));
    return list;
}

static json_t *processors_json(const struct qn_doctor *doctor) {
    json_t *const list = json_array();
    for (int i = 0; i < doctor->map.n; i++) {
        const struct qn_processor *const p = &doctor->map.processors[i];
        const int worker = qn_doctor_worker_of(doctor, p->cpu);
        json_array_append_new(list, json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:o}", "cpu",
                                              p->cpu, "core", p->core, "l3", p->l3, "numa", p->numa,
                                              "package", p->package, "kind", p->kind, "allowed",
                                              p->allowed, "worker",
                                              worker >= 0 ? json_integer(worker) : json_null()));
    }
    return list;
}

static json_t *rate_json(const struct qn_rate *rate) {
    return json_pack("{s:f, s:f, s:i, s:i, s:b}", "best", rate->best, "median", rate->median,
                     "runs", rate->n_runs, "clean_runs", rate->n_clean, "noisy",
                     qn_rate_is_noisy(rate));
}

static json_t *limits_json(const struct qn_machine_limits *limits) {
    static const char *const levels[] = {"read_l2_gb_s", "read_l3_gb_s", "read_memory_gb_s"};
    static const char *const peaks[] = {"f32_gflop_s", "int8_gop_s", "bf16_gflop_s"};
    json_t *const object = json_pack("{s:i, s:o}", "threads", limits->n_threads, "clock_ghz",
                                     rate_json(&limits->clock));
    for (int i = 0; i < QN_LEVEL_COUNT; i++)
        json_object_set_new(object, levels[i], rate_json(&limits->read[i]));
    for (int i = 0; i < QN_PEAK_COUNT; i++)
        json_object_set_new(object, peaks[i],
                            limits->peak[i].best > 0 ? rate_json(&limits->peak[i]) : json_null());
    return object;
}

static int print_json(const struct qn_doctor *doctor) {
    char when[32];
    system_time_text((time_t)doctor->figures.measured_at, when, sizeof when);
    json_t *const figures =
        doctor->measured
            ? json_pack("{s:s, s:[o, o]}", "measured_at", when, "limits",
                        limits_json(&doctor->figures.one), limits_json(&doctor->figures.all))
            : json_null();
    json_t *const object = json_pack(
        "{s:o, s:s, s:i, s:f, s:i, s:o, s:o, s:o, s:o}", "processor", text_of(doctor->key.cpu),
        "isa", qn_isa_name(doctor->kernels.isa), "threads", doctor->topology.n_default, "quota",
        doctor->topology.quota, "warnings", qn_doctor_n_warnings(doctor), "findings",
        findings_json(doctor), "kernels", slots_json(&doctor->kernels), "processors",
        processors_json(doctor), "figures", figures);
    if (object == NULL) {
        out_error("no memory");
        return EXIT_FAILED;
    }
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(object);
    return EXIT_DONE;
}

/* ---- the subcommand --------------------------------------------------------------------- */

static enum qn_status draw(const void *doctor, FILE *out, struct qn_error *err) {
    (void)err;
    qn_doctor_draw(doctor, out);
    return QN_OK;
}

/* The set named by --isa or QUERN_ISA, else those that the engine takes by itself: figures are kept
 * by them, so they must be the same. */
static bool choose_isa(const struct doctor_args *args, struct qn_doctor_options *options) {
    const char *name = args->isa != NULL ? args->isa : getenv("QUERN_ISA");
    enum qn_isa isa;
    options->bundles = qn_cpu_default_bundles();
    if (name == NULL || *name == '\0') return true;
    options->bundles = qn_cpu_bundles();
    if (!qn_isa_parse(name, &isa)) {
        out_error("unknown instruction set '%s' (see --isa in 'quern run --help')", name);
        return false;
    }
    struct qn_kernels kernels;
    qn_kernels_select(options->bundles, &kernels);
    options->bundles = qn_isa_mask(isa);
    if (kernels.bundles >> isa & 1) return true;
    out_error("this machine or build does not have %s", name);
    return false;
}

static bool is_folder(const char *path) {
    struct stat found;
    if (stat(path, &found) != 0)
        out_error("option --root: %s: %s", path, strerror(errno));
    else if (!S_ISDIR(found.st_mode))
        out_error("option --root: %s is not a folder", path);
    else if (access(path, R_OK | X_OK) != 0)
        out_error("option --root: %s: %s", path, strerror(errno));
    else
        return true;
    return false;
}

static int report(const struct doctor_args *args, const struct qn_doctor *doctor, time_t since,
                  struct out_side *svg) {
    int result = EXIT_DONE;
    if (doctor->measured && *doctor->figures.unkept.message != '\0')
        out_error("%s", doctor->figures.unkept.message);
    if (args->json)
        result = print_json(doctor);
    else
        print_page(doctor, since);
    if (!out_side_write(svg, draw, doctor)) result = EXIT_FAILED;
    if (args->strict && qn_doctor_n_warnings(doctor) > 0) result = EXIT_FAILED;
    return result;
}

static int examine(const struct doctor_args *args, struct out_side *svg) {
    char folder[4096];
    struct qn_doctor_options options = {.root = args->root != NULL ? args->root : "",
                                        .synthetic = args->topology,
                                        .measure = !args->no_measure && args->root == NULL &&
                                                   args->topology == NULL,
                                        .fresh = args->fresh};
    if (!choose_isa(args, &options)) return EXIT_WRONG_USAGE;
    if (args->root != NULL && !is_folder(args->root)) return EXIT_FAILED;
    if (qn_machine_cache_folder(folder, sizeof folder)) options.cache_folder = folder;
    struct qn_doctor doctor;
    struct qn_error err;
    const time_t since = time(NULL);
    const enum qn_status status = qn_doctor_examine(&options, &doctor, &err);
    if (status != QN_OK) {
        out_error("%s", err.message);
        return status == QN_BAD_ARGUMENT ? EXIT_WRONG_USAGE : EXIT_FAILED;
    }
    const int result = report(args, &doctor, since, svg);
    qn_doctor_free(&doctor);
    return result;
}

int command_doctor(int argc, char **argv) {
    struct doctor_args args = {.json = false};
    const struct option_group groups[] = {OPTION_GROUP("Options", doctor_options, &args)};
    const struct command command = {
        .name = "doctor",
        .arguments = "[options]",
        .summary = "what this machine is, and what of it costs speed",
        .description =
            "One page: instruction sets and the kernels chosen from them, cores and where threads "
            "are pinned, limits of containers, clock, memory, and measured bandwidth and peaks. "
            "Each line is OK, WARN with the command that mends it, or - where it does not apply.",
        .groups = groups,
        .n_groups = COUNT(groups)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;
    struct out_side svg = {.option = "--svg", .path = args.svg};
    if (!out_sides_check(&svg, 1, args.json ? "--json" : NULL)) return EXIT_WRONG_USAGE;
    if (!out_sides_open(&svg, 1)) return EXIT_FAILED;
    status = examine(&args, &svg);
    out_sides_close(&svg, 1);
    return status;
}
