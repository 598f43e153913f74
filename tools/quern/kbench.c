/* SPDX-License-Identifier: Apache-2.0
 *
 * quern kbench: kernels one by one. Each row is a kernel on a shape: its time, what part of the
 * machine's measured peak and bandwidth that is, and its error against the reference.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "host/topology.h"
#include "interrupt.h"
#include "kbench_cases.h"
#include "kbench_output.h"
#include "output.h"
#include "report/counters_text.h"
#include "report/lab_blas.h"

#define KBENCH(field) offsetof(struct kbench_args, field)

enum { MAX_LIBRARIES = 2 * QN_BLAS_VARIANTS };

static const struct option kernel_options[] = {
    {"--isa", OPTION_TEXT, "NAME,...", 0, 0, KBENCH(isa), false, false,
     "kernels of these instruction sets; best: of each operation the one that the engine takes "
     "here "
     "by default, or up to $QUERN_ISA; all: all that run here"},
    {"--filter", OPTION_TEXT, "GLOB", 0, 0, KBENCH(filter), false, true,
     "only kernels whose operation, operation/variant or function is like this: 'matmul/Q4*'"},
    {"--plugin", OPTION_TEXT, "FILE,...", 0, 0, KBENCH(plugins), false, true,
     "kernels of your own, made with quern_kernel.h"},
    {"--against", OPTION_TEXT, "NAME,...", 0, 0, KBENCH(against), false, true,
     "libraries on the same shapes, where they are installed: openblas, onednn"},
    {"--list", OPTION_FLAG, NULL, 0, 0, KBENCH(list), false, true,
     "names of the kernels, and nothing measured"},
};

static const struct option shape_options[] = {
    {"--shape", OPTION_TEXT, "NxK,...", 0, 0, KBENCH(shapes), false, true,
     "shapes of weights (1024x1024,5632x2048); rows are as long as N or K"},
    {"--shapes-from", OPTION_TEXT, "MODEL", 0, 0, KBENCH(shapes_from), false, true,
     "shapes and heads of a model, of which the header alone is read"},
    {"-M", OPTION_TEXT, "LIST", 0, 0, KBENCH(rows), false, false,
     "rows of activations: 1,4 or 1..512, which doubles, or 8..64+8"},
    {"--context", OPTION_INTS, "N,...", 1, MAX_CONTEXT, KBENCH(context), false, false,
     "positions that attention sees"},
    {"--heads", OPTION_TEXT, "HxGxD", 0, 0, KBENCH(heads), false, false,
     "KV heads, query heads of each, head size"},
    {"--where", OPTION_TEXT, "LEVEL,...", 0, 0, KBENCH(where), false, false,
     "where operands come from: l2, l3, memory; they are rotated through enough copies"},
};

static const struct option run_options[] = {
    {"-t, --threads", OPTION_INTS, "N,...", 1, MAX_THREADS, KBENCH(n_threads), false, false,
     "threads, one pinned to each physical core"},
    {"--no-pin", OPTION_FLAG, NULL, 0, 0, KBENCH(no_pin), false, true,
     "let threads move between cores"},
    {"-r, --repetitions", OPTION_INT, "N", 1, QN_LAB_MAX_SAMPLES, KBENCH(samples), false, false,
     "samples of each measurement, at most"},
    {"--seconds", OPTION_FLOAT, "X", 0, 3600, KBENCH(seconds), false, false,
     "time of each measurement, at most"},
    {"-o, --output", OPTION_CHOICE, "md|csv|json", 0, 0, KBENCH(output), false, false,
     "form of the results"},
};

/* ---- ceilings, each measured once ------------------------------------------------------- */

struct ceilings {
    struct qn_rate peak[QN_ISA_COUNT][QN_PEAK_COUNT], read[QN_LEVEL_COUNT];
    struct qn_rate machine[QN_PEAK_COUNT]; /* of all its sets, where libraries are measured */
    bool has_peak[QN_ISA_COUNT][QN_PEAK_COUNT], has_read[QN_LEVEL_COUNT];
};

static const struct qn_rate *peak_of(struct ceilings *c, struct qn_pool *pool, enum qn_isa isa,
                                     enum qn_peak peak) {
    if (!c->has_peak[isa][peak])
        c->peak[isa][peak] = qn_machine_measure_peak(pool, qn_isa_mask(isa), peak);
    c->has_peak[isa][peak] = true;
    return &c->peak[isa][peak];
}

/* A level that cannot be measured has nothing to compare with. */
static const struct qn_rate *read_of(struct ceilings *c, struct qn_pool *pool,
                                     enum qn_level level) {
    struct qn_error ignored;
    if (!c->has_read[level] &&
        qn_machine_measure_read(pool, level, &c->read[level], &ignored) != QN_OK)
        c->read[level] = (struct qn_rate){0};
    c->has_read[level] = true;
    return &c->read[level];
}

/* ---- rows ------------------------------------------------------------------------------- */

struct kbench {
    const struct kbench_args *args;
    const struct kbench_cases *cases;
    const struct qn_topology *topology;
    struct qn_lab_options options;
    struct kbench_output output;
    struct ceilings *ceilings; /* of the current number of threads */
    int n_wrong;
};

/* The arithmetic that bounds an operation: of products that of their form, of attention that of the
 * cache. */
static struct qn_peak_use peak_use(const struct qn_lab_kernel *kernel) {
    const uint32_t bundles = qn_isa_mask(kernel->isa);
    const enum qn_pack form = (enum qn_pack)kernel->slot;
    if (strncmp(kernel->op, "mat", 3) == 0)
        return qn_peak_of_product(form, qn_pack_act_many(form, bundles), bundles);
    if (strcmp(kernel->op, "attention") == 0)
        return qn_peak_of_attention((enum qn_cache)kernel->slot, bundles);
    return (struct qn_peak_use){QN_PEAK_F32, 1};
}

/* A confidence interval of more than this part of the median says little, and so does none. */
static const double WIDE = 0.2;

static void print_row(struct kbench *b, struct kbench_row *row, const struct qn_rate *peak,
                      int steps, const struct qn_rate *read) {
    row->peak = row->result.ops > 0 ? peak->best / steps : 0;
    row->read = row->result.between ? 0 : read->best;
    const struct qn_lab_result *const r = &row->result;
    row->noisy = (row->peak > 0 && qn_rate_is_noisy(peak)) ||
                 (row->read > 0 && qn_rate_is_noisy(read)) ||
                 !(r->high - r->low <= WIDE * r->median);
    b->n_wrong += !row->result.right;
    kbench_print_row(&b->output, row);
}

/* False, too, where Ctrl-C asks for no more rows. */
static bool flush_row(struct kbench *b) {
    if (out_flush()) return !interrupt_seen();
    b->output.n_printed = 0; /* nobody reads an end */
    return false;
}

/* Whether a user's kernel comes back: it is tried in a process of its own first, which it may end,
 * or keep for a minute. */
static bool survives(const struct qn_lab_kernel *kernel, const struct qn_lab_shape *shape) {
    const pid_t child = fork();
    if (child == 0) {
        struct qn_lab_result result;
        alarm(60);
        qn_lab_check(kernel, shape, &result, NULL);
        _exit(0);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status == 0) return true;
    char text[64];
    qn_lab_shape_text(kernel->op, shape, text, sizeof text);
    out_error("%s: ends the process on %s %s: %s", kernel->function, kernel->op, text,
              WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it exits");
    return false;
}

static bool measure_case(struct kbench *b, struct qn_pool *pool, const struct kbench_case *c,
                         enum qn_level where) {
    const struct qn_lab_kernel *const kernel = c->kernel;
    if (c->problem != NULL) return true;
    if (c->plugin && !survives(kernel, &c->shape)) {
        b->n_wrong++;
        return true;
    }
    struct kbench_row row = {.op = kernel->op,
                             .variant = kernel->variant,
                             .function = kernel->function,
                             .isa = qn_isa_name(kernel->isa),
                             .name = c->plugin ? kernel->function : NULL,
                             .shape = c->shape,
                             .where = where,
                             .n_threads = qn_pool_n_threads(pool)};
    struct qn_error err;
    if (qn_lab_measure(pool, kernel, &c->shape, where, &b->options, &row.result, &err) != QN_OK) {
        out_error("%s", err.message);
        return false;
    }
    const struct qn_peak_use use = peak_use(kernel);
    print_row(b, &row, peak_of(b->ceilings, pool, kernel->isa, use.peak), use.steps,
              read_of(b->ceilings, pool, row.result.where));
    return flush_row(b);
}

static bool measure_level(struct kbench *b, struct qn_pool *pool, enum qn_level where) {
    for (int i = 0; i < b->cases->n_cases; i++)
        if (!measure_case(b, pool, &b->cases->cases[i], where)) return false;
    return true;
}

/* ---- libraries -------------------------------------------------------------------------- */

struct libraries {
    struct qn_blas blas[MAX_LIBRARIES];
    int n;
};

/* 0: go on without those that are not installed, said in a sentence; else an exit status. */
static int open_libraries(const char *names, struct libraries *libraries) {
    char copy[128], *rest = copy;
    libraries->n = 0;
    if (names == NULL) return EXIT_DONE;
    snprintf(copy, sizeof copy, "%s", names);
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        struct qn_error err;
        int n;
        if (libraries->n + QN_BLAS_VARIANTS > MAX_LIBRARIES) break;
        const enum qn_status status = qn_blas_open(name, libraries->blas + libraries->n, &n, &err);
        libraries->n += n;
        if (status != QN_OK) out_error("%s", err.message);
        if (status == QN_BAD_ARGUMENT) return EXIT_WRONG_USAGE;
    }
    return EXIT_DONE;
}

/* Libraries take what the whole processor has. Its bf16 peak is not known: there may be a tile unit
 * for it, which the probes do not drive. */
static enum qn_peak library_peak(const struct qn_blas *blas) {
    if (strcmp(blas->variant, "INT8") == 0) return QN_PEAK_INT8;
    return strcmp(blas->variant, "BF16") == 0 ? QN_PEAK_BF16 : QN_PEAK_F32;
}

static bool measure_library(struct kbench *b, const struct qn_blas *blas, int n_threads,
                            enum qn_level where) {
    const struct kbench_cases *const c = b->cases;
    const struct qn_rate *const peak = &b->ceilings->machine[library_peak(blas)];
    const struct qn_caches caches = qn_topology_caches(b->topology, n_threads);
    char name[32], isa[128];
    snprintf(name, sizeof name, "%s %s", blas->name, blas->variant);
    snprintf(isa, sizeof isa, "%s %s", blas->name, blas->detail);
    for (int s = 0; s < c->n_shapes; s++)
        for (int i = 0; i < c->n_m; i++) {
            struct kbench_row row = {.op = "matmul",
                                     .variant = blas->variant,
                                     .function = blas->name,
                                     .isa = isa,
                                     .name = name,
                                     .shape = {.m = c->m[i], .n = c->n[s], .k = c->k[s]},
                                     .where = where,
                                     .n_threads = n_threads};
            struct qn_error err;
            if (qn_blas_measure(blas, &caches, n_threads, &row.shape, where, &b->options,
                                &row.result, &err) != QN_OK) {
                out_error("%s", err.message);
                return false;
            }
            print_row(b, &row, peak, 1, &b->ceilings->read[row.result.where]);
            if (!flush_row(b)) return false;
        }
    return true;
}

/* The pool's pinning would hold the libraries' threads on one core: it is gone by now, and what it
 * measured stays. */
static bool measure_libraries(struct kbench *b, const struct libraries *libraries, int n_threads) {
    for (int w = 0; w < QN_LEVEL_COUNT; w++)
        for (int i = 0; i < libraries->n; i++)
            if (b->cases->where[w] &&
                !measure_library(b, &libraries->blas[i], n_threads, (enum qn_level)w))
                return false;
    return true;
}

/* ---- runs ------------------------------------------------------------------------------- */

static bool measure_threads(struct kbench *b, const struct libraries *libraries, int n_threads) {
    const struct qn_pool_options options = {.n_threads = n_threads, .pin = !b->args->no_pin};
    struct qn_pool *pool;
    struct qn_error err;
    if (qn_pool_new(b->topology, &options, &pool, &err) != QN_OK) {
        out_error("%s", err.message);
        return false;
    }
    *b->ceilings = (struct ceilings){0};
    bool done = true;
    for (int w = 0; w < QN_LEVEL_COUNT && done; w++)
        if (b->cases->where[w]) done = measure_level(b, pool, (enum qn_level)w);
    if (libraries->n > 0) {
        b->ceilings->machine[QN_PEAK_F32] =
            qn_machine_measure_peak(pool, qn_cpu_bundles(), QN_PEAK_F32);
        b->ceilings->machine[QN_PEAK_INT8] =
            qn_machine_measure_peak(pool, qn_cpu_bundles(), QN_PEAK_INT8);
        for (int i = 0; i < QN_LEVEL_COUNT; i++) read_of(b->ceilings, pool, (enum qn_level)i);
    }
    qn_pool_free(pool);
    return done && measure_libraries(b, libraries, n_threads);
}

static int measure_all(struct kbench *b, const struct libraries *libraries) {
    bool done = true;
    interrupt_catch(true);
    for (int i = 0; i < b->args->n_threads.n && done; i++)
        done = measure_threads(b, libraries, b->args->n_threads.values[i]);
    interrupt_release();
    if (done || b->output.n_printed > 0) kbench_print_end(&b->output);
    if (!done && interrupt_seen()) return EXIT_INTERRUPTED;
    const int n_left_out = b->cases->n_cases - b->cases->n_fit;
    if (n_left_out > 0)
        out_error("%d case%s left out: %s", n_left_out, n_left_out == 1 ? "" : "s",
                  b->cases->problem);
    if (b->n_wrong > 0)
        out_error("%d result%s not what the reference and rounding explain", b->n_wrong,
                  b->n_wrong == 1 ? " is" : "s are");
    return done && b->n_wrong == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int list_kernels(const struct kbench_args *args, const struct kbench_cases *cases) {
    if (cases->n_kernels == 0) return kbench_say_nothing(args, cases);
    for (int i = 0; i < cases->n_kernels; i++)
        printf("%-10s %-10s %-10s %s\n", qn_isa_name(cases->kernels[i].isa), cases->kernels[i].op,
               cases->kernels[i].variant[0] ? cases->kernels[i].variant : "-",
               cases->kernels[i].function);
    return EXIT_DONE;
}

static int run_kbench(const struct kbench_args *args, const struct kbench_cases *cases) {
    struct libraries libraries;
    const int opened = open_libraries(args->against, &libraries);
    if (opened != EXIT_DONE) return opened;
    if (cases->n_fit + libraries.n == 0) return kbench_say_nothing(args, cases);
    struct qn_topology topology;
    struct qn_error err;
    struct ceilings *const ceilings = malloc(sizeof *ceilings);
    if (ceilings == NULL || qn_topology_read(NULL, &topology, &err) != QN_OK) {
        out_error("no memory");
        free(ceilings);
        return EXIT_FAILED;
    }
    struct qn_counters counters;
    struct kbench b = {.args = args,
                       .cases = cases,
                       .topology = &topology,
                       .options = {.n_samples = args->samples,
                                   .max_seconds = (double)args->seconds,
                                   .counters = qn_counters_open(&counters) > 0},
                       .output = {.form = args->output},
                       .ceilings = ceilings};
    if (!b.options.counters)
        fprintf(stderr, "quern: no hardware counters here: %s\n",
                qn_counters_missing(counters.reason));
    qn_counters_close(&counters);
    const int status = measure_all(&b, &libraries);
    qn_topology_free(&topology);
    free(ceilings);
    return status;
}

int command_kbench(int argc, char **argv) {
    struct kbench_args args = {.rows = "1,512",
                               .heads = "8x4x64",
                               .where = "l2,memory",
                               .isa = "best",
                               .n_threads = {{1}, 1},
                               .context = {{512}, 1},
                               .output = "md",
                               .seconds = 0.1f,
                               .samples = 30};
    const struct option_group groups[] = {
        OPTION_GROUP("Kernels", kernel_options, &args),
        OPTION_GROUP("Shapes", shape_options, &args),
        OPTION_GROUP("Running", run_options, &args),
    };
    const struct command command = {
        .name = "kbench",
        .arguments = "[options]",
        .summary = "measure and check kernels one by one",
        .description =
            "Each row: the median time of a call with half its 95 % confidence interval, GOP/s and "
            "GB/s with their parts of what this machine reaches on the same threads, and the "
            "largest error against the double-precision reference. Times are of the processor, so "
            "that other programs count little, without barriers; ~: the machine was too noisy to "
            "trust the row. Exit status 1 if a result is wrong.",
        .groups = groups,
        .n_groups = COUNT(groups)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;
    struct kbench_cases cases;
    status = kbench_cases_read(&args, &cases);
    if (status != EXIT_DONE) return status;
    status = args.list ? list_kernels(&args, &cases) : run_kbench(&args, &cases);
    kbench_cases_free(&cases);
    return status;
}
