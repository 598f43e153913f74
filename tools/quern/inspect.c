/* SPDX-License-Identifier: Apache-2.0
 *
 * quern inspect: what a model's files hold, and what the engine makes of them. Everything is
 * gathered into one JSON value, which is printed as it is or as text.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "forecast.h"
#include "inspect_output.h"
#include "models/vocab.h"
#include "output.h"
#include "report/json_text.h"

/* ---- metadata --------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t size; /* 0: a string */
} value_types[] = {
    [QN_GGUF_U8] = {"u8", 1},       [QN_GGUF_I8] = {"i8", 1},     [QN_GGUF_U16] = {"u16", 2},
    [QN_GGUF_I16] = {"i16", 2},     [QN_GGUF_U32] = {"u32", 4},   [QN_GGUF_I32] = {"i32", 4},
    [QN_GGUF_F32] = {"f32", 4},     [QN_GGUF_BOOL] = {"bool", 1}, [QN_GGUF_STRING] = {"string", 0},
    [QN_GGUF_ARRAY] = {"array", 0}, [QN_GGUF_U64] = {"u64", 8},   [QN_GGUF_I64] = {"i64", 8},
    [QN_GGUF_F64] = {"f64", 8},
};

static json_t *real_of(double value) {
    json_t *real = json_real(value);
    return real != NULL ? real : json_string(value != value ? "nan" : value > 0 ? "inf" : "-inf");
}

/* Jansson has signed integers alone: what is beyond them is a string, as what is no number. */
static json_t *unsigned_of(uint64_t value) {
    if (value <= INT64_MAX) return json_integer((json_int_t)value);
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

/* The scalar at data, which is unaligned. */
static json_t *scalar_of(enum qn_gguf_type type, const uint8_t *data) {
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
        float f32;
        double f64;
    } value;
    memcpy(&value, data, value_types[type].size);
    switch (type) {
    case QN_GGUF_U8:
        return json_integer(value.u8);
    case QN_GGUF_I8:
        return json_integer(value.i8);
    case QN_GGUF_U16:
        return json_integer(value.u16);
    case QN_GGUF_I16:
        return json_integer(value.i16);
    case QN_GGUF_U32:
        return json_integer(value.u32);
    case QN_GGUF_I32:
        return json_integer(value.i32);
    case QN_GGUF_U64:
        return unsigned_of(value.u64);
    case QN_GGUF_I64:
        return json_integer(value.i64);
    case QN_GGUF_F32:
        return real_of((double)value.f32);
    case QN_GGUF_F64:
        return real_of(value.f64);
    case QN_GGUF_BOOL:
        return json_boolean(value.u8);
    case QN_GGUF_STRING:
    case QN_GGUF_ARRAY:
        break;
    }
    return json_null();
}

/* Long arrays show how they begin. */
static json_t *array_of(const struct qn_gguf_value *value) {
    enum { SHOWN = 5 };
    json_t *first = json_array();
    const uint8_t *cursor = value->data;
    for (uint64_t i = 0; i < value->count && i < SHOWN; i++) {
        if (value->element == QN_GGUF_STRING) {
            const struct qn_string text = qn_gguf_next_string(&cursor);
            json_array_append_new(first, qn_json_text(text.data, text.size));
        } else {
            json_array_append_new(first, scalar_of(value->element, cursor));
            cursor += value_types[value->element].size;
        }
    }
    return json_pack("{s:s, s:I, s:o}", "array_of", value_types[value->element].name, "count",
                     (json_int_t)value->count, value->count <= SHOWN ? "values" : "first", first);
}

static json_t *value_of(const struct qn_gguf_value *value) {
    if (value->type == QN_GGUF_ARRAY) return array_of(value);
    if (value->type != QN_GGUF_STRING) return scalar_of(value->type, value->data);
    const uint8_t *cursor = value->data;
    const struct qn_string text = qn_gguf_next_string(&cursor);
    return qn_json_text(text.data, text.size);
}

static json_t *metadata_of(const struct qn_gguf *gguf) {
    json_t *metadata = json_object();
    for (size_t i = 0; i < qn_gguf_n_values(gguf); i++) {
        const struct qn_gguf_value *const value = qn_gguf_value_at(gguf, i);
        json_t *const key = qn_json_text(value->key.data, value->key.size);
        json_object_set_new(metadata, json_string_value(key), value_of(value));
        json_decref(key);
    }
    return metadata;
}

/* ---- tensors ---------------------------------------------------------------------------- */

static uint64_t elements_of(const struct qn_tensor *tensor) {
    return tensor->shape[0] * tensor->shape[1] * tensor->shape[2] * tensor->shape[3];
}

static json_t *tensors_of(const struct qn_checkpoint *checkpoint) {
    json_t *tensors = json_array();
    for (size_t i = 0; i < qn_checkpoint_n_tensors(checkpoint); i++) {
        const struct qn_tensor *const tensor = qn_checkpoint_tensor_at(checkpoint, i);
        json_t *shape = json_array();
        for (int d = 0; d < tensor->n_dims; d++)
            json_array_append_new(shape, json_integer((json_int_t)tensor->shape[d]));
        json_array_append_new(tensors, json_pack("{s:o, s:s, s:o, s:I}", "name",
                                                 qn_json_text(tensor->name, strlen(tensor->name)),
                                                 "type", qn_type_infos[tensor->type].name, "shape",
                                                 shape, "bytes", (json_int_t)tensor->size));
    }
    return tensors;
}

/* Of a folder: what its files hold, but nothing here computes with. */
static json_t *left_out_of(const struct qn_checkpoint *checkpoint) {
    json_t *tensors = json_array();
    for (size_t i = 0; i < qn_checkpoint_n_left_out(checkpoint); i++) {
        const char *why;
        const char *const name = qn_checkpoint_left_out_at(checkpoint, i, &why);
        json_array_append_new(
            tensors, json_pack("{s:o, s:s}", "name", qn_json_text(name, strlen(name)), "why", why));
    }
    return tensors;
}

static json_t *types_of(const struct qn_checkpoint *checkpoint) {
    struct {
        uint64_t n, elements, bytes;
    } totals[QN_TYPE_COUNT] = {{0, 0, 0}};
    for (size_t i = 0; i < qn_checkpoint_n_tensors(checkpoint); i++) {
        const struct qn_tensor *const tensor = qn_checkpoint_tensor_at(checkpoint, i);
        totals[tensor->type].n++;
        totals[tensor->type].elements += elements_of(tensor);
        totals[tensor->type].bytes += tensor->size;
    }
    json_t *types = json_object();
    for (int t = 0; t < QN_TYPE_COUNT; t++)
        if (totals[t].n > 0)
            json_object_set_new(types, qn_type_infos[t].name,
                                json_pack("{s:I, s:I, s:I}", "tensors", (json_int_t)totals[t].n,
                                          "parameters", (json_int_t)totals[t].elements, "bytes",
                                          (json_int_t)totals[t].bytes));
    return types;
}

/* ---- what the engine makes of it -------------------------------------------------------- */

static json_t *tokenizer_of(const struct qn_checkpoint *checkpoint) {
    struct qn_tokenizer *tokenizer;
    struct qn_error err;
    if (qn_vocab_read(checkpoint, INT_MAX, &tokenizer, &err) != QN_OK)
        return json_pack("{s:b, s:o}", "supported", 0, "why",
                         qn_json_text(err.message, strlen(err.message)));
    const struct qn_vocab *const vocab = qn_tokenizer_vocab(tokenizer);
    json_t *result =
        json_pack("{s:b, s:s, s:i, s:i, s:i, s:b}", "supported", 1, "kind",
                  qn_tokenizer_kind(tokenizer), "tokens", (int)vocab->n_tokens, "bos",
                  (int)vocab->bos, "eos", (int)vocab->eos, "adds_bos", (int)vocab->add_bos);
    if (vocab->model == QN_VOCAB_BPE)
        json_object_set_new(result, "pre_tokenizer",
                            qn_json_text(vocab->pre.data, vocab->pre.size));
    qn_tokenizer_free(tokenizer);
    return result;
}

/* Matrices and bytes by the type that they are packed as. */
static json_t *packed_of(const struct qn_spec *spec) {
    struct {
        size_t n, bytes;
    } totals[QN_TYPE_COUNT] = {{0, 0}};
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const weight = &spec->weights[i];
        if (!weight->tile_size) continue;
        totals[weight->packed].n += (size_t)weight->n_parts;
        totals[weight->packed].bytes += weight->part_size * (size_t)weight->n_parts;
    }
    json_t *packed = json_object();
    for (int t = 0; t < QN_TYPE_COUNT; t++)
        if (totals[t].n > 0)
            json_object_set_new(packed, qn_type_infos[t].name,
                                json_pack("{s:I, s:I}", "matrices", (json_int_t)totals[t].n,
                                          "bytes", (json_int_t)totals[t].bytes));
    return packed;
}

static json_t *engine_of(const struct forecast *forecast) {
    json_t *engine = json_pack("{s:b, s:o}", "supported", forecast->err.status == QN_OK,
                               "tokenizer", tokenizer_of(forecast->checkpoint));
    if (forecast->err.status != QN_OK) {
        json_object_set_new(engine, "why",
                            qn_json_text(forecast->err.message, strlen(forecast->err.message)));
        return engine;
    }
    const struct qn_spec *const spec = &forecast->spec;
    const struct qn_layout *const layout = &forecast->plan.layout;
    json_t *details =
        json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:i, s:I, s:I, s:I, s:I}",
                  "architecture", spec->family->name, "isa", qn_isa_name(forecast->kernels.isa),
                  "layers", spec->hparams.n_layers, "width", spec->hparams.n_embd, "heads",
                  spec->hparams.n_heads, "kv_heads", spec->hparams.n_kv_heads, "trained_context",
                  spec->hparams.n_ctx_train, "packed_weight_bytes", (json_int_t)spec->arena_size,
                  "bytes_per_decoded_token", (json_int_t)spec->decode_size, "context",
                  forecast->plan.limits.n_ctx, "kv_cache_bytes", (json_int_t)layout->kv_size,
                  "buffer_bytes", (json_int_t)layout->buffer_size, "scratch_bytes",
                  (json_int_t)(layout->scratch_size * (size_t)forecast->plan.limits.n_threads),
                  "unused_tensors", (json_int_t)spec->n_unused);
    json_object_set_new(details, "packed", packed_of(spec));
    json_object_update(engine, details);
    json_decref(details);
    return engine;
}

static json_t *report_of(const struct forecast *forecast) {
    const struct qn_checkpoint *const checkpoint = forecast->checkpoint;
    const struct qn_gguf *const gguf = qn_checkpoint_gguf(checkpoint);
    uint64_t n_params = 0;
    for (size_t i = 0; i < qn_checkpoint_n_tensors(checkpoint); i++)
        n_params += elements_of(qn_checkpoint_tensor_at(checkpoint, i));
    return json_pack(
        "{s:o, s:s, s:i, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "file",
        qn_json_text(forecast->path, strlen(forecast->path)), "format",
        qn_checkpoint_format(checkpoint), "parts", (int)qn_checkpoint_n_files(checkpoint), "bytes",
        (json_int_t)qn_checkpoint_file_size(checkpoint), "parameters", (json_int_t)n_params,
        "metadata", gguf ? metadata_of(gguf) : json_deep_copy(qn_checkpoint_config(checkpoint)),
        "tensors", tensors_of(checkpoint), "left_out", left_out_of(checkpoint), "types",
        types_of(checkpoint), "engine", engine_of(forecast));
}

/* ---- the subcommand --------------------------------------------------------------------- */

struct inspect_args {
    bool json;
};

static const struct option inspect_options[] = {
    {"--json", OPTION_FLAG, NULL, 0, 0, offsetof(struct inspect_args, json), false, true,
     "print JSON, with texts in full"},
};

static int print_report(const struct forecast *forecast, const struct inspect_args *args) {
    json_t *report = report_of(forecast);
    if (report == NULL) {
        out_error("no memory for the report");
        return EXIT_FAILED;
    }
    if (args->json) {
        json_dumpf(report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else {
        inspect_print(report);
    }
    json_decref(report);
    return EXIT_DONE;
}

int command_inspect(int argc, char **argv) {
    struct model_args model_args = {.path = NULL};
    struct session_args session_args = session_args_default();
    struct inspect_args args = {.json = false};
    const struct option_group groups[] = {
        OPTION_GROUP("Options", inspect_options, &args),
        OPTION_GROUP(NULL, context_options, &session_args),
        {NULL, thread_options, 2, &model_args}, /* no --spin: nothing waits here */
        OPTION_GROUP(NULL, cache_options, &session_args),
        {NULL, model_options, 3, &model_args}, /* -m, --isa, --quantize */
    };
    const struct positional positionals[] = {{"MODEL", &model_args.path}};
    const struct command command = {
        .name = "inspect",
        .arguments = "[options] MODEL",
        .summary = "what a file holds and what the engine makes of it",
        .description = "Prints the metadata and tensors of a GGUF file or a Hugging Face folder, "
                       "whether and how the engine runs it, and the memory that it needs. Only "
                       "headers are read; exit status 0 does not mean that the model can run.",
        .groups = groups,
        .n_groups = COUNT(groups),
        .positionals = positionals,
        .n_positionals = COUNT(positionals)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;

    struct forecast forecast;
    status = forecast_open(&model_args, &session_args, &forecast);
    if (status != EXIT_DONE) return status;
    status = print_report(&forecast, &args);
    forecast_close(&forecast);
    return status;
}
