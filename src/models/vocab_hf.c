/* SPDX-License-Identifier: Apache-2.0 */
#include "models/vocab_hf.h"

#include "models/vocab_build.h"

/* The first of the three kinds of files that is there. */
static enum qn_status read_any(struct qn_vocab_build *build, struct qn_error *err) {
    static enum qn_status (*const readers[])(struct qn_vocab_build *, struct qn_error *) = {
        qn_vocab_json_read, qn_vocab_merges_read, qn_vocab_proto_read};
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++) {
        struct qn_error inner = {0};
        const enum qn_status status = readers[i](build, &inner);
        if (status == QN_OK) return QN_OK;
        if (status != QN_NOT_FOUND) return qn_fail(err, status, "%s", inner.message);
        if (build->vocab.n_tokens > 0) return qn_fail(err, QN_NOT_FOUND, "%s", inner.message);
    }
    return qn_fail(err, QN_NOT_FOUND,
                   "%s: holds no tokenizer.json, no vocab.json and no tokenizer.model",
                   build->folder);
}

static enum qn_status make(struct qn_vocab_build *build, const json_t *config,
                           struct qn_tokenizer **out, struct qn_error *err) {
    QN_TRY(qn_vocab_config_load(build, config, err));
    QN_TRY(read_any(build, err));
    const char *const name = build->name;
    QN_TRY(qn_vocab_config_apply(build, config, err));
    qn_build_enter(build, name);
    struct qn_recipe *const recipe = &build->recipe;
    recipe->normalizers = build->normalizers;
    recipe->splitters = build->splitters;
    recipe->added = build->added;
    recipe->foreign = build->foreign;
    recipe->prefix = build->prefix;
    recipe->suffix = build->suffix;
    recipe->scores = build->scores;
    struct qn_vocab *const vocab = &build->vocab;
    vocab->tokens = build->tokens;
    vocab->kinds = build->kinds;
    vocab->merges = build->merges;
    vocab->scores = build->piece_scores;
    vocab->ends = build->ends;
    vocab->recipe = recipe;
    struct qn_error inner = {0};
    const enum qn_status status = qn_tokenizer_new(vocab, out, &inner);
    return status == QN_OK ? QN_OK : qn_fail(err, status, "%s: %s", build->file, inner.message);
}

enum qn_status qn_vocab_hf_read(const char *folder, const json_t *config, int n_rows,
                                struct qn_tokenizer **out, struct qn_error *err) {
    struct qn_vocab_build build = {.folder = folder, .n_rows = n_rows};
    build.vocab.bos = build.vocab.eos = build.vocab.unknown = build.vocab.end_of_turn = -1;
    *out = NULL;
    const enum qn_status status = make(&build, config, out, err);
    qn_build_free(&build);
    return status;
}
