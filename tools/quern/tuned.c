/* SPDX-License-Identifier: Apache-2.0 */
#include "tuned.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader.h"
#include "output.h"

/* As quern_model_open chooses them. False where it will fail. */
static bool choose_kernels(const struct model_args *args, struct qn_kernels *kernels) {
    const char *const name = args->isa != NULL ? args->isa : getenv("QUERN_ISA");
    uint32_t bundles = qn_cpu_default_bundles();
    enum qn_isa isa = QN_ISA_REF;
    if (name != NULL && *name != '\0') {
        if (!qn_isa_parse(name, &isa)) return false;
        bundles = qn_cpu_bundles() & qn_isa_mask(isa);
    }
    qn_kernels_select(bundles, kernels);
    return kernels->bundles >> isa & 1;
}

static enum qn_status read_spec(const char *path, const struct model_args *args,
                                const struct qn_kernels *kernels,
                                const struct qn_topology *topology, struct qn_tune_key *key,
                                struct qn_error *err) {
    struct qn_checkpoint *checkpoint;
    struct qn_spec spec;
    QN_TRY(qn_checkpoint_open(path, &checkpoint, err));
    const enum qn_status status = qn_spec_read(checkpoint, kernels, args->quantize, &spec, err);
    if (status == QN_OK) {
        qn_tune_key_read("", kernels, topology, &spec, key);
        qn_spec_free(&spec);
    }
    qn_checkpoint_close(checkpoint);
    return status;
}

int tuned_key_read(const struct model_args *args, struct tuned_key *out) {
    struct qn_kernels kernels;
    struct qn_topology topology;
    struct qn_error err;
    int status;
    if (!loader_check(args) || !loader_has_isa(args)) return EXIT_WRONG_USAGE;
    if (!choose_kernels(args, &kernels)) {
        out_error("this machine or build does not have the instruction set that was asked for");
        return EXIT_FAILED;
    }
    if (!qn_machine_cache_folder(out->folder, sizeof out->folder)) {
        out_error("settings cannot be kept: %s",
                  errno == ENAMETOOLONG
                      ? "the name of their folder, of XDG_CACHE_HOME or HOME, is too long"
                      : "neither XDG_CACHE_HOME nor HOME is an absolute path");
        return EXIT_FAILED;
    }
    char *const path = loader_find(args->path, &status);
    if (path == NULL) return status;
    enum qn_status read = qn_topology_read(NULL, &topology, &err);
    if (read == QN_OK) {
        read = read_spec(path, args, &kernels, &topology, &out->key, &err);
        qn_topology_free(&topology);
    }
    free(path);
    if (read == QN_OK) return EXIT_DONE;
    out_error("%s", err.message);
    return EXIT_FAILED;
}

/* Nothing is said of what is wrong: opening the model will. The header is read only where something
 * was tuned, as that takes some milliseconds. */
static bool find(const struct model_args *args, struct qn_tuned *tuned) {
    char folder[4096];
    struct qn_kernels kernels;
    struct qn_topology topology;
    struct qn_tune_key key;
    struct qn_error err;
    bool found = false;
    if (args->path == NULL || !choose_kernels(args, &kernels) ||
        !qn_machine_cache_folder(folder, sizeof folder) ||
        qn_topology_read(NULL, &topology, &err) != QN_OK)
        return false;
    qn_machine_key_read("", &kernels, &topology, topology.n_default, &key.machine);
    if (qn_tune_store_has_machine(folder, &key.machine)) {
        char *const path = loader_path(args->path);
        found = path != NULL && read_spec(path, args, &kernels, &topology, &key, &err) == QN_OK &&
                qn_tune_store_read(folder, &key, tuned);
        free(path);
    }
    qn_topology_free(&topology);
    return found;
}

static void say(const struct qn_tuned *used) {
    fprintf(stderr, "tuned: %d thread%s, %d for the prompt, ubatch %d", used->n_threads,
            used->n_threads == 1 ? "" : "s", used->n_threads_batch, used->n_ubatch);
    if (used->spin_us > 0) fprintf(stderr, ", spin %d us", used->spin_us);
    fputs(" (--no-tune: without)\n", stderr);
}

void tuned_apply(struct model_args *model, struct session_args *session, bool quiet) {
    struct qn_tuned tuned;
    const bool all_given =
        model->n_threads > 0 && model->spin_us > 0 && (session == NULL || session->n_ubatch > 0);
    if (model->no_tune || all_given || !find(model, &tuned)) return;
    if (model->n_threads == 0) {
        model->n_threads = tuned.n_threads;
        if (model->n_threads_batch == 0) model->n_threads_batch = tuned.n_threads_batch;
    }
    if (model->spin_us == 0) model->spin_us = tuned.spin_us;
    if (session != NULL && session->n_ubatch == 0) session->n_ubatch = tuned.n_ubatch;
    if (quiet) return;
    tuned.n_threads = model->n_threads;
    tuned.n_threads_batch = model->n_threads_batch > 0 ? model->n_threads_batch : model->n_threads;
    tuned.spin_us = model->spin_us;
    if (session != NULL) tuned.n_ubatch = session->n_ubatch;
    say(&tuned);
}
