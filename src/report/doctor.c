/* SPDX-License-Identifier: Apache-2.0
 *
 * The doctor's frame: reading small files, adding findings, instruction sets and slots.
 */
#include "report/doctor.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "host/limits.h"
#include "report/doctor_internal.h"

/* ---- findings ---- */

struct qn_finding *qn_doctor_add(struct qn_doctor *doctor, const char *section, const char *key,
                                 const char *label, enum qn_verdict verdict, const char *format,
                                 ...) {
    struct qn_finding *const f = &doctor->findings[doctor->n];
    if (doctor->n + 1 < QN_DOCTOR_FINDINGS) doctor->n++; /* the table is larger than the checks */
    *f = (struct qn_finding){.section = section, .key = key, .label = label, .verdict = verdict};
    va_list args;
    va_start(args, format);
    vsnprintf(f->value, sizeof f->value, format, args);
    va_end(args);
    return f;
}

void qn_doctor_mend(struct qn_finding *finding, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(finding->mend, sizeof finding->mend, format, args);
    va_end(args);
}

int qn_doctor_n_warnings(const struct qn_doctor *doctor) {
    int n = 0;
    for (int i = 0; i < doctor->n; i++) n += doctor->findings[i].verdict == QN_VERDICT_WARN;
    return n;
}

/* ---- files ---- */

static FILE *open_under(const char *root, const char *path) {
    char whole[PATH_MAX];
    const int n = snprintf(whole, sizeof whole, "%s%s", root, path);
    return n > 0 && n < (int)sizeof whole ? fopen(whole, "re") : NULL;
}

bool qn_doctor_read(const char *root, const char *path, char *text, size_t size) {
    text[0] = '\0';
    FILE *const file = open_under(root, path);
    if (!file) return false;
    const bool read = fgets(text, (int)size, file) != NULL;
    fclose(file);
    text[strcspn(text, "\n")] = '\0';
    return read;
}

bool qn_doctor_read_number(const char *root, const char *path, long long *number) {
    char text[64], *end;
    if (!qn_doctor_read(root, path, text, sizeof text)) return false;
    *number = strtoll(text, &end, 10);
    return end != text;
}

bool qn_doctor_read_field(const char *root, const char *path, const char *name, char *text,
                          size_t size) {
    text[0] = '\0';
    FILE *const file = open_under(root, path);
    if (!file) return false;
    char line[1024];
    const size_t length = strlen(name);
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, length) != 0 || line[length] != ':') continue;
        const char *const value = line + length + 1 + strspn(line + length + 1, " \t");
        snprintf(text, size, "%.*s", (int)strcspn(value, "\n"), value);
        found = true;
    }
    fclose(file);
    return found;
}

/* ---- instruction sets ---- */

/* What an instruction set adds to those before it. */
static const char *isa_gain(enum qn_isa isa) {
    static const char *const gains[QN_ISA_COUNT] = {
        [QN_ISA_REF] = "portable C in double precision: the specification, slow",
        [QN_ISA_AVX2] = "vectors of 256 bits",
        [QN_ISA_AVXVNNI] = "a dot of bytes in one instruction instead of three, 256 bits",
        [QN_ISA_AVX512] = "vectors of 512 bits and twice the registers",
        [QN_ISA_AVX512VNNI] = "a dot of bytes in one instruction instead of three, 512 bits",
        [QN_ISA_AVX512BF16] = "bf16 weights multiplied without widening them",
        [QN_ISA_AMXINT8] = "prompts multiplied by tiles of bytes",
        [QN_ISA_AMXBF16] = "prompts multiplied by tiles of bf16, for weights in 16 bits",
        [QN_ISA_AMXFAST] = "quantized prompts by bf16 tiles too, where asked for",
        [QN_ISA_NEON] = "vectors of 128 bits",
        [QN_ISA_DOTPROD] = "a dot of bytes in one instruction",
        [QN_ISA_I8MM] = "prompts multiplied by blocks of two rows of bytes",
    };
    return gains[isa];
}

static uint32_t compiled_bundles(void) {
    size_t n;
    const struct qn_kernel_entry *const entries = qn_kernel_list(&n);
    uint32_t bundles = 0;
    for (size_t i = 0; i < n; i++) bundles |= 1u << entries[i].isa;
    return bundles;
}

/* Names of bundles but ref, separated by blanks (commas: for a command). */
static void name_bundles(uint32_t bundles, char separator, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = QN_ISA_REF + 1; i < QN_ISA_COUNT && used < size; i++)
        if (bundles >> i & 1)
            used += (size_t)snprintf(text + used, size - used, "%s%s",
                                     used ? (char[]){separator, '\0'} : "",
                                     qn_isa_name((enum qn_isa)i));
    if (used == 0) snprintf(text, size, "none");
}

int qn_doctor_slots(const struct qn_kernels *kernels, struct qn_slot *slots, int capacity) {
    size_t n;
    const struct qn_kernel_entry *const entries = qn_kernel_list(&n);
    int n_slots = 0;
    for (size_t i = 0; i < n; i++) {
        const struct qn_kernel_entry *const e = &entries[i];
        int s = 0;
        while (s < n_slots && (slots[s].variant != e->variant || strcmp(slots[s].op, e->op) != 0))
            s++;
        if (s == capacity) break;
        if (s == n_slots)
            slots[n_slots++] = (struct qn_slot){e->op, e->variant, e->variant_name, e->isa, e->isa};
        slots[s].best = e->isa;
        if (kernels->bundles >> e->isa & 1) slots[s].isa = e->isa;
    }
    return n_slots;
}

/* Whether an operation got a lower set than the engine gives it unless told otherwise. */
static bool is_lower(const struct qn_kernels *kernels) {
    struct qn_slot taken[QN_DOCTOR_SLOTS], usual[QN_DOCTOR_SLOTS];
    struct qn_kernels by_default;
    qn_kernels_select(qn_cpu_default_bundles(), &by_default);
    const int n = qn_doctor_slots(kernels, taken, QN_DOCTOR_SLOTS);
    qn_doctor_slots(&by_default, usual, QN_DOCTOR_SLOTS);
    for (int i = 0; i < n; i++)
        if (taken[i].isa < usual[i].isa) return true;
    return false;
}

static void examine_isa(struct qn_doctor *doctor) {
    static const char section[] = "Instructions";
    const uint32_t found = qn_cpu_bundles(), compiled = compiled_bundles();
    char text[160];
    name_bundles(found, ' ', text, sizeof text);
    qn_doctor_add(doctor, section, "isa_found", "processor has", QN_VERDICT_OK, "%s", text);
    name_bundles(compiled, ' ', text, sizeof text);
    const uint32_t left_out = found & ~compiled;
    struct qn_finding *f = qn_doctor_add(doctor, section, "isa_compiled", "compiled in",
                                         left_out ? QN_VERDICT_WARN : QN_VERDICT_OK, "%s", text);
    if (left_out) {
        name_bundles(found | compiled, ',', text, sizeof text);
        qn_doctor_mend(f, "meson configure build -Disa=%s && meson compile -C build", text);
    }
    const bool lower = is_lower(&doctor->kernels);
    f = qn_doctor_add(doctor, section, "isa_chosen", "chosen",
                      lower ? QN_VERDICT_WARN : QN_VERDICT_OK, "%s, tiles of %d rows%s",
                      qn_isa_name(doctor->kernels.isa), doctor->kernels.tile_rows,
                      lower ? "; a better one was left out by request" : "");
    if (lower) qn_doctor_mend(f, "unset QUERN_ISA    (and leave --isa out)");
    int n_missing = 0;
    for (int i = QN_ISA_REF + 1; i < QN_ISA_COUNT; i++) {
        if (!(compiled >> i & 1) || (found >> i & 1)) continue;
        qn_doctor_add(doctor, section, "isa_missing", n_missing++ ? "" : "not here",
                      QN_VERDICT_NONE, "%s: %s", qn_isa_name((enum qn_isa)i),
                      isa_gain((enum qn_isa)i));
    }
}

/* ---- figures ---- */

static const char measure_again[] = "quern doctor --fresh    (when the machine is idle)";

static void add_rate(struct qn_doctor *doctor, const char *key, const char *label,
                     const struct qn_rate *one, const struct qn_rate *all, const char *unit) {
    if (one->best == 0) {
        qn_doctor_add(doctor, "Measured", key, label, QN_VERDICT_NONE, "no instruction for it");
        return;
    }
    const bool noisy = qn_rate_is_noisy(one) || qn_rate_is_noisy(all);
    struct qn_finding *const f =
        qn_doctor_add(doctor, "Measured", key, label, noisy ? QN_VERDICT_WARN : QN_VERDICT_OK,
                      "%.1f %s of 1 thread, %.1f of %d%s", one->best, unit, all->best,
                      doctor->figures.all.n_threads, noisy ? ": too noisy to trust" : "");
    if (noisy) qn_doctor_mend(f, "%s", measure_again);
}

/* A clock that falls when all cores work is the processor's way: no warning. */
static void add_clock(struct qn_doctor *doctor) {
    const struct qn_rate *const one = &doctor->figures.one.clock, *const all =
                                                                      &doctor->figures.all.clock;
    const int n = doctor->figures.all.n_threads;
    const bool noisy = qn_rate_is_noisy(one) || qn_rate_is_noisy(all);
    struct qn_finding *const f =
        qn_doctor_add(doctor, "Measured", "clock", "clock", noisy ? QN_VERDICT_WARN : QN_VERDICT_OK,
                      "%.2f GHz of 1 core, %.2f each of %d%s", one->best, all->best / n, n,
                      noisy ? ": too noisy to trust" : "");
    if (noisy) qn_doctor_mend(f, "%s", measure_again);
}

static void report_figures(struct qn_doctor *doctor) {
    const struct qn_machine_limits *const one = &doctor->figures.one, *const all =
                                                                          &doctor->figures.all;
    add_clock(doctor);
    add_rate(doctor, "read_memory", "memory read", &one->read[QN_LEVEL_MEMORY],
             &all->read[QN_LEVEL_MEMORY], "GB/s");
    add_rate(doctor, "read_l3", "L3 read", &one->read[QN_LEVEL_L3], &all->read[QN_LEVEL_L3],
             "GB/s");
    add_rate(doctor, "read_l2", "L2 read", &one->read[QN_LEVEL_L2], &all->read[QN_LEVEL_L2],
             "GB/s");
    add_rate(doctor, "peak_f32", "f32 multiply-add", &one->peak[QN_PEAK_F32],
             &all->peak[QN_PEAK_F32], "GFLOP/s");
    add_rate(doctor, "peak_int8", "int8 dot", &one->peak[QN_PEAK_INT8], &all->peak[QN_PEAK_INT8],
             "GOP/s");
    add_rate(doctor, "peak_bf16", "bf16 dot", &one->peak[QN_PEAK_BF16], &all->peak[QN_PEAK_BF16],
             "GFLOP/s");
}

/* ---- all ---- */

static enum qn_status read_machine(const struct qn_doctor_options *options,
                                   struct qn_doctor *doctor, struct qn_error *err) {
    QN_TRY(qn_topology_read(options->synthetic, &doctor->topology, err));
    QN_TRY(qn_machine_map_read(options->synthetic, &doctor->map, err));
    if (options->root[0] != '\0') {
        struct qn_topology *const t = &doctor->topology;
        t->quota = qn_limits_quota_under(options->root);
        t->n_default = qn_topology_default(t->cores, t->n_cores, t->n_allowed, t->quota);
    }
    doctor->n_groups =
        qn_groups_form(&doctor->topology, doctor->topology.n_default, doctor->group_starts);
    return QN_OK;
}

enum qn_status qn_doctor_examine(const struct qn_doctor_options *options, struct qn_doctor *doctor,
                                 struct qn_error *err) {
    *doctor = (struct qn_doctor){0};
    qn_kernels_select(options->bundles & qn_cpu_bundles(), &doctor->kernels);
    enum qn_status status = read_machine(options, doctor, err);
    const struct qn_topology *const t = &doctor->topology;
    qn_machine_key_read(options->root, &doctor->kernels, t, t->n_default, &doctor->key);
    if (options->synthetic)
        snprintf(doctor->key.cpu, sizeof doctor->key.cpu, "%s", options->synthetic);
    if (status == QN_OK && options->measure) {
        status = qn_machine_figures_get(options->cache_folder, options->fresh, &doctor->key, t,
                                        &doctor->figures, err);
        doctor->measured = status == QN_OK;
    }
    if (status != QN_OK) {
        qn_doctor_free(doctor);
        return status;
    }
    examine_isa(doctor);
    qn_doctor_examine_cores(options, doctor);
    qn_doctor_examine_clock(options, doctor);
    qn_doctor_examine_memory(options, doctor);
    qn_doctor_examine_counters(options, doctor);
    if (doctor->measured) report_figures(doctor);
    return QN_OK;
}

void qn_doctor_free(struct qn_doctor *doctor) {
    qn_topology_free(&doctor->topology);
    qn_machine_map_free(&doctor->map);
}
