/* SPDX-License-Identifier: Apache-2.0
 *
 * The public interface, over models/ and run/.
 */
#include "quern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/access.h"
#include "run/division.h"
#include "run/sampler.h"
#include "run/session.h"

struct quern_model {
    struct qn_model *inner;
    char name[128];
    char type[16];
    bool huge_pages;
};

struct quern_session {
    struct qn_session *inner;
};

const char *quern_version(void) {
    return QUERN_VERSION;
}

static enum quern_status report(enum qn_status status, const struct qn_error *inner,
                                struct quern_error *err) {
    if (status != QN_OK && err) {
        err->status = (enum quern_status)status; /* the two enumerations agree */
        memcpy(err->message, inner->message, sizeof err->message);
    }
    return (enum quern_status)status;
}

_Static_assert((int)QUERN_CANCELLED == (int)QN_CANCELLED, "status codes must agree");
_Static_assert(sizeof((struct quern_error *)0)->message == sizeof((struct qn_error *)0)->message,
               "messages must agree");

/* ---- model ------------------------------------------------------------------------------ */

/* The bundles to choose kernels from: the machine's defaults, or those up to the one named. */
static enum qn_status choose_bundles(const char *name, uint32_t *bundles, struct qn_error *err) {
    struct qn_kernels kernels;
    qn_kernels_select(qn_cpu_bundles(), &kernels);
    const uint32_t here = kernels.bundles; /* that this machine runs and this build has */
    if (!name) name = getenv("QUERN_ISA");
    *bundles = qn_cpu_default_bundles();
    if (!name || !*name) return QN_OK;
    enum qn_isa isa;
    char names[160] = "";
    for (int i = 0; i < QN_ISA_COUNT; i++)
        if (here >> i & 1)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
                     *names ? ", " : "", qn_isa_name((enum qn_isa)i));
    if (!qn_isa_parse(name, &isa))
        return qn_fail(err, QN_BAD_ARGUMENT,
                       "no instruction set is named '%.32s'; this machine and build have %s", name,
                       names);
    if (!(here >> isa & 1))
        return qn_fail(err, QN_UNSUPPORTED, "this machine or build does not have %s; it has %s",
                       name, names);
    *bundles = here & qn_isa_mask(isa);
    return QN_OK;
}

/* Adds the kernels that take prompts with other bits than single tokens. */
static enum qn_status choose_fast(uint32_t *bundles, struct qn_error *err) {
    const uint32_t fast = 1u << QN_ISA_AMXFAST & qn_cpu_bundles();
    struct qn_kernels kernels;
    qn_kernels_select(*bundles | fast, &kernels);
    if (!(kernels.bundles >> QN_ISA_AMXFAST & 1))
        return qn_fail(err, QN_UNSUPPORTED,
                       "fast prefill needs bf16 tiles (amxbf16), which this machine or build does "
                       "not have, or --isa leaves out");
    *bundles |= fast;
    return QN_OK;
}

/* general.name, or the file's name without its folder. */
static void set_name(struct quern_model *model, const char *path) {
    struct qn_string name;
    const struct qn_gguf *const gguf = qn_checkpoint_gguf(model->inner->checkpoint);
    const char *const slash = strrchr(path, '/');
    if (gguf && qn_gguf_get_string(gguf, "general.name", &name, NULL) == QN_OK && name.size)
        snprintf(model->name, sizeof model->name, "%.*s",
                 (int)(name.size < sizeof model->name ? name.size : sizeof model->name - 1),
                 name.data);
    else
        snprintf(model->name, sizeof model->name, "%s", slash ? slash + 1 : path);
}

/* The stored type that holds most parameters. */
static void set_type(struct quern_model *model) {
    const struct qn_spec *const spec = &model->inner->spec;
    uint64_t counts[QN_TYPE_COUNT] = {0};
    int most = 0;
    for (size_t i = 0; i < spec->n_weights; i++)
        if (spec->weights[i].n_parts)
            counts[spec->weights[i].type] += (uint64_t)spec->weights[i].n *
                                             (uint64_t)spec->weights[i].k *
                                             (uint64_t)spec->weights[i].n_parts;
    for (int t = 1; t < QN_TYPE_COUNT; t++)
        if (counts[t] > counts[most]) most = t;
    snprintf(model->type, sizeof model->type, "%s", qn_type_infos[most].name);
}

static enum qn_status open_model(const char *path, const struct quern_model_options *options,
                                 struct quern_model *model, struct qn_error *err) {
    if (options->n_threads < 0)
        return qn_fail(err, QN_BAD_ARGUMENT, "%d threads; expected 0 or more", options->n_threads);
    if (options->n_threads_batch < 0 || options->spin_us < 0)
        return qn_fail(err, QN_BAD_ARGUMENT, "%d threads for prefill, %d us; expected 0 or more",
                       options->n_threads_batch, options->spin_us);
    enum qn_numa numa = QN_NUMA_LOCAL;
    if (options->numa && !qn_numa_parse(options->numa, &numa))
        return qn_fail(err, QN_BAD_ARGUMENT,
                       "no choice of memory nodes is named '%.32s'; expected local, interleave or "
                       "isolate",
                       options->numa);
    if (options->vocab_only) return qn_model_open_vocab(path, &model->inner, err);
    struct qn_model_options inner = {.n_threads = options->n_threads,
                                     .n_threads_batch = options->n_threads_batch,
                                     .spin_us = options->spin_us,
                                     .pin = !options->no_pin,
                                     .huge_pages = !options->no_huge_pages,
                                     .numa = numa,
                                     .divide = qn_division_tiles,
                                     .quantize = options->quantize,
                                     .pack_cache = options->pack_cache,
                                     .progress = options->progress,
                                     .progress_context = options->progress_context};
    QN_TRY(choose_bundles(options->isa, &inner.bundles, err));
    if (options->fast_prefill) QN_TRY(choose_fast(&inner.bundles, err));
    QN_TRY(qn_model_open(path, &inner, &model->inner, err));
    set_type(model);
    return QN_OK;
}

enum quern_status quern_model_open(const char *path, const struct quern_model_options *options,
                                   struct quern_model **out, struct quern_error *err) {
    static const struct quern_model_options defaults = {0};
    struct qn_error inner = {0};
    *out = NULL;
    struct quern_model *const model = calloc(1, sizeof *model);
    const enum qn_status status =
        model ? open_model(path, options ? options : &defaults, model, &inner)
              : qn_fail(&inner, QN_NO_MEMORY, "no memory for the model");
    if (status != QN_OK) {
        free(model);
        return report(status, &inner, err);
    }
    model->huge_pages = !options || !options->no_huge_pages;
    set_name(model, path);
    *out = model;
    return QUERN_OK;
}

void quern_model_close(struct quern_model *model) {
    if (!model) return;
    qn_model_close(model->inner);
    free(model);
}

struct qn_model *qn_model_of(struct quern_model *model) {
    return model->inner;
}

void quern_model_info(const struct quern_model *model, struct quern_model_info *info) {
    const struct qn_model *const inner = model->inner;
    *info = (struct quern_model_info){
        .name = model->name,
        .n_vocab = (int)qn_tokenizer_n_tokens(inner->tokenizer),
        .file_size = qn_checkpoint_file_size(inner->checkpoint),
        .has_chat_template = qn_tokenizer_chat_template(inner->tokenizer) != NULL,
    };
    if (!inner->pool) return; /* vocabulary only */
    const struct qn_hparams *const hp = &inner->spec.hparams;
    info->architecture = inner->spec.family->name;
    info->type = model->type;
    info->isa = qn_isa_name(inner->kernels.isa);
    info->n_threads = inner->n_threads;
    info->n_threads_batch = inner->n_threads_batch;
    info->n_vocab = hp->n_vocab;
    info->n_layers = hp->n_layers;
    info->n_embd = hp->n_embd;
    info->n_heads = hp->n_heads;
    info->n_kv_heads = hp->n_kv_heads;
    info->head_size = hp->head_size;
    info->n_ff = hp->n_ff;
    info->n_ctx_train = hp->n_ctx_train;
    info->n_params = inner->spec.n_params;
    info->weight_size = inner->spec.arena_size;
    info->decode_size = inner->spec.decode_size;
    info->cached = inner->cached;
    info->uncached = inner->uncached.status == QN_OK ? NULL : inner->uncached.message;
}

/* ---- text ------------------------------------------------------------------------------- */

_Static_assert((int)QUERN_ENCODE_BOS == (int)QN_ENCODE_BOS, "flags must agree");
_Static_assert((int)QUERN_ENCODE_SPECIAL == (int)QN_ENCODE_SPECIAL, "flags must agree");
_Static_assert((int)QUERN_ENCODE_CONTINUED == (int)QN_ENCODE_CONTINUED, "flags must agree");
_Static_assert(sizeof(struct quern_text_stream) == sizeof(struct qn_decoder),
               "the public stream is the decoder");

enum quern_status quern_encode(const struct quern_model *model, const char *text, size_t size,
                               unsigned flags, int32_t *ids, size_t capacity, size_t *n,
                               struct quern_error *err) {
    struct qn_error inner = {0};
    struct qn_ids all = {0};
    enum qn_status status =
        qn_tokenizer_encode(model->inner->tokenizer, text, size, flags, &all, &inner);
    *n = all.n;
    if (status == QN_OK && all.n > capacity)
        status = qn_fail(&inner, QN_BAD_ARGUMENT, "the text has %zu tokens; there is room for %zu",
                         all.n, capacity);
    else if (status == QN_OK && all.n)
        memcpy(ids, all.data, all.n * sizeof *ids);
    qn_ids_free(&all);
    return report(status, &inner, err);
}

const char *quern_token_bytes(const struct quern_model *model, int32_t id, bool special,
                              size_t *size) {
    *size = 0;
    if (id < 0 || (uint32_t)id >= qn_tokenizer_n_tokens(model->inner->tokenizer)) return NULL;
    const struct qn_text piece = qn_tokenizer_piece(model->inner->tokenizer, id, special);
    *size = piece.size;
    return piece.data ? piece.data : "";
}

int32_t quern_token_find(const struct quern_model *model, const char *text) {
    return qn_tokenizer_find(model->inner->tokenizer, text, strlen(text));
}

const char *quern_model_chat_template(const struct quern_model *model) {
    return qn_tokenizer_chat_template(model->inner->tokenizer);
}

bool quern_token_is_end(const struct quern_model *model, int32_t id) {
    return qn_tokenizer_is_end(model->inner->tokenizer, id);
}

size_t quern_text_next(struct quern_text_stream *stream, const struct quern_model *model,
                       int32_t id, bool special, char *out, size_t capacity) {
    struct qn_decoder decoder;
    memcpy(&decoder, stream, sizeof decoder);
    size_t n = 0;
    if (id < 0)
        n = qn_decoder_finish(&decoder, out, capacity);
    else if ((uint32_t)id < qn_tokenizer_n_tokens(model->inner->tokenizer))
        n = qn_decoder_next(&decoder, model->inner->tokenizer, id, special, out, capacity);
    memcpy(stream, &decoder, sizeof decoder);
    return n;
}

/* ---- session ---------------------------------------------------------------------------- */

static int or_default(int value, int fallback) {
    return value ? value : fallback;
}

static enum qn_status parse_kv(const char *name, enum qn_kv *kv, struct qn_error *err) {
    *kv = QN_KV_DEFAULT;
    if (!name || qn_kv_parse(name, kv)) return QN_OK;
    return qn_fail(err, QN_BAD_ARGUMENT, "KV cache type '%.32s'; expected f16, i16, f32 or q8_0",
                   name);
}

static enum qn_status new_session(struct quern_model *model,
                                  const struct quern_session_options *options,
                                  struct qn_session **out, struct qn_error *err) {
    if (!model->inner->pool)
        return qn_fail(err, QN_BAD_ARGUMENT, "the model was opened for its vocabulary only");
    struct qn_session_options inner = {
        .n_ctx = or_default(options->n_ctx, qn_session_default_ctx(&model->inner->spec.hparams)),
        .n_ubatch = or_default(options->n_ubatch, QN_DEFAULT_UBATCH),
        .n_sequences = or_default(options->n_sequences, 1),
        .huge_pages = model->huge_pages,
        .keep_going = options->keep_going,
        .keep_going_context = options->keep_going_context,
        .tap = {options->tap, options->tap_context, options->tap_patterns},
    };
    inner.n_logits = or_default(options->n_logits, inner.n_sequences);
    /* A ubatch longer than the context is never full; its buffers would only take memory. */
    if (inner.n_ctx > 0 && inner.n_ubatch > inner.n_ctx) inner.n_ubatch = inner.n_ctx;
    enum qn_kv k, v;
    QN_TRY(parse_kv(options->kv_type_k, &k, err));
    QN_TRY(parse_kv(options->kv_type_v, &v, err));
    inner.cache = qn_cache_of(k, v);
    return qn_session_new(model->inner, &inner, out, err);
}

enum quern_status quern_session_new(struct quern_model *model,
                                    const struct quern_session_options *options,
                                    struct quern_session **out, struct quern_error *err) {
    static const struct quern_session_options defaults = {0};
    struct qn_error inner = {0};
    *out = NULL;
    struct quern_session *const session = calloc(1, sizeof *session);
    const enum qn_status status =
        session ? new_session(model, options ? options : &defaults, &session->inner, &inner)
                : qn_fail(&inner, QN_NO_MEMORY, "no memory for a session");
    if (status == QN_OK)
        *out = session;
    else
        free(session);
    return report(status, &inner, err);
}

void quern_session_free(struct quern_session *session) {
    if (!session) return;
    qn_session_free(session->inner);
    free(session);
}

enum quern_status quern_session_eval(struct quern_session *session, const struct quern_batch *batch,
                                     struct quern_error *err) {
    struct qn_error inner = {0};
    const struct qn_batch all = {batch->n, batch->tokens, batch->positions, batch->sequences,
                                 batch->logits};
    return report(qn_session_eval(session->inner, &all, &inner), &inner, err);
}

float *quern_session_logits(struct quern_session *session, size_t i) {
    return qn_session_logits(session->inner, i);
}

static bool has_sequence(const struct quern_session *session, int sequence) {
    return sequence >= 0 && sequence < session->inner->kv.n_sequences;
}

int quern_session_length(const struct quern_session *session, int sequence) {
    return has_sequence(session, sequence) ? session->inner->kv.lengths[sequence] : 0;
}

void quern_session_truncate(struct quern_session *session, int sequence, int length) {
    if (has_sequence(session, sequence))
        qn_kv_blocks_truncate(&session->inner->kv, sequence, length < 0 ? 0 : length);
}

void quern_session_info(const struct quern_session *session, struct quern_session_info *info) {
    const struct qn_session *const inner = session->inner;
    *info = (struct quern_session_info){.n_ctx = inner->options.n_ctx,
                                        .n_ubatch = inner->options.n_ubatch,
                                        .n_sequences = inner->options.n_sequences,
                                        .kv_size = inner->plan.layout.kv_size,
                                        .buffer_size =
                                            inner->plan.layout.total - inner->plan.layout.kv_size,
                                        .bytes_read = inner->bytes_read};
}

struct qn_session *qn_session_of(struct quern_session *session) {
    return session->inner;
}

/* ---- recording -------------------------------------------------------------------------- */

bool quern_session_step(const struct quern_session *session, int number, struct quern_step *step) {
    const struct qn_plan *const plan = &session->inner->plan;
    if (number < 0 || number >= plan->n_steps) return false;
    const struct qn_step *const s = &plan->steps[number];
    *step = (struct quern_step){.layer = s->layer,
                                .module = qn_module_name(qn_plan_module(plan, number)),
                                .op = qn_op_name(s->op),
                                .name = s->name,
                                .bytes = s->bytes,
                                .flops = s->flops};
    return true;
}

enum quern_status quern_record_start(struct quern_session *session, size_t n_passes,
                                     struct quern_error *err) {
    struct qn_error inner = {0};
    struct qn_session *const s = session->inner;
    quern_record_stop(session);
    const enum qn_status status =
        qn_recorder_new(s->model->pool, n_passes, s->plan.n_steps, &s->executor.recorder, &inner);
    return report(status, &inner, err);
}

void quern_record_stop(struct quern_session *session) {
    qn_recorder_free(session->inner->executor.recorder);
    session->inner->executor.recorder = NULL;
}

size_t quern_record_events(struct quern_session *session, int thread, struct quern_event *events,
                           size_t capacity, uint64_t *lost) {
    struct qn_recorder *const r = session->inner->executor.recorder;
    uint64_t unused = 0;
    size_t n = 0;
    struct qn_event event;
    if (!r || thread < 0 || thread >= r->n_threads) return 0;
    const struct qn_tick_pair now = qn_tick_pair_read(r->counter);
    while (n < capacity && qn_record_events(r, thread, &event, 1, lost ? lost : &unused))
        events[n++] = (struct quern_event){qn_ticks_to_ns(event.start, r->started, now),
                                           qn_ticks_to_ns(event.worked, r->started, now),
                                           qn_ticks_to_ns(event.end, r->started, now),
                                           event.pass,
                                           event.step,
                                           event.pieces};
    return n;
}

size_t quern_record_passes(struct quern_session *session, struct quern_pass *passes,
                           size_t capacity, uint64_t *lost) {
    struct qn_recorder *const r = session->inner->executor.recorder;
    uint64_t unused = 0, first;
    size_t n = 0;
    struct qn_pass pass;
    if (!r) return 0;
    const struct qn_tick_pair now = qn_tick_pair_read(r->counter);
    while (n < capacity && qn_record_passes(r, &pass, 1, &first, lost ? lost : &unused))
        passes[n++] = (struct quern_pass){.start_ns = qn_ticks_to_ns(pass.start, r->started, now),
                                          .end_ns = qn_ticks_to_ns(pass.end, r->started, now),
                                          .n_tokens = pass.m,
                                          .n_logits = pass.n_outputs,
                                          .n_threads = pass.n_threads,
                                          .position = pass.position,
                                          .decode = pass.decode};
    return n;
}

/* ---- sampler ---------------------------------------------------------------------------- */

enum quern_status quern_sampler_new(const struct quern_model *model,
                                    const struct quern_sampler_options *options,
                                    struct quern_sampler **out, struct quern_error *err) {
    struct qn_error inner = {0};
    struct quern_model_info info;
    quern_model_info(model, &info);
    return report(qn_sampler_new(info.n_vocab, options, out, &inner), &inner, err);
}

int32_t quern_session_next(struct quern_session *session, size_t i, struct quern_sampler *sampler) {
    return qn_sampler_next(sampler, qn_session_logits(session->inner, i),
                           qn_session_maxima(session->inner, i));
}
