/* SPDX-License-Identifier: Apache-2.0 */
#include "run/products.h"

#include <assert.h>
#include <string.h>

#include "run/division.h"
#include "run/experts.h"
#include "run/heads.h"
#include "run/maxima.h"
#include "run/work.h"

/* From DYNAMIC_ROWS on that kernels read, a product is bound by arithmetic and its pieces are
 * handed out as threads become free; below, each thread keeps a fixed contiguous run of tiles, one
 * stream from memory: kernels take so few rows in strips that ask for weights ahead, and every
 * piece would begin with some that nobody asked for. Pieces have PIECE_ROWS, the last ones
 * LAST_ROWS, the weight rows that kernels pass over together (panel_size.h): with 9 equal pieces,
 * one of two threads would have 5 of them. */
enum { DYNAMIC_ROWS = 49, PIECE_ROWS = 128, LAST_ROWS = 32 };

static int min_int(int a, int b) {
    return a < b ? a : b;
}

/* ---- one piece -------------------------------------------------------------------------- */

/* Rows [n0, n1) of K or V are whole heads. */
static void store_kv(const struct qn_executor *e, const struct qn_step *step, enum qn_buffer_id id,
                     int n0, int n1) {
    const int d = e->model->spec.hparams.head_size;
    for (int m = 0; m < e->ubatch->m; m++)
        qn_store_heads(e, step->layer, id, qn_buffer_row(e, id, m), n0 / d, n1 / d, m);
}

static void activate(const struct qn_executor *e, const struct qn_step *step, int n0, int n1,
                     int n) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    const enum qn_activation activation = hp->activation;
    const int n_rows = step->rows == QN_ROWS_SLOTS ? n * hp->n_experts_used : n;
    for (int m = 0; m < n_rows; m++) {
        float *const gate = qn_buffer_row(e, QN_BUFFER_GATE, m) + n0;
        const float *const up =
            step->n_products == 2 ? qn_buffer_row(e, QN_BUFFER_UP, m) + n0 : NULL;
        e->model->kernels.activation[activation](gate, up, n1 - n0, gate);
    }
}

static void finish_logits(const struct qn_executor *e, const struct qn_step *step, int n0, int n1,
                          int n_rows) {
    const struct qn_model *const model = e->model;
    for (int m = 0; m < n_rows; m++) {
        const int row = e->ubatch->first_logits + m;
        float *const logits = qn_buffer_row(e, QN_BUFFER_LOGITS, row) + n0;
        if (step->after == QN_AFTER_SOFTCAP)
            model->kernels.softcap[0](model->spec.hparams.final_softcap, n1 - n0, logits);
        qn_maxima_find(logits, n1 - n0,
                       qn_buffer_row(e, QN_BUFFER_MAXIMA, row) + n0 / QN_LOGITS_BLOCK);
    }
}

/* x: rows in the form of the weight's matvec, or of its matmul; mostly these are the same. */
static void run_kernel(const struct qn_kernels *kernels, enum qn_pack pack, enum qn_act act,
                       const struct qn_matmul *a) {
    const bool by_matvec = act == qn_pack_act(pack, kernels->bundles);
    const bool by_matmul = act == qn_pack_act_many(pack, kernels->bundles);
    if (!by_matvec || (by_matmul && a->m > 1)) {
        kernels->matmul[pack](a);
        return;
    }
    struct qn_matmul row = *a;
    row.m = 1;
    for (int m = 0; m < a->m; m++) {
        kernels->matvec[pack](&row);
        row.x = (const char *)row.x + row.x_ld;
        row.y += row.y_ld;
    }
}

/* a: of m rows of Q8X2. The products with both parts of a row, summed, so many columns at a time
 * that they stay near. */
static void run_pairs(const struct qn_executor *e, const struct qn_weight *w,
                      const struct qn_matmul *a, int thread) {
    const struct qn_model *const model = e->model;
    const enum qn_pack pack = qn_type_infos[w->packed].pack;
    const int columns = qn_plan_sums_columns(a->m), tile_rows = model->spec.tile_rows;
    assert(a->x_ld == qn_act_row_size(QN_ACT_Q8X2, a->k));
    struct qn_matmul parts = *a;
    parts.m = 2 * a->m;
    parts.x_ld = a->x_ld / 2;
    parts.y = qn_scratch(e, thread, e->plan->layout.sums); /* [2 m][columns] */
    parts.y_ld = (size_t)columns;
    parts.n0 = 0;
    for (int n0 = a->n0; n0 < a->n1; n0 += columns) {
        parts.w = (const char *)a->w + (size_t)(n0 / tile_rows) * w->tile_size;
        parts.n1 = min_int(columns, a->n1 - n0);
        run_kernel(&model->kernels, pack, QN_ACT_Q8, &parts);
        for (int m = 0; m < a->m; m++) {
            const float *const sums = parts.y + (size_t)m * 2 * parts.y_ld;
            float *const y = a->y + (size_t)m * a->y_ld + n0;
            memcpy(y, sums, (size_t)parts.n1 * sizeof *y);
            model->kernels.add[0](sums + columns, parts.n1, y);
        }
    }
}

/* The product of one part of the weight, the model's or an expert's, with rows x. */
static void multiply(const struct qn_executor *e, const struct qn_step *step,
                     const struct qn_product *product, int part, const void *x, int y_row,
                     int n_rows, enum qn_act act, int n0, int n1, int thread) {
    const struct qn_model *const model = e->model;
    const struct qn_weight *const w = qn_spec_weight(&model->spec, product->weight, step->layer);
    const struct qn_matmul a = {
        .w = model->arena.data + w->offset + (size_t)part * w->part_size,
        .x = x,
        .x_ld = e->plan->buffers[qn_act_buffer(act)].row_size,
        .y = qn_buffer_row(e, product->out, y_row),
        .y_ld = qn_buffer_ld(e, product->out),
        .bias = product->bias == QN_ROLE_COUNT ? NULL
                                               : qn_model_weight(model, product->bias, step->layer),
        .scratch = qn_scratch(e, thread, e->plan->layout.matmul),
        .m = n_rows,
        .k = w->k,
        .n0 = n0,
        .n1 = n1,
        .accumulate = step->after == QN_AFTER_ADD,
        .amd = model->kernels.amd,
    };
    if (act == QN_ACT_Q8X2)
        run_pairs(e, w, &a, thread);
    else
        run_kernel(&model->kernels, qn_type_infos[w->packed].pack, act, &a);
}

/* Each expert that is used multiplies its slots, which are consecutive rows; those of a single
 * token read its one row until they have rows of their own. */
static void run_experts(const struct qn_executor *e, const struct qn_step *step,
                        const struct qn_product *product, int n0, int n1, int thread, int n) {
    const struct qn_slots slots = qn_experts_slots(e, thread);
    const enum qn_act act = qn_product_act(e->plan, step, product, n > 1);
    const bool shared_row = n == 1 && (step - 1)->in == QN_BUFFER_X;
    for (int x = 0; x < e->model->spec.hparams.n_experts; x++) {
        const int first = slots.starts[x], n_rows = slots.starts[x + 1] - first;
        if (n_rows == 0) continue;
        multiply(e, step, product, x, qn_act_row(e, act, thread, shared_row ? 0 : first, n == 1),
                 first, n_rows, act, n0, n1, thread);
    }
}

static void run_product(const struct qn_executor *e, const struct qn_step *step,
                        const struct qn_product *product, int n0, int n1, int thread, int n) {
    const enum qn_act act = qn_product_act(e->plan, step, product, n > 1);
    const int row = product->out == QN_BUFFER_LOGITS ? e->ubatch->first_logits : 0;
    if (step->rows == QN_ROWS_SLOTS)
        run_experts(e, step, product, n0, n1, thread, n);
    else
        multiply(e, step, product, 0, qn_act_row(e, act, thread, 0, n == 1), row, n, act, n0, n1,
                 thread);
}

static void run_piece(const struct qn_executor *e, const struct qn_step *step,
                      const struct qn_group *group, int n0, int n1, int thread, int n) {
    for (int i = 0; i < group->count; i++)
        run_product(e, step, &step->products[group->first + i], n0, n1, thread, n);
    const enum qn_buffer_id out = step->products[group->first].out;
    if (step->after == QN_AFTER_STORE_KV && out != QN_BUFFER_Q) store_kv(e, step, out, n0, n1);
    if (step->after == QN_AFTER_ACTIVATE) activate(e, step, n0, n1, n);
    if (out == QN_BUFFER_LOGITS) finish_logits(e, step, n0, n1, n);
    if (step->after == QN_AFTER_COMBINE) qn_experts_combine(e, step, n0, n1, thread);
}

/* ---- division --------------------------------------------------------------------------- */

/* The granules that start within [from, to) of the line; the number of pieces that they were. */
static int run_between(const struct qn_executor *e, const struct qn_step *step,
                       const struct qn_line *line, size_t from, size_t to, int thread, int n_rows) {
    int n_pieces = 0;
    for (int i = 0; i < line->n_groups; i++) {
        const struct qn_group *const group = &line->groups[i];
        const int n0 = qn_group_row(group, from), n1 = qn_group_row(group, to);
        if (n0 == n1) continue;
        run_piece(e, step, group, n0, n1, thread, n_rows);
        n_pieces++;
    }
    return n_pieces;
}

/* Pieces [first, end) of a thread's share. */
static void run_pieces(const struct qn_executor *e, const struct qn_step *step,
                       const struct qn_line *line, int owner, int first, int end, int thread,
                       int n_rows) {
    const size_t from = qn_line_share(line, owner, e->n_threads);
    const size_t size = qn_line_share(line, owner + 1, e->n_threads) - from;
    run_between(e, step, line, from + size * qn_claim_bounds[first] / QN_CLAIM_PARTS,
                from + size * qn_claim_bounds[end] / QN_CLAIM_PARTS, thread, n_rows);
}

/* What is left of a share, piece by piece; `thread` computes it. Returns the number of pieces. */
static int run_cut(const struct qn_executor *e, const struct qn_step *step,
                   const struct qn_line *line, uint64_t number, int owner, int thread, int n_rows) {
    int n_pieces = 0;
    for (int i; (i = qn_claim_piece(&e->claims->threads[owner], number)) >= 0; n_pieces++)
        run_pieces(e, step, line, owner, i, i + 1, thread, n_rows);
    return n_pieces;
}

/* The thread's share, then what others on its node have left, from the next thread on. */
static int run_shared(const struct qn_executor *e, const struct qn_step *step,
                      const struct qn_line *line, int thread, int n_rows) {
    const struct qn_claim *const own = &e->claims->threads[thread];
    const uint64_t number = e->n_steps_before + (uint64_t)(step - e->plan->steps) + 1;
    if (!qn_claims_cut(e->claims, number)) {
        const int rest = qn_claim_rest(&e->claims->threads[thread], number);
        if (rest >= 0) run_pieces(e, step, line, thread, rest, QN_CLAIM_PIECES, thread, n_rows);
        return rest >= 0;
    }
    const int n_own = run_cut(e, step, line, number, thread, thread, n_rows);
    const int first = own->first, n = min_int(own->end, e->n_threads) - first;
    int n_others = 0;
    for (int i = 1; i < n; i++)
        n_others +=
            run_cut(e, step, line, number, first + (thread - first + i) % n, thread, n_rows);
    qn_claims_found(e->claims, thread, number, n_others > 0);
    return n_own + n_others;
}

static bool ends_in_barrier(const struct qn_executor *e, const struct qn_step *step) {
    const int n_rows = step->rows == QN_ROWS_OUTPUTS ? e->ubatch->n_outputs : e->ubatch->m;
    return qn_step_has_barrier(e->plan, step, n_rows, e->n_threads);
}

/* Another thread may compute a row only if all meet before anybody needs it, and if nobody is still
 * at work on what an earlier step divides: where a barrier stands behind the step and before it,
 * with nothing in between but what every thread does for itself. */
static bool may_be_shared(const struct qn_executor *e, const struct qn_step *step) {
    if (e->n_threads == 1 || !ends_in_barrier(e, step)) return false;
    const struct qn_step *before = step - 1;
    while (before >= e->plan->steps && !ends_in_barrier(e, before)) {
        if (before->op == QN_OP_MATMUL || before->op == QN_OP_ATTENTION) return false;
        before--;
    }
    return true;
}

/* Two steps of one product each are cut alike if these have as many rows, because a granule has
 * more bytes than there are threads: QN_MEET_LATER counts on it. */
static int run_fixed(const struct qn_executor *e, const struct qn_step *step, int thread,
                     int n_rows) {
    const struct qn_line line = qn_line_of(e->plan, step);
    if (line.size / (size_t)e->n_threads < e->least_share || !may_be_shared(e, step))
        return run_between(e, step, &line, qn_line_share(&line, thread, e->n_threads),
                           qn_line_share(&line, thread + 1, e->n_threads), thread, n_rows);
    return run_shared(e, step, &line, thread, n_rows);
}

/* The rows of the thread's own KV heads. */
static int run_own_heads(const struct qn_executor *e, const struct qn_step *step, int thread) {
    const struct qn_line line = qn_line_of(e->plan, step);
    for (int i = 0; i < line.n_groups; i++) {
        const int rows = line.groups[i].n / e->n_threads;
        run_piece(e, step, &line.groups[i], thread * rows, (thread + 1) * rows, thread, 1);
    }
    return step->n_products;
}

/* PIECE_ROWS; less where there would be fewer pieces than threads, and of experts, which are
 * narrow, where a thread would find no fourth piece. */
static int piece_rows(const struct qn_executor *e, const struct qn_step *step,
                      const struct qn_line *line, const struct qn_group *group) {
    int n = 0;
    for (int i = 0; i < line->n_groups; i++) n += line->groups[i].n;
    const int share =
        step->rows == QN_ROWS_SLOTS ? group->n / (4 * e->n_threads) : n / e->n_threads;
    const int granules = min_int(share, PIECE_ROWS) / group->granule;
    return (granules > 1 ? granules : 1) * group->granule;
}

/* A group's rows: large pieces, then, of the last group, as many rows as threads could be apart by
 * in small ones, so that all end nearly together. */
struct cut {
    int large, small; /* rows of a piece */
    int n_large, n_pieces;
};

static struct cut cut_of(const struct qn_executor *e, const struct qn_step *step,
                         const struct qn_line *line, int index) {
    const struct qn_group *const group = &line->groups[index];
    const bool is_last = index == line->n_groups - 1;
    const int large = piece_rows(e, step, line, group), granule = group->granule;
    const int last = LAST_ROWS > granule ? LAST_ROWS / granule * granule : granule;
    struct cut cut = {.large = large, .small = is_last ? min_int(large, last) : large};
    const int apart = is_last ? e->n_threads * large : 0;
    cut.n_large = group->n > apart ? (group->n - apart) / large : 0;
    cut.n_pieces = cut.n_large + (group->n - cut.n_large * large + cut.small - 1) / cut.small;
    return cut;
}

/* Pieces handed out in order. */
static int run_handed_out(const struct qn_executor *e, const struct qn_step *step, int thread,
                          int n_rows) {
    int passed = 0, done = 0, piece = qn_next_piece(e, step);
    const struct qn_line line = qn_line_of(e->plan, step);
    for (int i = 0; i < line.n_groups; i++) {
        const struct qn_group *const group = &line.groups[i];
        const struct cut cut = cut_of(e, step, &line, i);
        for (; piece - passed < cut.n_pieces; piece = qn_next_piece(e, step)) {
            const int at = piece - passed, n_small = at > cut.n_large ? at - cut.n_large : 0;
            const int n0 = (at - n_small) * cut.large + n_small * cut.small;
            const int rows = at < cut.n_large ? cut.large : cut.small;
            run_piece(e, step, group, n0, min_int(n0 + rows, group->n), thread, n_rows);
            done++;
        }
        passed += cut.n_pieces;
    }
    return done;
}

int qn_products_run(const struct qn_executor *executor, const struct qn_step *step, int thread,
                    int n_rows) {
    if (step->meet == QN_MEET_HEADS && qn_has_own_heads(executor, step))
        return run_own_heads(executor, step, thread);
    const enum qn_act act = qn_product_act(executor->plan, step, &step->products[0], n_rows > 1);
    const int n_read = act == QN_ACT_Q8X2 ? 2 * n_rows : n_rows;
    return (n_read >= DYNAMIC_ROWS ? run_handed_out : run_fixed)(executor, step, thread, n_rows);
}
