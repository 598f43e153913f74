/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel checker: every kernel of the inventory that this machine can run, against its
 * specification, on awkward shapes and inputs, in buffers that fault at both ends.
 *
 *   kernel_check [--isa NAME] [--filter PART] [--only kernels|tables]
 *                [--quick] [--verbose] [--list]
 *
 * QUERN_ISA limits the bundles as it does in the engine; --isa checks one bundle's kernels only.
 * Tables are those that dispatch makes: which kernels they hold, and that one row and many agree.
 */
#include "kernel_check.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SHOWN_FAILURES = 3 };

static const struct check_kernel inventory[] = {
#define QN_KERNEL(bundle, operation, variant, function)                                            \
    {QN_ISA_##bundle,         #operation,       variant, #variant, #function,                      \
     {.operation = function}, check_##operation},
#include "kernels/inventory.def"
#undef QN_KERNEL
};
enum { KERNELS = sizeof inventory / sizeof *inventory };

/* ---- cases ---- */

void check_begin(struct check *c, const struct check_kernel *kernel, enum qn_input input,
                 uint64_t seed, const char *shape, ...) {
    va_list args;
    va_start(args, shape);
    vsnprintf(c->shape, sizeof c->shape, shape, args);
    va_end(args);
    c->subject = kernel->function;
    c->isa = qn_isa_name(kernel->isa);
    c->input = input;
    c->seed = seed;
    c->ok = true;
}

/* The head of a failure, printed for the first few only. */
static bool show(struct check *c) {
    c->ok = false;
    if (c->shown++ >= SHOWN_FAILURES) return false;
    printf("FAILED %s [%s] %s, input %s, seed %llu\n    ", c->subject, c->isa, c->shape,
           qn_input_name(c->input), (unsigned long long)c->seed);
    return true;
}

void check_bound(struct check *c, const struct qn_worst *worst) {
    if (worst->ratio > c->worst.ratio) c->worst = *worst;
    if (worst->ratio <= 1 || !show(c)) return;
    printf("worst element %zu: found %.9g, expected %.9g, off by %.3g, bound %.3g\n", worst->index,
           worst->found, worst->expected, worst->found - worst->expected, worst->bound);
}

void check_true(struct check *c, bool ok, const char *otherwise) {
    if (ok || !show(c)) return;
    printf("%s\n", otherwise);
}

void check_same_bits(struct check *c, const float *found, const float *expected, size_t n,
                     const char *what) {
    if (memcmp(found, expected, n * sizeof *found) == 0) return;
    size_t i = 0;
    while (memcmp(found + i, expected + i, sizeof *found) == 0) i++;
    if (!show(c)) return;
    printf("%s: element %zu of %zu is %.9g, expected the bits of %.9g\n", what, i, n,
           (double)found[i], (double)expected[i]);
}

void check_end(struct check *c) {
    c->passed += c->ok;
    c->failed += !c->ok;
}

uint32_t check_machine_bundles(void) {
    uint32_t compiled = 0;
    for (int i = 0; i < KERNELS; i++) compiled |= 1u << inventory[i].isa;
    return compiled & qn_cpu_bundles();
}

/* A kernel that leaves its buffers ends the program, after saying where it was. */
static struct check *faulting;

static void on_fault(int signal_number) {
    char text[512];
    const int n = snprintf(text, sizeof text,
                           "FAILED %s [%s] %s, input %s, seed %llu\n    signal %d: a wild access\n"
                           "%ld passed, %ld failed\n",
                           faulting->subject, faulting->isa, faulting->shape,
                           qn_input_name(faulting->input), (unsigned long long)faulting->seed,
                           signal_number, faulting->passed, faulting->failed + 1);
    if (write(STDOUT_FILENO, text, (size_t)n) < 0) _exit(2);
    _exit(1);
}

static void catch_faults(struct check *c) {
    const struct sigaction action = {.sa_handler = on_fault};
    faulting = c;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
}

/* ---- groups ---- */

static bool same_group(const struct check_kernel *a, const struct check_kernel *b) {
    return a->variant == b->variant && strcmp(a->op, b->op) == 0;
}

static bool is_wanted(const struct check *c, const struct check_kernel *kernel) {
    return c->bundles >> kernel->isa & 1 && (!c->filter || strstr(kernel->function, c->filter));
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check_group(struct check *c, int first) {
    const struct check_kernel *group[KERNELS];
    int n = 0;
    for (int i = first; i < KERNELS; i++)
        if (same_group(inventory + i, inventory + first) && is_wanted(c, inventory + i))
            group[n++] = inventory + i;
    if (n == 0) return;
    const long passed = c->passed, failed = c->failed;
    const double start = seconds();
    c->worst = (struct qn_worst){0};
    c->shown = 0;
    group[0]->check(c, group, n);
    fflush(stdout);
    if (c->verbose)
        printf("%-11s %-24s %d kernels %6ld passed %ld failed, worst %.2f of the bound, %.2f s\n",
               group[0]->op, group[0]->variant_name, n, c->passed - passed, c->failed - failed,
               c->worst.ratio, seconds() - start);
}

static bool is_first_of_group(int i) {
    for (int j = 0; j < i; j++)
        if (same_group(inventory + j, inventory + i)) return false;
    return true;
}

static void check_kernels(struct check *c) {
    for (int i = 0; i < KERNELS; i++)
        if (is_first_of_group(i)) check_group(c, i);
}

/* ---- program ---- */

static void list(uint32_t machine) {
    for (int i = 0; i < KERNELS; i++)
        printf("%-11s %-10s %-24s %s%s\n", qn_isa_name(inventory[i].isa), inventory[i].op,
               inventory[i].variant_name, inventory[i].function,
               machine >> inventory[i].isa & 1 ? "" : "  (not run here)");
}

static void report_not_run(uint32_t machine) {
    const char *separator = "not run here: ";
    for (int isa = 0; isa < QN_ISA_COUNT; isa++) {
        if (machine >> isa & 1) continue;
        printf("%s%s", separator, qn_isa_name((enum qn_isa)isa));
        separator = ", ";
    }
    if (*separator == ',') printf("\n");
}

static int usage(const char *problem) {
    fprintf(stderr,
            "kernel_check: %s\n"
            "usage: kernel_check [--isa NAME] [--filter PART] [--only kernels|tables] [--quick] "
            "[--verbose] [--list]\n",
            problem);
    return 2;
}

/* Bundles of QUERN_ISA, all where it is unset, 0 where it names none. */
static uint32_t environment_bundles(void) {
    const char *const name = getenv("QUERN_ISA");
    enum qn_isa isa;
    if (!name || !*name) return UINT32_MAX;
    return qn_isa_parse(name, &isa) ? qn_isa_mask(isa) : 0;
}

int main(int argc, char **argv) {
    const uint32_t machine = check_machine_bundles() & environment_bundles();
    struct check c = {.bundles = machine, .subject = "start", .isa = "", .input = QN_INPUT_ZERO};
    bool kernels = true, tables = true;
    if (!machine) return usage("QUERN_ISA names no instruction set");
    for (int i = 1; i < argc; i++) {
        enum qn_isa isa;
        const char *const value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--list") == 0) return list(machine), 0;
        if (strcmp(argv[i], "--quick") == 0)
            c.quick = true;
        else if (strcmp(argv[i], "--verbose") == 0)
            c.verbose = true;
        else if (strcmp(argv[i], "--filter") == 0 && value)
            c.filter = argv[++i], tables = false;
        else if (strcmp(argv[i], "--only") == 0 && value) {
            kernels = strcmp(value, "kernels") == 0;
            tables = strcmp(value, "tables") == 0;
            if (!kernels && !tables) return usage("--only wants kernels or tables");
            i++;
        } else if (strcmp(argv[i], "--isa") == 0 && value) {
            if (!qn_isa_parse(value, &isa)) return usage("no such instruction set");
            if (!(machine >> isa & 1)) return usage("this machine or build cannot run that bundle");
            c.bundles = 1u << isa;
            i++;
        } else
            return usage("unknown option or missing value");
    }
    qn_kernels_select(1u << QN_ISA_REF, &c.ref);
    catch_faults(&c);
    if (kernels) check_kernels(&c);
    if (tables) {
        check_tables(&c);
        check_agreement(&c);
    }
    report_not_run(machine);
    printf("%ld passed, %ld failed\n", c.passed, c.failed);
    return c.failed ? 1 : 0;
}
