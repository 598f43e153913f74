/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification and plan from a header.
 */
#include "forecast.h"

#include <stdlib.h>

#include "host/topology.h"
#include "loader.h"
#include "output.h"
#include "run/session.h"

/* Kernels of the instruction set named, on whatever machine has it, from this build; else of this
 * machine. */
static bool choose_kernels(const struct model_args *args, struct qn_kernels *kernels) {
    const char *name = args->isa != NULL ? args->isa : getenv("QUERN_ISA");
    enum qn_isa isa;
    uint32_t bundles = qn_cpu_default_bundles(), asked = 0;
    if (name != NULL && *name != '\0') {
        if (!qn_isa_parse(name, &isa)) {
            out_error("unknown instruction set '%s' (see --isa in the help)", name);
            return false;
        }
        bundles = qn_isa_mask(isa);
        asked = 1u << isa;
    }
    if (args->fast_prefill) {
        bundles |= qn_isa_mask(QN_ISA_AMXFAST);
        asked |= 1u << QN_ISA_AMXFAST;
    }
    qn_kernels_select(bundles, kernels);
    const uint32_t missing = asked & ~kernels->bundles;
    if (missing == 0) return true;
    out_error("this build has no kernels of %s ('quern doctor' names those it has)",
              missing >> QN_ISA_AMXFAST & 1 ? qn_isa_name(QN_ISA_AMXFAST) : name);
    return false;
}

/* The defaults are those of quern_session_options. */
static enum qn_status make_limits(const struct model_args *model_args,
                                  const struct session_args *session_args,
                                  const struct qn_hparams *hparams, uint32_t bundles,
                                  struct qn_limits *limits, struct qn_error *err) {
    struct qn_topology topology;
    QN_TRY(qn_topology_read(NULL, &topology, err));
    const int n_ctx =
        session_args->n_ctx > 0 ? session_args->n_ctx : qn_session_default_ctx(hparams);
    const int n_threads = model_args->n_threads > 0 ? model_args->n_threads : topology.n_default;
    const int n_batch = model_args->n_threads_batch;
    const int n_ubatch = session_args->n_ubatch > 0 ? session_args->n_ubatch : QN_DEFAULT_UBATCH;
    *limits = (struct qn_limits){.n_ctx = n_ctx,
                                 .n_ubatch = n_ubatch < n_ctx ? n_ubatch : n_ctx,
                                 .n_sequences = 1,
                                 .n_logits = 1,
                                 .n_threads = n_batch > n_threads ? n_batch : n_threads,
                                 .n_threads_one = n_threads,
                                 .bundles = bundles};
    qn_topology_free(&topology);
    limits->cache = cache_from(session_args);
    return QN_OK;
}

static enum qn_status make_plan(const struct model_args *model_args,
                                const struct session_args *session_args, struct forecast *f) {
    QN_TRY(qn_spec_read(f->checkpoint, &f->kernels, model_args->quantize, &f->spec, &f->err));
    f->has_spec = true;
    struct qn_limits limits;
    QN_TRY(make_limits(model_args, session_args, &f->spec.hparams, f->kernels.bundles, &limits,
                       &f->err));
    return qn_plan_new(&f->spec, &limits, &f->plan, &f->err);
}

int forecast_open(const struct model_args *model_args, const struct session_args *session_args,
                  struct forecast *out) {
    *out = (struct forecast){.path = NULL};
    if (!loader_check(model_args) || !choose_kernels(model_args, &out->kernels))
        return EXIT_WRONG_USAGE;
    int status;
    out->path = loader_find(model_args->path, &status);
    if (out->path == NULL) return status;
    if (qn_checkpoint_open(out->path, &out->checkpoint, &out->err) != QN_OK) {
        out_error("%s", out->err.message);
        free(out->path);
        return EXIT_FAILED;
    }
    out->err.status = make_plan(model_args, session_args, out);
    return EXIT_DONE;
}

void forecast_close(struct forecast *forecast) {
    if (forecast->err.status == QN_OK) qn_plan_free(&forecast->plan);
    if (forecast->has_spec) qn_spec_free(&forecast->spec);
    qn_checkpoint_close(forecast->checkpoint);
    free(forecast->path);
}
