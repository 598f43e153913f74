/* SPDX-License-Identifier: Apache-2.0
 *
 * Text for people: aligned, long texts cut, control characters shown and not sent to the terminal.
 */
#include "inspect_output.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

enum { LONGEST_TEXT = 72 };

/* Cut between characters. */
static void print_text(const char *text, size_t size) {
    const bool cut = size > LONGEST_TEXT;
    size_t n = cut ? LONGEST_TEXT : size;
    while (cut && n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) n--;
    out_text(text, n, stdout);
    if (cut) printf("... (%zu bytes)", size);
}

/* A name in a column. */
static void print_name(const char *name, int width) {
    const int printed = (int)out_text(name, strlen(name), stdout);
    printf("%*s", printed < width ? width - printed : 0, "");
}

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static long long number_of(const json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}

static double mebibytes_of(const json_t *object, const char *key) {
    return (double)number_of(object, key) / (1 << 20);
}

static void print_scalar(const json_t *value) {
    if (json_is_string(value))
        print_text(json_string_value(value), json_string_length(value));
    else if (json_is_integer(value))
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        printf("%.7g", json_real_value(value));
    else if (json_is_boolean(value))
        fputs(json_is_true(value) ? "true" : "false", stdout);
    else if (json_is_null(value))
        fputs("null", stdout);
}

static void print_array(const json_t *value) {
    const json_t *items = json_object_get(value, "values");
    const bool whole = items != NULL;
    if (!whole) items = json_object_get(value, "first");
    putchar('[');
    for (size_t i = 0; i < json_array_size(items); i++) {
        if (i > 0) fputs(", ", stdout);
        print_scalar(json_array_get(items, i));
    }
    printf(whole ? "]" : ", ...] (%lld %s)", number_of(value, "count"), text_of(value, "array_of"));
}

/* A list or object of config.json. */
static void print_json(const json_t *value) {
    char *const text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(7));
    if (text) print_text(text, strlen(text));
    free(text);
}

/* Up to a limit: one key of 60000 bytes is no reason to set the others as wide. */
static int longest_key(json_t *object) {
    enum { WIDEST = 127 };
    const char *key;
    json_t *value;
    size_t longest = 0;
    json_object_foreach(object, key, value) {
        if (strlen(key) > longest) longest = strlen(key);
    }
    return longest < WIDEST ? (int)longest : WIDEST;
}

static void print_metadata(json_t *metadata) {
    const int width = longest_key(metadata);
    const char *key;
    json_t *value;
    printf("\nMetadata:\n");
    json_object_foreach(metadata, key, value) {
        fputs("  ", stdout);
        print_name(key, width);
        fputs("  ", stdout);
        if (json_object_get(value, "array_of"))
            print_array(value);
        else if (json_is_object(value) || json_is_array(value))
            print_json(value);
        else
            print_scalar(value);
        putchar('\n');
    }
}

/* "[576 x 49152]", the contiguous dimension first, as the file has it. */
static void format_shape(const json_t *shape, char *text, size_t capacity) {
    size_t used = 0;
    for (size_t i = 0; i < json_array_size(shape) && used < capacity; i++)
        used += (size_t)snprintf(text + used, capacity - used, "%s%" JSON_INTEGER_FORMAT,
                                 i > 0 ? " x " : "", json_integer_value(json_array_get(shape, i)));
}

static int longest_name(const json_t *tensors) {
    size_t longest = 0;
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const size_t size = strlen(text_of(json_array_get(tensors, i), "name"));
        if (size > longest) longest = size;
    }
    return (int)longest;
}

static void print_tensors(const json_t *tensors) {
    const int width = longest_name(tensors);
    printf("\nTensors: %zu\n", json_array_size(tensors));
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *const tensor = json_array_get(tensors, i);
        char shape[96] = "";
        format_shape(json_object_get(tensor, "shape"), shape, sizeof shape);
        fputs("  ", stdout);
        print_name(text_of(tensor, "name"), width);
        printf("  %-6s  %-18s  %12lld\n", text_of(tensor, "type"), shape,
               number_of(tensor, "bytes"));
    }
}

static void print_left_out(const json_t *tensors) {
    const int width = longest_name(tensors);
    if (json_array_size(tensors) == 0) return;
    printf("\nLeft out, for nothing here computes with them: %zu\n", json_array_size(tensors));
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *const tensor = json_array_get(tensors, i);
        fputs("  ", stdout);
        print_name(text_of(tensor, "name"), width);
        printf("  %s\n", text_of(tensor, "why"));
    }
}

static void print_types(json_t *types) {
    if (json_object_size(types) == 0) return;
    const char *name;
    json_t *type;
    printf("\nTypes:\n  %-7s %8s %14s %12s\n", "type", "tensors", "parameters", "MiB");
    json_object_foreach(types, name, type) {
        printf("  %-7s %8lld %14lld %12.2f\n", name, number_of(type, "tensors"),
               number_of(type, "parameters"), mebibytes_of(type, "bytes"));
    }
}

static bool is_true(const json_t *object, const char *key) {
    return json_is_true(json_object_get(object, key));
}

static void print_tokenizer(const json_t *tokenizer) {
    if (!is_true(tokenizer, "supported")) {
        printf("  tokenizer         not supported: %s\n", text_of(tokenizer, "why"));
        return;
    }
    const char *const pre = text_of(tokenizer, "pre_tokenizer");
    printf("  tokenizer         %s, %lld tokens", text_of(tokenizer, "kind"),
           number_of(tokenizer, "tokens"));
    if (*pre != '\0') {
        fputs(", pre-tokenizer ", stdout);
        print_text(pre, strlen(pre));
    }
    putchar('\n');
}

static void print_engine(const json_t *engine) {
    printf("\nEngine:\n");
    const bool supported = is_true(engine, "supported");
    const char *type;
    json_t *packed;
    if (supported)
        printf("  architecture      %s, %lld layers, width %lld, %lld heads on %lld, kernels %s\n",
               text_of(engine, "architecture"), number_of(engine, "layers"),
               number_of(engine, "width"), number_of(engine, "heads"),
               number_of(engine, "kv_heads"), text_of(engine, "isa"));
    else
        printf("  cannot run it     %s\n", text_of(engine, "why"));
    print_tokenizer(json_object_get(engine, "tokenizer"));
    if (!supported) return;
    printf("  packed weights    %10.2f MiB\n", mebibytes_of(engine, "packed_weight_bytes"));
    json_object_foreach(json_object_get(engine, "packed"), type, packed) {
        printf("    %-6s          %10.2f MiB in %lld matri%s\n", type,
               mebibytes_of(packed, "bytes"), number_of(packed, "matrices"),
               number_of(packed, "matrices") == 1 ? "x" : "ces");
    }
    printf("  KV cache          %10.2f MiB for %lld positions\n",
           mebibytes_of(engine, "kv_cache_bytes"), number_of(engine, "context"));
    printf("  work buffers      %10.2f MiB\n", mebibytes_of(engine, "buffer_bytes"));
    printf("  scratch           %10.2f MiB of all threads\n",
           mebibytes_of(engine, "scratch_bytes"));
    printf("  read per token    %10.2f MiB of weights when decoding\n",
           mebibytes_of(engine, "bytes_per_decoded_token"));
    if (number_of(engine, "unused_tensors") > 0)
        printf("  unused tensors    %lld\n", number_of(engine, "unused_tensors"));
}

void inspect_print(const json_t *report) {
    const long long parts = number_of(report, "parts");
    printf("File: %s\n", text_of(report, "file"));
    printf("Format: %s", text_of(report, "format"));
    if (parts > 1) printf(", %lld parts", parts);
    printf(", %.2f MiB, %lld parameters\n", mebibytes_of(report, "bytes"),
           number_of(report, "parameters"));
    print_metadata(json_object_get(report, "metadata"));
    print_tensors(json_object_get(report, "tensors"));
    print_left_out(json_object_get(report, "left_out"));
    print_types(json_object_get(report, "types"));
    print_engine(json_object_get(report, "engine"));
}
