/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantizing a float model while it loads gives, bit for bit, the logits of a file that holds the
 * same blocks; and costs no more than the type's error lets expect. usage: quantize_model DATA
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_writer.h"
#include "kernels/quantize.h"
#include "models/model.h"
#include "quern.h"
#include "run/access.h"
#include "temp_folder.h"

enum { N_IDS = 24, MAX_VOCAB = 512 };

static const char *data_folder;
static int n_failed;

static void fail(const char *what, const char *type, const char *why) {
    printf("FAILED %s, %s: %s\n", what, type, why);
    n_failed++;
}

/* ---- running ---------------------------------------------------------------------------- */

static struct quern_model *open_model(const char *path, const char *type) {
    const struct quern_model_options options = {.n_threads = 2, .quantize = type};
    struct quern_model *model;
    struct quern_error err;
    if (quern_model_open(path, &options, &model, &err) == QUERN_OK) return model;
    printf("FAILED %s: %s\n", path, err.message);
    exit(1);
}

/* logits [N_IDS][MAX_VOCAB], the rest of each row 0; returns the size of the vocabulary. */
static int logits_of(struct quern_model *model, float *logits) {
    const struct quern_session_options options = {
        .n_ctx = 64, .n_logits = N_IDS, .kv_type_k = "f32", .kv_type_v = "f32"};
    struct quern_session *session;
    struct quern_error err = {.message = "the vocabulary is too large"};
    struct quern_model_info info;
    int32_t ids[N_IDS];
    bool wanted[N_IDS];
    quern_model_info(model, &info);
    for (int i = 0; i < N_IDS; i++) {
        ids[i] = 5 + 7 * i;
        wanted[i] = true;
    }
    const struct quern_batch batch = {.n = N_IDS, .tokens = ids, .logits = wanted};
    if (info.n_vocab > MAX_VOCAB || quern_session_new(model, &options, &session, &err) ||
        quern_session_eval(session, &batch, &err)) {
        printf("FAILED to run: %s\n", err.message);
        exit(1);
    }
    memset(logits, 0, sizeof(float[N_IDS][MAX_VOCAB]));
    for (size_t i = 0; i < N_IDS; i++)
        memcpy(logits + i * MAX_VOCAB, quern_session_logits(session, i),
               (size_t)info.n_vocab * sizeof(float));
    quern_session_free(session);
    return info.n_vocab;
}

static void run_file(const char *path, const char *type, float *logits) {
    struct quern_model *const model = open_model(path, type);
    logits_of(model, logits);
    quern_model_close(model);
}

/* ---- files of the same weights in other types ------------------------------------------- */

/* Numbers of types in GGUF files. */
static const uint32_t gguf_types[QN_TYPE_COUNT] = {
    [QN_TYPE_F32] = 0,   [QN_TYPE_F16] = 1,     [QN_TYPE_BF16] = 30,   [QN_TYPE_Q8_0] = 8,
    [QN_TYPE_Q4_0] = 2,  [QN_TYPE_Q4_1] = 3,    [QN_TYPE_Q5_0] = 6,    [QN_TYPE_Q5_1] = 7,
    [QN_TYPE_Q2_K] = 10, [QN_TYPE_Q3_K] = 11,   [QN_TYPE_Q4_K] = 12,   [QN_TYPE_Q5_K] = 13,
    [QN_TYPE_Q6_K] = 14, [QN_TYPE_IQ4_NL] = 20, [QN_TYPE_IQ4_XS] = 23,
};

static void copy_values(struct gguf_writer *writer, const struct qn_gguf *gguf) {
    for (size_t i = 0; i < qn_gguf_n_values(gguf); i++) {
        const struct qn_gguf_value *const value = qn_gguf_value_at(gguf, i);
        char key[128];
        snprintf(key, sizeof key, "%.*s", (int)value->key.size, value->key.data);
        if (value->type == QN_GGUF_ARRAY)
            gguf_key_array(writer, key, value->element, value->count);
        else
            gguf_key(writer, key, value->type);
        bytes_put(&writer->values, value->data, value->size);
    }
}

/* A weight under a name, in a type. */
static void put_weight(struct gguf_writer *writer, const char *name, const struct qn_weight *weight,
                       enum qn_type type) {
    const struct qn_tensor *const tensor = weight->sources->tensor;
    const size_t n = (size_t)weight->n, k = (size_t)weight->k;
    const size_t stored = qn_type_row_size(tensor->type, k), size = qn_type_row_size(type, k);
    float *const row = malloc(k * sizeof *row);
    char *const rows = malloc(n * size);
    for (size_t i = 0; i < n; i++) {
        qn_type_to_float(tensor->type, (const char *)tensor->data + i * stored, row, k);
        qn_quantize_row(type, row, k, rows + i * size);
    }
    const uint64_t shape[2] = {k, n};
    gguf_tensor(writer, name, (uint32_t)tensor->n_dims, shape, gguf_types[type], rows, n * size);
    free(row);
    free(rows);
}

/* Writes the model's weights in the types that they are packed in, or all in F32. */
static void write_file(struct quern_model *model, bool as_packed, const struct temp_folder *folder,
                       const char *name) {
    const struct qn_model *const inner = qn_model_of(model);
    const struct qn_spec *const spec = &inner->spec;
    struct gguf_writer writer;
    gguf_writer_init(&writer);
    copy_values(&writer, qn_checkpoint_gguf(inner->checkpoint));
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const weight = &spec->weights[i];
        const bool tied_head = i == QN_ROLE_OUTPUT && spec->tied;
        if (!weight->n_parts || (tied_head && !as_packed)) continue;
        put_weight(&writer, tied_head ? "output.weight" : weight->sources->tensor->name, weight,
                   as_packed ? weight->type : QN_TYPE_F32);
    }
    struct bytes bytes = gguf_writer_finish(&writer);
    temp_folder_put(folder, name, bytes.data, bytes.size);
    bytes_free(&bytes);
}

/* ---- what it costs ---------------------------------------------------------------------- */

static double mean_kl(const float *p, const float *q, int n_vocab) {
    double kl = 0;
    for (int i = 0; i < N_IDS; i++, p += MAX_VOCAB, q += MAX_VOCAB) {
        double sum_p = 0, sum_q = 0;
        for (int v = 0; v < n_vocab; v++) {
            sum_p += exp((double)p[v]);
            sum_q += exp((double)q[v]);
        }
        for (int v = 0; v < n_vocab; v++) {
            const double log_p = (double)p[v] - log(sum_p), log_q = (double)q[v] - log(sum_q);
            kl += exp(log_p) * (log_p - log_q) / N_IDS;
        }
    }
    return kl;
}

/* RMSE of a type over the deviation of nearly normal weights. */
static double type_error(enum qn_type type) {
    enum { N = 8192 };
    static float x[N], y[N];
    static uint8_t bytes[4 * N];
    uint64_t state = 1;
    double error = 0, power = 0;
    for (int i = 0; i < N; i++) {
        x[i] = 0;
        for (int j = 0; j < 6; j++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            x[i] += (float)(int32_t)(state >> 32) * 0x1p-31f;
        }
    }
    qn_quantize_row(type, x, N, bytes);
    qn_type_to_float(type, bytes, y, N);
    for (int i = 0; i < N; i++) {
        error += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        power += (double)x[i] * (double)x[i];
    }
    return sqrt(error / power);
}

/* KL is to second order half the variance of the logits' errors, which goes with the square of the
 * products' relative error: of the weights and of the inputs, which are rounded to int8 by blocks
 * of 32 as Q8_0 rounds. So where Q8_0 weights cost kl_q8_0 by squares that sum to 2 e^2, with
 * e = type_error(Q8_0), another type is expected to cost (error^2 + e^2) / (2 e^2) as much. One
 * draw of such noise through a few layers should lie within 4 times what is expected. */
static double expected_kl(enum qn_type type, double kl_q8_0) {
    const double e = type_error(QN_TYPE_Q8_0), own = type_error(type);
    return kl_q8_0 * (own * own + e * e) / (2 * e * e);
}

/* ---- checks ----------------------------------------------------------------------------- */

/* The weights of a file of floats, quantized to `type` while loading and before. */
static void check_type(const char *what, const char *float_file, const struct temp_folder *folder,
                       enum qn_type type, double *kl_q8_0) {
    static float floats[N_IDS * MAX_VOCAB], loaded[N_IDS * MAX_VOCAB], stored[N_IDS * MAX_VOCAB];
    const char *const name = qn_type_infos[type].name;
    run_file(float_file, NULL, floats);
    struct quern_model *const model = open_model(float_file, name);
    const int n_vocab = logits_of(model, loaded);
    write_file(model, true, folder, "stored.gguf");
    quern_model_close(model);
    run_file(temp_folder_path(folder, "stored.gguf"), NULL, stored);
    if (memcmp(loaded, stored, sizeof loaded) != 0)
        fail(what, name, "logits differ from those of a file with the same blocks");
    const double kl = mean_kl(floats, loaded, n_vocab);
    if (type == QN_TYPE_Q8_0) *kl_q8_0 = kl;
    const bool is_integer = !qn_pack_is_float(qn_type_infos[type].pack);
    const double expected = expected_kl(type, *kl_q8_0);
    printf("%-20s %-7s KL %.2e, expected %.2e\n", what, name, kl, expected);
    if (is_integer && !(kl > 0 && kl <= 4 * expected)) fail(what, name, "KL is not as expected");
}

static void check_model(const char *file, const enum qn_type *types, size_t n) {
    char path[512], float_file[512];
    const struct temp_folder folder = temp_folder_make();
    double kl_q8_0 = NAN;
    snprintf(path, sizeof path, "%s/models/%s", data_folder, file);
    struct quern_model *const model = open_model(path, NULL);
    write_file(model, false, &folder, "float.gguf");
    quern_model_close(model);
    snprintf(float_file, sizeof float_file, "%s", temp_folder_path(&folder, "float.gguf"));
    for (size_t i = 0; i < n; i++) check_type(file, float_file, &folder, types[i], &kl_q8_0);
    temp_folder_remove(&folder);
}

/* A folder's matrices may be stored by columns: the rows gathered are the same. */
static void check_folder(const char *name, const char *file, const char *type) {
    static float a[N_IDS * MAX_VOCAB], b[N_IDS * MAX_VOCAB], floats[N_IDS * MAX_VOCAB];
    char path[512];
    snprintf(path, sizeof path, "%s/hf/%s", data_folder, name);
    run_file(path, type, a);
    run_file(path, NULL, floats);
    snprintf(path, sizeof path, "%s/models/%s", data_folder, file);
    run_file(path, type, b);
    if (memcmp(a, b, sizeof a) != 0) fail(name, type, "logits differ from those of the GGUF file");
    if (memcmp(a, floats, sizeof a) == 0) fail(name, type, "nothing was quantized");
}

/* Quantized weights stay as they are, and a type that there is not is an error. */
static void check_kept(void) {
    static float a[N_IDS * MAX_VOCAB], b[N_IDS * MAX_VOCAB];
    const struct quern_model_options options = {.quantize = "q9_0"};
    struct quern_model *model;
    struct quern_error err = {.message = "it was opened"};
    char path[512];
    snprintf(path, sizeof path, "%s/models/llama-q5_1.gguf", data_folder);
    run_file(path, NULL, a);
    run_file(path, "q4_0", b);
    if (memcmp(a, b, sizeof a) != 0) fail("llama-q5_1.gguf", "q4_0", "quantized weights changed");
    if (quern_model_open(path, &options, &model, &err) != QUERN_BAD_ARGUMENT ||
        !strstr(err.message, "q9_0") || !strstr(err.message, "Q4_K"))
        fail("llama-q5_1.gguf", "q9_0", err.message);
}

int main(int argc, char **argv) {
    /* Q8_0 first: the others' KL is foretold from its. */
    static const enum qn_type of_32[] = {QN_TYPE_Q8_0, QN_TYPE_F16,    QN_TYPE_BF16,
                                         QN_TYPE_Q4_0, QN_TYPE_Q4_1,   QN_TYPE_Q5_0,
                                         QN_TYPE_Q5_1, QN_TYPE_IQ4_NL, QN_TYPE_Q4_K};
    static const enum qn_type of_256[] = {QN_TYPE_Q8_0, QN_TYPE_Q2_K, QN_TYPE_Q3_K,  QN_TYPE_Q4_K,
                                          QN_TYPE_Q5_K, QN_TYPE_Q6_K, QN_TYPE_IQ4_XS};
    if (argc != 2) {
        fprintf(stderr, "usage: quantize_model DATA\n");
        return 2;
    }
    data_folder = argv[1];
    check_model("llama-f32.gguf", of_32, sizeof of_32 / sizeof *of_32);
    check_model("llama-tied-f32.gguf", of_32, 4);
    check_model("llama-q6_k.gguf", of_256, sizeof of_256 / sizeof *of_256);
    check_folder("gpt2", "gpt2-f32.gguf", "q8_0");
    check_folder("gpt2", "gpt2-f32.gguf", "q4_k");
    check_kept();
    if (n_failed) printf("%d failed\n", n_failed);
    return n_failed ? 1 : 0;
}
