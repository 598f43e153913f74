/* SPDX-License-Identifier: Apache-2.0
 *
 * The KV cache stage: what the cache holds after N tokens, and that the way in which they came
 * changes no bit of it.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "report/probe.h"
#include "report/verify.h"

/* Of ubatches and refills: no divisor of the tiles and blocks. Slots behind the last token, which
 * must stay empty, reach into a block of their own. */
enum { ODD_UBATCH = 7, SPARE = QN_KV_BLOCK };

struct cache {
    struct qn_verify *v;
    const int32_t *ids; /* [n] */
    int n;
    uint64_t *digests; /* [n_layers] of all at once */
    uint64_t logits;   /* hash of the last row, of all at once */
};

static uint64_t logits_hash(struct qn_session *session) {
    const size_t n_vocab = (size_t)session->model->spec.hparams.n_vocab;
    return qn_hash(qn_session_logits(session, 0), n_vocab * sizeof(float), 0);
}

static enum qn_status new_session(const struct cache *c, int n_ubatch, struct qn_session **out,
                                  struct qn_error *err) {
    return qn_probe_new(c->v->model, c->v->options->cache, c->n + SPARE, n_ubatch, 1, out, err);
}

/* ---- contents --------------------------------------------------------------------------- */

static bool all_zero(const float *x, int n) {
    for (int i = 0; i < n; i++)
        if (x[i] != 0) return false;
    return true;
}

static bool all_finite(const float *x, int n) {
    for (int i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

struct contents {
    int n_bad, n_empty, n_repeated; /* positions of heads: not finite; zero; as the one before */
    int n_behind;                   /* slots behind the last token that hold something */
    int layer, position;            /* of the first that is wrong */
};

static void note_first(struct contents *found, int layer, int position) {
    if (found->layer >= 0) return;
    found->layer = layer;
    found->position = position;
}

/* Slots behind the end of the last block only: further blocks are not in the table yet. */
static void look_at_head(const struct qn_session *session, int layer, int head, int n,
                         struct contents *found) {
    float now[2 * QN_HEAD_SIZE_MAX], before[2 * QN_HEAD_SIZE_MAX];
    const int d = session->model->spec.hparams.head_size;
    const int end = (n + QN_KV_BLOCK - 1) / QN_KV_BLOCK * QN_KV_BLOCK;
    for (int p = 0; p < end; p++) {
        qn_probe_cached(session, layer, head, p, now, now + d);
        const bool empty = all_zero(now, d) || all_zero(now + d, d);
        const bool bad = p < n && !all_finite(now, 2 * d);
        const bool repeated =
            p > 0 && p < n && memcmp(now, before, 2 * (size_t)d * sizeof *now) == 0;
        const bool behind = p >= n && !(all_zero(now, 2 * d));
        found->n_bad += bad;
        found->n_empty += p < n && empty;
        found->n_repeated += repeated;
        found->n_behind += behind;
        if (bad || (p < n && empty) || repeated || behind) note_first(found, layer, p);
        memcpy(before, now, sizeof now);
    }
}

static void check_contents(const struct cache *c, const struct qn_session *session) {
    const struct qn_hparams *const hp = &c->v->model->spec.hparams;
    struct contents found = {.layer = -1};
    for (int layer = 0; layer < hp->n_layers; layer++)
        for (int h = 0; h < hp->n_kv_heads; h++) look_at_head(session, layer, h, c->n, &found);
    const int held = session->kv.lengths[0];
    if (found.layer < 0 && held == c->n)
        qn_verify_check(c->v, "fills", QN_VERDICT_PASS,
                        "after %d tokens each of %d layers holds %d positions of %d heads, finite, "
                        "no two neighbours alike, and nothing behind them",
                        c->n, hp->n_layers, c->n, hp->n_kv_heads);
    else
        qn_verify_check(c->v, "fills", QN_VERDICT_FAIL,
                        "after %d tokens the sequence holds %d positions; of %d heads' positions "
                        "%d are not finite, %d empty, %d like the one before, and %d behind the "
                        "end are written; the first is in layer %d at position %d",
                        c->n, held, hp->n_layers * hp->n_kv_heads * c->n, found.n_bad,
                        found.n_empty, found.n_repeated, found.n_behind, found.layer,
                        found.position);
}

/* ---- equal bits ------------------------------------------------------------------------- */

static void compare(const struct cache *c, struct qn_session *session, const char *check,
                    const char *what) {
    const int n_layers = c->v->model->spec.hparams.n_layers;
    int layer = 0;
    while (layer < n_layers && qn_probe_digest(session, layer, c->n) == c->digests[layer]) layer++;
    if (layer < n_layers)
        qn_verify_check(c->v, check, QN_VERDICT_FAIL,
                        "%s: the cache of layer %d differs from that of all %d tokens at once",
                        what, layer, c->n);
    else if (logits_hash(session) != c->logits)
        qn_verify_check(c->v, check, QN_VERDICT_FAIL,
                        "%s: the caches agree, the logits differ from those of all %d at once",
                        what, c->n);
    else
        qn_verify_check(c->v, check, QN_VERDICT_PASS,
                        "%s: every bit of cache and logits as with all %d tokens at once", what,
                        c->n);
}

static enum qn_status check_steps(const struct cache *c, const char *check, const char *what,
                                  int n_ubatch, int step, struct qn_error *err) {
    struct qn_session *session;
    QN_TRY(new_session(c, n_ubatch, &session, err));
    const enum qn_status status = qn_probe_eval(session, c->ids, c->n, step, err);
    if (status == QN_OK) compare(c, session, check, what);
    qn_session_free(session);
    return status;
}

static enum qn_status refill(const struct cache *c, struct qn_session *session,
                             struct qn_error *err) {
    const int keep = c->n / 3;
    QN_TRY(qn_probe_eval(session, c->ids, keep, 0, err));
    /* Other tokens where the right ones will come: the text from its start again. */
    QN_TRY(qn_probe_eval(session, c->ids, c->n - keep, 0, err));
    qn_kv_blocks_truncate(&session->kv, 0, keep);
    return qn_probe_eval(session, c->ids + keep, c->n - keep, 0, err);
}

static enum qn_status check_refill(const struct cache *c, struct qn_error *err) {
    struct qn_session *session;
    QN_TRY(new_session(c, QN_DEFAULT_UBATCH, &session, err));
    const enum qn_status status = refill(c, session, err);
    if (status == QN_OK)
        compare(c, session, "refill",
                "filled with other tokens after a third, cut back and refilled");
    qn_session_free(session);
    return status;
}

/* ---- the window ------------------------------------------------------------------------- */

/* Positions before the last token that it can hear of through all layers: each hands on what lies
 * up to window - 1 before it. 0: some layer sees everything. */
static int reach(const struct qn_hparams *hp) {
    int sum = 0;
    for (int layer = 0; layer < hp->n_layers; layer++) {
        const int window = qn_hparams_window(hp, layer);
        if (window == 0) return 0;
        sum += window - 1;
    }
    return sum;
}

static enum qn_status changed_logits(const struct cache *c, int n, int changed, uint64_t *hash,
                                     struct qn_error *err) {
    struct qn_session *session;
    int32_t *const ids = malloc((size_t)n * sizeof *ids);
    if (!ids) return qn_fail(err, QN_NO_MEMORY, "no memory for %d ids", n);
    const int n_vocab = c->v->model->spec.hparams.n_vocab;
    for (int i = 0; i < n; i++) ids[i] = c->ids[i % c->n];
    if (changed >= 0) ids[changed] = (ids[changed] + 1) % n_vocab;
    enum qn_status status =
        qn_probe_new(c->v->model, c->v->options->cache, n, QN_DEFAULT_UBATCH, 1, &session, err);
    if (status == QN_OK) {
        status = qn_probe_eval(session, ids, n, 0, err);
        if (status == QN_OK) *hash = logits_hash(session);
        qn_session_free(session);
    }
    free(ids);
    return status;
}

static enum qn_status check_window(const struct cache *c, struct qn_error *err) {
    enum { MOST = 2048 };
    const struct qn_hparams *const hp = &c->v->model->spec.hparams;
    const int far = reach(hp), n = far + 2;
    uint64_t whole, outside, inside;
    if (far == 0) {
        qn_verify_check(c->v, "window", QN_VERDICT_SKIP,
                        "not every layer has a sliding window: nothing is ever out of reach");
        return QN_OK;
    }
    if (n > MOST || n > hp->n_ctx_train) {
        qn_verify_check(c->v, "window", QN_VERDICT_SKIP,
                        "through %d layers of window %d the last token hears of %d positions; the "
                        "attention stage looks at each layer",
                        hp->n_layers, hp->window, far);
        return QN_OK;
    }
    QN_TRY(changed_logits(c, n, -1, &whole, err));
    QN_TRY(changed_logits(c, n, 0, &outside, err));
    QN_TRY(changed_logits(c, n, 1, &inside, err));
    QN_VERIFY_THAT(c->v, "window", outside == whole && inside != whole,
                   "%d layers of window %d: another token %d before the last %s its logits, one %d "
                   "before %s them",
                   hp->n_layers, hp->window, far + 1, outside == whole ? "leaves" : "CHANGES", far,
                   inside != whole ? "changes" : "LEAVES");
    return QN_OK;
}

/* ---- the end ---------------------------------------------------------------------------- */

static enum qn_status check_full(const struct cache *c, struct qn_session *session,
                                 struct qn_error *err) {
    struct qn_error full = {.message = ""};
    for (int left; (left = session->kv.n_ctx - session->kv.lengths[0]) > 0;)
        QN_TRY(qn_probe_eval(session, c->ids, left < c->n ? left : c->n, 0, err));
    const int before = session->kv.lengths[0];
    const enum qn_status status = qn_probe_eval(session, c->ids, 1, 0, &full);
    QN_VERIFY_THAT(c->v, "full", status == QN_CONTEXT_FULL && session->kv.lengths[0] == before,
                   "a token after position %d of %d gives: %s", before - 1, session->kv.n_ctx,
                   status == QN_OK ? "no error" : full.message);
    return QN_OK;
}

static enum qn_status check_all(struct cache *c, struct qn_session *session, struct qn_error *err) {
    QN_TRY(qn_probe_eval(session, c->ids, c->n, 0, err));
    for (int layer = 0; layer < c->v->model->spec.hparams.n_layers; layer++)
        c->digests[layer] = qn_probe_digest(session, layer, c->n);
    c->logits = logits_hash(session);
    check_contents(c, session);
    qn_verify_progress(c->v, 0.1);
    QN_TRY(check_full(c, session, err));
    qn_verify_progress(c->v, 0.3);
    QN_TRY(check_steps(c, "steps", "token by token", 1, 1, err));
    qn_verify_progress(c->v, 0.6);
    QN_TRY(check_steps(c, "ubatch", "in ubatches of 7", ODD_UBATCH, 0, err));
    qn_verify_progress(c->v, 0.7);
    QN_TRY(check_refill(c, err));
    qn_verify_progress(c->v, 0.9);
    return check_window(c, err);
}

enum qn_status qn_verify_cache(struct qn_verify *v, struct qn_error *err) {
    const struct qn_hparams *const hp = &v->model->spec.hparams;
    struct cache c = {.v = v, .n = v->options->n_tokens};
    struct qn_session *session;
    int32_t *ids;
    if (c.n > hp->n_ctx_train - SPARE) c.n = hp->n_ctx_train - SPARE;
    if (c.n < 3)
        return qn_fail(err, QN_UNSUPPORTED,
                       "the model's context of %d positions is too short to look at",
                       hp->n_ctx_train);
    QN_TRY(qn_verify_text(v->model, c.n, &ids, err));
    c.ids = ids;
    c.digests = calloc((size_t)hp->n_layers, sizeof *c.digests);
    enum qn_status status = c.digests ? new_session(&c, QN_DEFAULT_UBATCH, &session, err)
                                      : qn_fail(err, QN_NO_MEMORY, "no memory for digests");
    if (status == QN_OK) {
        json_object_set_new(v->stage, "tokens", json_integer(c.n));
        status = check_all(&c, session, err);
        qn_session_free(session);
    }
    free(c.digests);
    free(ids);
    return status;
}
