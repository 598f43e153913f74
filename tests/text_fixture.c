/* SPDX-License-Identifier: Apache-2.0 */
#include "text_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_FULL = 400 }; /* strings whose ids are stored in full, as in tools/fixtures_text.py */

static void die(const char *what, const char *path) {
    fprintf(stderr, "%s: %s\n", what, path);
    exit(1);
}

static char *read_file(const char *folder, const char *name, size_t *size) {
    char path[512];
    snprintf(path, sizeof path, "%s/text/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) die("cannot open", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*size + 1);
    if (data == NULL || fread(data, 1, *size, file) != *size) die("cannot read", path);
    fclose(file);
    return data;
}

static size_t varint(const char **at) {
    size_t value = 0;
    for (int shift = 0;; shift += 7) {
        const unsigned char byte = (unsigned char)*(*at)++;
        value |= (size_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return value;
    }
}

static struct qn_text blob(const char **at) {
    const size_t size = varint(at);
    const struct qn_text text = {*at, size};
    *at += size;
    return text;
}

void text_strings_read(const char *folder, struct text_strings *strings) {
    size_t size;
    strings->file = read_file(folder, "strings.bin", &size);
    const char *at = strings->file;
    strings->n = varint(&at);
    strings->strings = malloc(strings->n * sizeof *strings->strings);
    if (strings->strings == NULL) die("no memory", folder);
    for (size_t i = 0; i < strings->n; i++) strings->strings[i] = blob(&at);
}

void text_strings_free(struct text_strings *strings) {
    free(strings->strings);
    free(strings->file);
}

/* Writes merges as a GGUF file has them: "left right". */
static void read_merges(struct text_vocab *vocab, const char **at) {
    const size_t n = varint(at);
    vocab->vocab.n_merges = (uint32_t)n;
    vocab->merges = malloc((n + 1) * sizeof *vocab->merges);
    if (vocab->merges == NULL) die("no memory", "merges");
    for (size_t i = 0; i < n; i++) {
        const struct qn_text left = vocab->tokens[varint(at)], right = vocab->tokens[varint(at)];
        char *text = malloc(left.size + right.size + 1);
        if (text == NULL) die("no memory", "merges");
        memcpy(text, left.data, left.size);
        text[left.size] = ' ';
        memcpy(text + left.size + 1, right.data, right.size);
        vocab->merges[i] = (struct qn_text){text, left.size + right.size + 1};
    }
    vocab->vocab.merges = vocab->merges;
}

void text_vocab_read(const char *folder, const char *name, struct text_vocab *vocab) {
    char file[64];
    size_t size;
    snprintf(file, sizeof file, "%s.vocab", name);
    *vocab = (struct text_vocab){.file = read_file(folder, file, &size)};
    const char *at = vocab->file;
    struct qn_vocab *v = &vocab->vocab;
    v->model = *at++ ? QN_VOCAB_SPM : QN_VOCAB_BPE;
    v->unknown = (int32_t)varint(&at) - 1;
    v->n_tokens = (uint32_t)varint(&at);
    v->bos = v->eos = v->end_of_turn = -1;
    v->add_space_prefix = v->model == QN_VOCAB_SPM;
    v->pre = (struct qn_text){"gpt-2", 5};
    v->tokens = vocab->tokens = malloc(v->n_tokens * sizeof *vocab->tokens);
    v->scores = vocab->scores = calloc(v->n_tokens, sizeof *vocab->scores);
    v->kinds = vocab->kinds = malloc(v->n_tokens);
    if (vocab->tokens == NULL || vocab->scores == NULL || vocab->kinds == NULL) {
        die("no memory", file);
    }
    for (uint32_t id = 0; id < v->n_tokens; id++) {
        vocab->kinds[id] = (uint8_t)*at++;
        vocab->tokens[id] = blob(&at);
        if (v->model == QN_VOCAB_SPM) {
            memcpy(&vocab->scores[id], at, sizeof(float));
            at += sizeof(float);
        }
    }
    read_merges(vocab, &at);
}

void text_vocab_free(struct text_vocab *vocab) {
    for (uint32_t i = 0; i < vocab->vocab.n_merges; i++) {
        free((char *)(uintptr_t)vocab->merges[i].data);
    }
    free(vocab->merges);
    free(vocab->tokens);
    free(vocab->scores);
    free(vocab->kinds);
    free(vocab->file);
}

void text_ids_open(const char *folder, const char *name, struct text_ids *ids) {
    char file[64];
    size_t size;
    snprintf(file, sizeof file, "%s.ids", name);
    ids->file = read_file(folder, file, &size);
    ids->at = ids->file;
    ids->end = ids->file + size;
    ids->n_read = 0;
}

void text_ids_close(struct text_ids *ids) {
    if (ids->at != ids->end) die("ids are left over", "*.ids");
    free(ids->file);
}

struct text_expected text_ids_next(struct text_ids *ids) {
    struct text_expected expected = {.n = varint(&ids->at)};
    if (ids->n_read++ < N_FULL) {
        expected.ids = malloc((expected.n + 1) * sizeof *expected.ids);
        if (expected.ids == NULL) die("no memory", "ids");
        for (size_t i = 0; i < expected.n; i++) expected.ids[i] = (int32_t)varint(&ids->at);
    } else {
        memcpy(&expected.hash, ids->at, sizeof expected.hash);
        ids->at += sizeof expected.hash;
    }
    return expected;
}

struct qn_text text_ids_blob(struct text_ids *ids) {
    return blob(&ids->at);
}

uint32_t text_ids_hash(const int32_t *ids, size_t n) {
    uint32_t hash = 0x811C9DC5;
    for (size_t i = 0; i < n; i++) {
        for (int shift = 0; shift < 32; shift += 8) {
            hash = (hash ^ ((uint32_t)ids[i] >> shift & 0xFF)) * 0x01000193;
        }
    }
    return hash;
}
