/* SPDX-License-Identifier: Apache-2.0
 *
 * Who packs a tile is who multiplies it: the division that loading uses is the one of the executor.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "models/weights.h"
#include "report/locality.h"
#include "run/access.h"
#include "run/division.h"

enum { THREADS = 8, MAX_CALLS = 4096 };

static pthread_t threads[THREADS];
static struct {
    struct qn_matmul a;
    pthread_t thread;
} calls[MAX_CALLS];
static _Atomic int n_calls;
static qn_matvec_fn *real_matvec[QN_PACK_COUNT];
static qn_matmul_fn *real_matmul[QN_PACK_COUNT];

static void record(const struct qn_matmul *a) {
    const int i = n_calls++;
    if (i >= MAX_CALLS) return;
    calls[i].a = *a;
    calls[i].thread = pthread_self();
}

static void record_f32(const struct qn_matmul *a) {
    record(a);
    real_matvec[QN_PACK_F32](a);
}

static void record_f16(const struct qn_matmul *a) {
    record(a);
    real_matvec[QN_PACK_F16](a);
}

static void record_many(const struct qn_matmul *a) {
    record(a);
    real_matmul[QN_PACK_F32](a);
}

static void name_thread(void *context, int thread) {
    (void)context;
    threads[thread] = pthread_self();
}

static struct quern_model *open_model(const char *file, int n_threads, int n_batch) {
    struct quern_model *model;
    struct quern_error err;
    char path[512];
    snprintf(path, sizeof path, "%s/models/%s", TEST_DATA, file);
    const struct quern_model_options options = {.n_threads = n_threads, .n_threads_batch = n_batch};
    cr_assert_eq(quern_model_open(path, &options, &model, &err), QUERN_OK, "%s", err.message);
    return model;
}

/* Products of n_tokens together. */
static void record_run(struct quern_model *model, size_t n_tokens) {
    const struct quern_session_options options = {.n_ctx = 64};
    struct quern_session *session;
    struct quern_error err;
    const int32_t tokens[64] = {7};
    const struct quern_batch batch = {.n = n_tokens, .tokens = tokens};
    struct qn_kernels *const kernels = &qn_model_of(model)->kernels;
    memcpy(real_matvec, kernels->matvec, sizeof real_matvec);
    memcpy(real_matmul, kernels->matmul, sizeof real_matmul);
    kernels->matmul[QN_PACK_F32] = record_many;
    kernels->matvec[QN_PACK_F32] = record_f32;
    kernels->matvec[QN_PACK_F16] = record_f16;
    n_calls = 0;
    qn_pool_run(qn_model_of(model)->pool, name_thread, NULL);
    cr_assert_eq(quern_session_new(model, &options, &session, &err), QUERN_OK);
    cr_assert_eq(quern_session_eval(session, &batch, &err), QUERN_OK);
    cr_assert(n_calls > 0 && n_calls <= MAX_CALLS);
    quern_session_free(session);
}

/* The part of the arena that a call read lies within what its thread packed of the weight. */
static void check_call(const struct qn_model *model, const int *cuts, const struct qn_matmul *a,
                       int thread) {
    const struct qn_spec *const spec = &model->spec;
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const w = &spec->weights[i];
        if (!w->tile_size || !w->n_parts) continue;
        const size_t at = (size_t)((const char *)a->w - model->arena.data) - w->offset;
        if (at >= w->part_size * (size_t)w->n_parts) continue;
        const int *const first = cuts + i * (size_t)(model->n_threads + 1);
        const int end = (a->n1 + spec->tile_rows - 1) / spec->tile_rows;
        cr_assert_eq(a->n0 / spec->tile_rows, first[thread], "weight %zu, thread %d", i, thread);
        cr_assert_eq(end, first[thread + 1], "weight %zu, thread %d", i, thread);
        return;
    }
    cr_assert_fail("a product with no weight");
}

static void check_division(const char *file, int n_threads) {
    struct quern_model *const outer = open_model(file, n_threads, 0);
    const struct qn_model *const model = qn_model_of(outer);
    int *const cuts = calloc(model->spec.n_weights * (size_t)(n_threads + 1), sizeof *cuts);
    struct qn_error err;
    cr_assert_eq(qn_division_tiles(&model->spec, n_threads, cuts, &err), QN_OK);
    record_run(outer, 1);
    for (int i = 0; i < n_calls; i++) {
        int thread = 0;
        while (!pthread_equal(threads[thread], calls[i].thread)) thread++;
        check_call(model, cuts, &calls[i].a, thread);
    }
    free(cuts);
    quern_model_close(outer);
}

Test(division, packing_follows_decoding) {
    static const char *const files[] = {"llama-f32.gguf", "qwen2-f32.gguf",   "gptneox-f32.gguf",
                                        "gpt2-f32.gguf",  "mixtral-f16.gguf", "olmo2-f16.gguf"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        for (int n_threads = 1; n_threads <= 5; n_threads++) check_division(files[i], n_threads);
}

/* Two nodes of two threads: where the node of a tile's owner is not that of the tile before it,
 * tile by tile in the order in which they lie. */
static size_t seams_by_tiles(const struct qn_spec *spec, const int *cuts, size_t *seams) {
    size_t n = 0;
    int node = -1;
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const w = &spec->weights[i];
        for (int tile = 0; w->tile_size && w->n_parts && tile < cuts[5 * i + 4]; tile++) {
            const int on = tile >= cuts[5 * i + 2];
            if (node >= 0 && on != node) seams[n++] = w->offset + (size_t)tile * w->tile_size;
            node = on;
        }
    }
    return n;
}

Test(division, seams_are_where_the_node_changes) {
    struct quern_model *const outer = open_model("llama-f32.gguf", 4, 0);
    const struct qn_spec *const spec = &qn_model_of(outer)->spec;
    struct qn_topology one, two;
    struct qn_error err;
    cr_assert_eq(qn_topology_read("core:4 pu:1", &one, &err), QN_OK);
    cr_assert_eq(qn_topology_read("numa:2 core:2 pu:1", &two, &err), QN_OK);
    int *const cuts = calloc(spec->n_weights * 5, sizeof *cuts);
    cr_assert_eq(qn_division_tiles(spec, 4, cuts, &err), QN_OK);
    static size_t seams[1024], expected[1024];
    const size_t n = seams_by_tiles(spec, cuts, expected);
    cr_assert_geq(n, (size_t)(4 * spec->hparams.n_layers), "within and between matrices");
    cr_assert_eq(qn_weights_seams(spec, &one, 4, cuts, NULL, 0), 0);
    cr_assert_eq(qn_weights_seams(spec, &two, 4, cuts, NULL, 0), n);
    cr_assert_eq(qn_weights_seams(spec, &two, 4, cuts, seams, 1024), n);
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(seams[i], expected[i], "seam %zu", i);
        if (i > 0) cr_assert_gt(seams[i], seams[i - 1]);
    }
    cr_assert_eq(qn_weights_seams(spec, &two, 2, cuts, NULL, 0), 0, "two threads, one node");
    free(cuts);
    qn_topology_free(&one);
    qn_topology_free(&two);
    quern_model_close(outer);
}

/* A prompt's pieces are not larger than a thread's share, so that all find one. */
Test(division, prompts_have_a_piece_for_every_thread) {
    struct quern_model *const model = open_model("llama-f32.gguf", THREADS, 0);
    const struct qn_model *const inner = qn_model_of(model);
    record_run(model, 32);
    int n = 0, most = 0;
    for (int i = 0; i < n_calls; i++) {
        if (calls[i].a.w != qn_model_weight(inner, QN_ROLE_FFN_DOWN, 0)) continue;
        const int rows = calls[i].a.n1 - calls[i].a.n0;
        if (rows > most) most = rows;
        n++;
    }
    const int tiles =
        qn_weight_n_tiles(qn_spec_weight(&inner->spec, QN_ROLE_FFN_DOWN, 0), inner->spec.tile_rows);
    cr_assert_gt(tiles, 2, "or the test says nothing");
    cr_assert_eq(n, tiles < THREADS ? tiles : n);
    cr_assert_leq(most, inner->spec.tile_rows * ((tiles + THREADS - 1) / THREADS));
    quern_model_close(model);
}

/* More threads for prompts, fewer, or none: the packed bytes are the same. */
Test(division, whoever_packs_packs_the_same) {
    struct quern_model *const one = open_model("qwen2-mixed.gguf", 1, 0);
    const struct qn_arena *const expected = &qn_model_of(one)->arena;
    static const int counts[][2] = {{2, 0}, {3, 0}, {7, 2}, {2, 5}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct quern_model *const model =
            open_model("qwen2-mixed.gguf", counts[i][0], counts[i][1]);
        const struct qn_arena *const arena = &qn_model_of(model)->arena;
        cr_assert_eq(arena->size, expected->size);
        cr_assert_eq(memcmp(arena->data, expected->data, arena->size), 0, "%d and %d threads",
                     counts[i][0], counts[i][1]);
        quern_model_close(model);
    }
    quern_model_close(one);
}

/* Every part of every matrix is looked at; on a machine of one node all of them are near, unless
 * threads float. */
Test(locality, is_read_back) {
    struct quern_model *const model = open_model("llama-f32.gguf", 2, 0);
    const struct qn_topology *const t = &qn_model_of(model)->topology;
    struct qn_locality locality;
    struct qn_error err;
    cr_assert_eq(qn_locality_read(qn_model_of(model), &locality, &err), QN_OK);
    if (locality.known) {
        size_t sum = 0;
        for (int i = 0; i < QN_LOCALITY_NODES; i++) sum += locality.on_node[i];
        cr_assert(sum == locality.n_pages && sum > 0);
        if (t->n_cores >= 2 && qn_topology_n_nodes(t, t->n_cores) == 1)
            cr_assert_eq(locality.n_local, locality.on_node[t->cores[0].numa]);
    }
    quern_model_close(model);
}

Test(locality, in_words) {
    char text[64];
    struct qn_locality l = {.known = true, .n_pages = 200, .n_local = 150};
    l.on_node[3] = 200;
    qn_locality_describe(&l, text, sizeof text);
    cr_assert_str_eq(text, "node 3");
    l.on_node[0] = 10;
    qn_locality_describe(&l, text, sizeof text);
    cr_assert_str_eq(text, "2 nodes from 0 to 3, 75 % near their threads");
    l.known = false;
    qn_locality_describe(&l, text, sizeof text);
    cr_assert_str_eq(text, "not shown");
}
