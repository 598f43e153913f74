/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading lists of shapes, rows, levels and instruction sets, choosing kernels, and putting each
 * on its shapes.
 */
#include "kbench_cases.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forecast.h"
#include "output.h"

enum { MAX_SIZE = 1 << 24, MAX_HEADS = 4096 };

/* Calls take for each word between commas until it returns false; the word is terminated. */
typedef bool word_taker(void *context, const char *word);

static bool each_word(const char *list, word_taker *take, void *context) {
    for (;;) {
        const size_t size = strcspn(list, ",");
        char *const word = strndup(list, size);
        if (word == NULL) out_error("no memory");
        const bool taken = word != NULL && take(context, word);
        free(word);
        if (!taken) return false;
        if (list[size] == '\0') return true;
        list += size + 1;
    }
}

/* ---- shapes ---- */

/* Reads a whole number without a sign at *text and moves past it; false when there is none, or it
 * is not in range. */
static bool take_number(const char **text, int min, int max, int *out) {
    char *end;
    if (**text < '0' || **text > '9') return false;
    errno = 0;
    const long value = strtol(*text, &end, 10);
    if (errno != 0 || value < min || value > max) return false;
    *text = end;
    *out = (int)value;
    return true;
}

/* Moves *text past what it begins with; false when it does not. */
static bool take_mark(const char **text, const char *mark) {
    const size_t size = strlen(mark);
    if (strncmp(*text, mark, size) != 0) return false;
    *text += size;
    return true;
}

static bool add_shape(struct kbench_cases *c, int n, int k) {
    for (int i = 0; i < c->n_shapes; i++)
        if (c->n[i] == n && c->k[i] == k) return true;
    if (c->n_shapes == KBENCH_MAX_SHAPES) return false;
    c->n[c->n_shapes] = n;
    c->k[c->n_shapes++] = k;
    return true;
}

static bool take_shape(void *context, const char *word) {
    int n, k;
    return take_number(&word, 1, MAX_SIZE, &n) && take_mark(&word, "x") &&
           take_number(&word, 1, MAX_SIZE, &k) && *word == '\0' && add_shape(context, n, k);
}

/* Distinct [n][k] of a model's matrices, and its heads. */
static int shapes_from(const char *path, struct kbench_cases *c) {
    const struct model_args model_args = {.path = path};
    const struct session_args session_args = session_args_default();
    struct forecast forecast;
    const int status = forecast_open(&model_args, &session_args, &forecast);
    if (status != EXIT_DONE) return status;
    if (!forecast.has_spec) {
        out_error("%s", forecast.err.message);
        forecast_close(&forecast);
        return EXIT_FAILED;
    }
    const struct qn_spec *const spec = &forecast.spec;
    for (size_t i = 0; i < spec->n_weights; i++)
        if (spec->weights[i].n_parts > 0 && spec->weights[i].tile_size > 0 &&
            !add_shape(c, spec->weights[i].n, spec->weights[i].k))
            out_error("%s: more than %d shapes; the rest is left out", path, KBENCH_MAX_SHAPES);
    c->heads = spec->hparams.n_kv_heads;
    c->g = spec->hparams.n_heads / spec->hparams.n_kv_heads;
    c->d = spec->hparams.head_size;
    forecast_close(&forecast);
    return EXIT_DONE;
}

/* "8", "1..512" (doubling, and the end), "4..32+4" */
static bool take_rows(void *context, const char *word) {
    struct kbench_cases *const c = context;
    int first, last, step = 0;
    if (!take_number(&word, 1, MAX_SIZE, &first)) return false;
    last = first;
    if (take_mark(&word, "..") &&
        (!take_number(&word, first, MAX_SIZE, &last) ||
         (take_mark(&word, "+") && !take_number(&word, 0, MAX_SIZE, &step))))
        return false;
    if (*word != '\0') return false;
    for (int m = first;;) { /* nothing overflows: all are MAX_SIZE at the most */
        if (c->n_m == KBENCH_MAX_ROWS) return false;
        c->m[c->n_m++] = m;
        if (m == last) return true;
        m = step > 0 ? m + step : 2 * m;
        if (m > last && step > 0) return true;
        if (m > last) m = last;
    }
}

static bool take_level(void *context, const char *word) {
    static const char *const names[QN_LEVEL_COUNT] = {"l2", "l3", "memory"};
    struct kbench_cases *const c = context;
    for (int i = 0; i < QN_LEVEL_COUNT; i++)
        if (strcmp(word, names[i]) == 0) return c->where[i] = true;
    return false;
}

static bool take_heads(const char *text, struct kbench_cases *c) {
    return take_number(&text, 1, MAX_HEADS, &c->heads) && take_mark(&text, "x") &&
           take_number(&text, 1, MAX_HEADS, &c->g) && take_mark(&text, "x") &&
           take_number(&text, 1, MAX_SIZE, &c->d) && *text == '\0';
}

/* ---- kernels ---- */

/* False, with the sentence printed, for a set that is unknown or not here. */
static bool parse_isa(const char *source, const char *word, enum qn_isa *isa) {
    struct qn_kernels kernels;
    qn_kernels_select(qn_cpu_bundles(), &kernels);
    if (!qn_isa_parse(word, isa)) {
        out_error("%s: unknown instruction set '%s' ('quern doctor' names those that are here)",
                  source, word);
        return false;
    }
    if (kernels.bundles >> *isa & 1) return true;
    out_error("%s: this machine or build does not have %s", source, word);
    return false;
}

/* The sets that the engine takes without options: its defaults, or up to $QUERN_ISA. */
static bool engine_bundles(uint32_t *bundles) {
    const char *const name = getenv("QUERN_ISA");
    enum qn_isa isa;
    *bundles = qn_cpu_default_bundles();
    if (name == NULL || *name == '\0') return true;
    if (!parse_isa("QUERN_ISA", name, &isa)) return false;
    *bundles = qn_cpu_bundles() & qn_isa_mask(isa);
    return true;
}

struct isa_list {
    uint32_t bundles;
    struct qn_kernels best; /* that the engine would take; all zero unless asked for */
};

static bool take_isa(void *context, const char *word) {
    struct isa_list *const list = context;
    enum qn_isa isa;
    if (strcmp(word, "best") == 0) {
        uint32_t bundles;
        if (!engine_bundles(&bundles)) return false;
        qn_kernels_select(bundles, &list->best);
        return true;
    }
    if (strcmp(word, "all") == 0) {
        list->bundles |= qn_cpu_bundles();
        return true;
    }
    if (!parse_isa("option --isa", word, &isa)) return false;
    list->bundles |= 1u << isa;
    return true;
}

/* The filter is a pattern of the operation, "op/variant" or the function. */
static bool matches(const char *filter, const struct qn_lab_kernel *kernel) {
    char name[256];
    if (filter == NULL) return true;
    snprintf(name, sizeof name, "%s/%s", kernel->op, kernel->variant);
    return fnmatch(filter, kernel->op, 0) == 0 || fnmatch(filter, name, 0) == 0 ||
           fnmatch(filter, kernel->function, 0) == 0;
}

/* Of these sets, and no later entry of the same slot is. */
static bool is_best(const struct qn_kernel_entry *entries, size_t n, size_t i, uint32_t bundles) {
    if (!(bundles >> entries[i].isa & 1)) return false;
    for (size_t j = i + 1; j < n; j++)
        if (entries[j].variant == entries[i].variant && bundles >> entries[j].isa & 1 &&
            strcmp(entries[j].op, entries[i].op) == 0)
            return false;
    return true;
}

static int choose_kernels(const struct kbench_args *args, struct kbench_cases *c) {
    struct isa_list list = {.bundles = 0};
    if (!each_word(args->isa, take_isa, &list)) return EXIT_WRONG_USAGE;
    size_t n;
    const struct qn_kernel_entry *const entries = qn_kernel_list(&n);
    c->kernels = calloc(n, sizeof *c->kernels);
    if (c->kernels == NULL) {
        out_error("no memory");
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < n; i++) {
        if (!(list.bundles >> entries[i].isa & 1) && !is_best(entries, n, i, list.best.bundles))
            continue;
        const struct qn_lab_kernel kernel = qn_lab_kernel_of(&entries[i]);
        if (matches(args->filter, &kernel) && qn_lab_knows(kernel.op))
            c->kernels[c->n_kernels++] = kernel;
    }
    return EXIT_DONE;
}

static bool take_plugin(void *context, const char *word) {
    struct kbench_cases *const c = context;
    struct qn_error err;
    if (c->n_plugins == KBENCH_MAX_PLUGINS) {
        out_error("option --plugin: more than %d", KBENCH_MAX_PLUGINS);
        return false;
    }
    if (qn_plugin_open(word, &c->plugins[c->n_plugins], &err) != QN_OK) {
        out_error("%s", err.message);
        return false;
    }
    c->n_plugins++;
    return true;
}

/* ---- cases ---- */

/* matvec takes the case M = 1 of matmul; the other's rows would be its own again. */
static bool takes_rows(const struct qn_lab_kernel *kernel, int m) {
    if (strcmp(kernel->op, "matvec") == 0) return m == 1;
    return strcmp(kernel->op, "matmul") != 0 || m > 1;
}

/* Shapes that the operation cannot tell apart come once; `first` is the kernel's first case. */
static bool add_case(struct kbench_cases *c, int first, const struct qn_lab_kernel *kernel,
                     const struct qn_lab_shape *all, bool plugin) {
    const struct kbench_case new = {.kernel = kernel,
                                    .shape = qn_lab_shape_of(kernel->op, all),
                                    .problem = qn_lab_shape_problem(kernel, all),
                                    .plugin = plugin};
    for (int i = first; i < c->n_cases; i++)
        if (memcmp(&c->cases[i].shape, &new.shape, sizeof new.shape) == 0) return true;
    if ((c->n_cases & (c->n_cases - 1)) == 0) { /* full: room doubles */
        void *const cases =
            realloc(c->cases, (c->n_cases > 0 ? 2 * (size_t)c->n_cases : 1) * sizeof *c->cases);
        if (cases == NULL) return false;
        c->cases = cases;
    }
    c->cases[c->n_cases++] = new;
    c->n_fit += new.problem == NULL;
    if (new.problem != NULL) c->problem = new.problem;
    return true;
}

static bool add_cases(const struct kbench_args *args, struct kbench_cases *c,
                      const struct qn_lab_kernel *kernel, bool plugin) {
    const int first = c->n_cases;
    for (int s = 0; s < c->n_shapes; s++)
        for (int t = 0; t < args->context.n; t++)
            for (int i = 0; i < c->n_m; i++) {
                const struct qn_lab_shape all = {.m = c->m[i],
                                                 .n = c->n[s],
                                                 .k = c->k[s],
                                                 .t = args->context.values[t],
                                                 .d = c->d,
                                                 .g = c->g,
                                                 .heads = c->heads};
                if ((plugin || takes_rows(kernel, c->m[i])) &&
                    !add_case(c, first, kernel, &all, plugin))
                    return false;
            }
    return true;
}

static int make_cases(const struct kbench_args *args, struct kbench_cases *c) {
    bool done = true;
    for (int i = 0; i < c->n_plugins && done; i++)
        done = add_cases(args, c, &c->plugins[i].kernel, true);
    for (int i = 0; i < c->n_kernels && done; i++) done = add_cases(args, c, &c->kernels[i], false);
    if (!done) out_error("no memory");
    return done ? EXIT_DONE : EXIT_FAILED;
}

int kbench_say_nothing(const struct kbench_args *args, const struct kbench_cases *c) {
    const char *const filter = args->filter != NULL ? args->filter : "*";
    if (c->problem != NULL) {
        out_error("nothing to measure with --filter '%s': %s", filter, c->problem);
    } else if (c->n_kernels == 0) {
        out_error("no kernel of --isa %s is like '%s' (all: quern kbench --list --isa all)",
                  args->isa, filter);
    } else { /* every kernel is of the one operation that takes none of the rows */
        const bool one_row = strcmp(c->kernels[0].op, "matmul") == 0;
        out_error("nothing to measure: '%s' of --isa %s is %s kernels only, and with %s (-M %s) "
                  "products take %s kernels",
                  filter, args->isa, c->kernels[0].op, one_row ? "one row" : "several rows",
                  args->rows, one_row ? "matvec" : "matmul");
    }
    return EXIT_WRONG_USAGE;
}

/* ---- all ---- */

static int read_lists(const struct kbench_args *args, struct kbench_cases *c) {
    if (!each_word(args->rows, take_rows, c)) {
        out_error("option -M needs up to %d numbers from 1 to %d, and ranges of them, as 1,4 or "
                  "1..512 or 8..64+8, found '%s'",
                  KBENCH_MAX_ROWS, MAX_SIZE, args->rows);
        return EXIT_WRONG_USAGE;
    }
    if (!each_word(args->where, take_level, c)) {
        out_error("option --where needs some of l2, l3, memory, found '%s'", args->where);
        return EXIT_WRONG_USAGE;
    }
    if (!take_heads(args->heads, c)) {
        out_error("option --heads needs KV heads x group x head size, as 8x4x64, from 1 to %d, %d "
                  "and %d, found '%s'",
                  MAX_HEADS, MAX_HEADS, MAX_SIZE, args->heads);
        return EXIT_WRONG_USAGE;
    }
    if (args->shapes_from != NULL) {
        const int status = shapes_from(args->shapes_from, c);
        if (status != EXIT_DONE) return status;
    }
    const char *const shapes =
        args->shapes != NULL || args->shapes_from != NULL ? args->shapes : "1024x1024,5632x2048";
    if (shapes != NULL && !each_word(shapes, take_shape, c)) {
        out_error("option --shape needs up to %d shapes of weights, as 1536x576,4864x896, of 1 to "
                  "%d each, found '%s'",
                  KBENCH_MAX_SHAPES, MAX_SIZE, shapes);
        return EXIT_WRONG_USAGE;
    }
    return EXIT_DONE;
}

int kbench_cases_read(const struct kbench_args *args, struct kbench_cases *cases) {
    *cases = (struct kbench_cases){.n_kernels = 0};
    int status = read_lists(args, cases);
    if (status == EXIT_DONE) status = choose_kernels(args, cases);
    if (status == EXIT_DONE && args->plugins != NULL &&
        !each_word(args->plugins, take_plugin, cases))
        status = EXIT_FAILED;
    if (status == EXIT_DONE) status = make_cases(args, cases);
    if (status != EXIT_DONE) kbench_cases_free(cases);
    return status;
}

void kbench_cases_free(struct kbench_cases *cases) {
    for (int i = 0; i < cases->n_plugins; i++) qn_plugin_close(&cases->plugins[i]);
    free(cases->kernels);
    free(cases->cases);
    cases->kernels = NULL;
    cases->cases = NULL;
    cases->n_plugins = 0;
}
