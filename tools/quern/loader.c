/* SPDX-License-Identifier: Apache-2.0
 *
 * Models by name, and the progress bar of loading.
 */
#include "loader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "interrupt.h"
#include "kernels/kernels.h"
#include "models/quantize.h"
#include "output.h"
#include "run/access.h"

static const struct {
    const char *name, *file;
} short_names[] = {
    {"smollm2", "smollm2-135m-instruct-q4_1.gguf"},
};

/* $XDG_CACHE_HOME/quern/models/FILE; the variable counts only when it is absolute. */
static char *cached_path(const char *file) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int size;
    if (cache != NULL && *cache == '/')
        size = asprintf(&path, "%s/quern/models/%s", cache, file);
    else
        size = asprintf(&path, "%s/.cache/quern/models/%s", home != NULL ? home : "", file);
    return size < 0 ? NULL : path;
}

char *loader_path(const char *name) {
    for (size_t i = 0; i < COUNT(short_names); i++)
        if (strcmp(name, short_names[i].name) == 0 && access(name, F_OK) != 0)
            return cached_path(short_names[i].file);
    return strdup(name);
}

char *loader_find(const char *name, int *status) {
    *status = EXIT_FAILED;
    if (name == NULL) {
        out_error("no model given: name a GGUF file, a Hugging Face folder, or smollm2");
        *status = EXIT_WRONG_USAGE;
        return NULL;
    }
    char *const path = loader_path(name);
    if (path == NULL) {
        out_error("no memory");
    } else if (strcmp(path, name) != 0 && access(path, F_OK) != 0) {
        out_error("model %s is not at %s; tools/quickstart gets it", name, path);
        free(path);
        return NULL;
    }
    return path;
}

/* ---- progress --------------------------------------------------------------------------- */

struct progress {
    double started; /* seconds */
    int columns;    /* 0: nothing is shown */
    bool shown;
    int last; /* percent */
};

/* "loading [#####     ]  50 %", as wide as the terminal allows; a model that loads in the blink
 * of an eye shows nothing. */
static bool progress_show(void *context, double done) {
    enum { AROUND = 18, BAR = 40, LEAST = 4 };
    struct progress *const progress = context;
    const int percent = (int)(done * 100);
    if (interrupt_seen()) return false;
    if (progress->columns == 0 || percent == progress->last) return true;
    if (!progress->shown && qn_clock_seconds(CLOCK_MONOTONIC) - progress->started < 0.3)
        return true;
    progress->shown = true;
    progress->last = percent;
    int bar = progress->columns - AROUND;
    if (bar > BAR) bar = BAR;
    if (bar < LEAST) {
        fprintf(stderr, "\r%3d %%", percent);
        return true;
    }
    char cells[BAR + 1];
    for (int i = 0; i < bar; i++) cells[i] = i < (int)(done * bar) ? '#' : ' ';
    cells[bar] = '\0';
    fprintf(stderr, "\rloading [%s] %3d %%", cells, percent);
    return true;
}

static void progress_clear(const struct progress *progress) {
    if (progress->shown) fprintf(stderr, "\r\033[K");
}

bool loader_check(const struct model_args *args) {
    enum qn_isa isa;
    enum qn_type type;
    struct qn_error err;
    if (args->isa != NULL && !qn_isa_parse(args->isa, &isa)) {
        out_error("unknown instruction set '%s' (see --isa in the help)", args->isa);
        return false;
    }
    if (qn_quantize_parse(args->quantize, &type, &err) == QN_OK) return true;
    out_error("--quantize: %s", err.message);
    return false;
}

bool loader_has_isa(const struct model_args *args) {
    enum qn_isa isa;
    struct qn_kernels kernels;
    if (args->isa == NULL || !qn_isa_parse(args->isa, &isa)) return true;
    qn_kernels_select(qn_cpu_bundles(), &kernels);
    if (kernels.bundles >> isa & 1) return true;
    out_error("--isa: this machine or build does not have %s ('quern doctor' names those it has)",
              args->isa);
    return false;
}

/* ---- opening ---------------------------------------------------------------------------- */

/* Quantized matrices are kept, so --quantize may have found nothing to do. */
static void tell_if_kept(const struct model_args *args, const struct qn_spec *spec) {
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const weight = &spec->weights[i];
        if (weight->n_parts && weight->type != weight->sources->tensor->type) return;
    }
    out_error("--quantize %s changes nothing: no matrix is stored in another float type with rows "
              "that its blocks divide",
              args->quantize);
}

/* Weights that the family does not have may mean a model of another kind under its name. */
static void tell_if_unused(const struct qn_spec *spec) {
    const size_t n = spec->n_unused - spec->n_other;
    if (n > 0)
        out_error("%zu of the model's tensors %s read by nothing, one is %s", n,
                  n == 1 ? "is" : "are", spec->unused);
}

int loader_try(const struct model_args *args, bool vocab_only, struct quern_model **out,
               struct quern_error *err) {
    *err = (struct quern_error){.message = ""};
    if (!loader_check(args) || !loader_has_isa(args)) return EXIT_WRONG_USAGE;
    int status;
    char *path = loader_find(args->path, &status);
    if (path == NULL) return status;

    struct progress progress = {
        .columns = out_columns(), .last = -1, .started = qn_clock_seconds(CLOCK_MONOTONIC)};
    const struct quern_model_options options = {.n_threads = args->n_threads,
                                                .n_threads_batch = args->n_threads_batch,
                                                .spin_us = args->spin_us,
                                                .isa = args->isa,
                                                .fast_prefill = args->fast_prefill,
                                                .no_pin = args->no_pin,
                                                .no_huge_pages = args->no_huge_pages,
                                                .numa = args->numa,
                                                .quantize = args->quantize,
                                                .pack_cache = args->pack_cache,
                                                .vocab_only = vocab_only,
                                                .progress = progress_show,
                                                .progress_context = &progress};
    interrupt_catch(true);
    const enum quern_status opened = quern_model_open(path, &options, out, err);
    interrupt_release();
    progress_clear(&progress);
    free(path);
    if (opened == QUERN_OK) {
        struct quern_model_info info;
        quern_model_info(*out, &info);
        if (info.uncached != NULL) out_error("%s", info.uncached);
        if (args->quantize != NULL && !vocab_only) tell_if_kept(args, &qn_model_of(*out)->spec);
        return EXIT_DONE;
    }
    return opened == QUERN_CANCELLED ? EXIT_INTERRUPTED : EXIT_FAILED;
}

int loader_open(const struct model_args *args, bool vocab_only, struct quern_model **out) {
    struct quern_error err;
    const int status = loader_try(args, vocab_only, out, &err);
    if (status == EXIT_FAILED && *err.message) out_error("%s", err.message);
    if (status == EXIT_DONE && !vocab_only) tell_if_unused(&qn_model_of(*out)->spec);
    return status;
}
