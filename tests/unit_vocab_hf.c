/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokenizers of Hugging Face folders: the ids and the text that Hugging Face's libraries give, for
 * every kind of folder; and what stands beside the vocabulary.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "models/model.h"
#include "models/vocab_hf.h"
#include "temp_folder.h"
#include "text_fixture.h"

static struct qn_tokenizer *read_folder(const char *folder, const json_t *config) {
    struct qn_tokenizer *tokenizer;
    struct qn_error err = {0};
    cr_assert_eq(qn_vocab_hf_read(folder, config, INT_MAX, &tokenizer, &err), QN_OK, "%s",
                 err.message);
    return tokenizer;
}

static char *decode(const struct qn_tokenizer *tokenizer, const struct qn_ids *ids, size_t *size) {
    char *text = NULL, part[4096];
    FILE *stream = open_memstream(&text, size);
    struct qn_decoder decoder = {0};
    for (size_t i = 0; i <= ids->n; i++) {
        const size_t n =
            i < ids->n ? qn_decoder_next(&decoder, tokenizer, ids->data[i], true, part, sizeof part)
                       : qn_decoder_finish(&decoder, part, sizeof part);
        fwrite(part, 1, n, stream);
    }
    fclose(stream);
    return text;
}

/* Of bytes that make no character, their decoder may make more than one U+FFFD. */
static bool same_text(const struct qn_tokenizer *tokenizer, const struct qn_ids *ids,
                      struct qn_text expected) {
    if (memmem(expected.data, expected.size, "\xEF\xBF\xBD", 3) != NULL) return true;
    size_t size;
    char *text = decode(tokenizer, ids, &size);
    const bool same = size == expected.size && memcmp(text, expected.data, size) == 0;
    if (!same) fprintf(stderr, "\"%s\" for \"%.*s\"\n", text, (int)expected.size, expected.data);
    free(text);
    return same;
}

enum { N_EXPECTED = 800, STRIDE = 2, N_DECODED = 200 }; /* as in tools/fixtures_folders.py */

static void check_kind(const char *kind) {
    char folder[512], file[64];
    snprintf(folder, sizeof folder, "%s/text/hf/%s", TEST_DATA, kind);
    snprintf(file, sizeof file, "hf/%s/expected", kind);
    struct qn_tokenizer *tokenizer = read_folder(folder, NULL);
    struct text_strings strings;
    text_strings_read(TEST_DATA, &strings);
    struct text_ids golden;
    text_ids_open(TEST_DATA, file, &golden);
    size_t n_wrong = 0, n_wrong_text = 0;
    for (size_t i = 0; i < N_EXPECTED; i += STRIDE) {
        const struct text_expected expected = text_ids_next(&golden);
        struct qn_ids ids = {0};
        struct qn_error err = {0};
        const struct qn_text s = strings.strings[i];
        cr_assert_eq(qn_tokenizer_encode(tokenizer, s.data, s.size,
                                         i % (2 * STRIDE) == 0 ? QN_ENCODE_SPECIAL : 0, &ids, &err),
                     QN_OK, "%s", err.message);
        n_wrong += ids.n != expected.n ||
                   (ids.n > 0 && memcmp(ids.data, expected.ids, ids.n * sizeof *ids.data) != 0);
        if (i < N_DECODED) n_wrong_text += !same_text(tokenizer, &ids, text_ids_blob(&golden));
        free(expected.ids);
        qn_ids_free(&ids);
    }
    cr_expect_eq(n_wrong, 0, "%s: the ids of %zu strings differ", kind, n_wrong);
    cr_expect_eq(n_wrong_text, 0, "%s: %zu texts differ", kind, n_wrong_text);
    text_ids_close(&golden);
    text_strings_free(&strings);
    qn_tokenizer_free(tokenizer);
}

#define KIND(name, folder)                                                                         \
    Test(vocab_hf, name) {                                                                         \
        check_kind(folder);                                                                        \
    }
KIND(gpt2, "gpt2")
KIND(gpt_neox, "gpt-neox")
KIND(llama3, "llama3")
KIND(qwen2, "qwen2")
KIND(olmo2, "olmo2")
KIND(smollm3, "smollm3")
KIND(starcoder2, "starcoder2")
KIND(deepseek, "deepseek")
KIND(falcon, "falcon")
KIND(tiktoken, "tiktoken")
KIND(bloom, "bloom")
KIND(behaviours, "behaviours")
KIND(llama2, "llama2")
KIND(mistral, "mistral")
KIND(phi3, "phi3")
KIND(gemma, "gemma")
KIND(unigram, "unigram")
KIND(t5, "t5")
KIND(vocab_and_merges, "opt")
KIND(sentencepiece_bpe, "model-bpe")
KIND(sentencepiece_unigram, "model-unigram")

/* ---- what stands beside a vocabulary -------------------------------------------------------- */

static void expect_around(const char *kind, const char *first, const char *last) {
    char folder[512];
    snprintf(folder, sizeof folder, "%s/text/hf/%s", TEST_DATA, kind);
    struct qn_tokenizer *tokenizer = read_folder(folder, NULL);
    struct qn_ids ids = {0};
    cr_assert_eq(qn_tokenizer_encode(tokenizer, "a", 1, QN_ENCODE_BOS, &ids, NULL), QN_OK);
    cr_assert_gt(ids.n, 0);
    const struct qn_vocab *vocab = qn_tokenizer_vocab(tokenizer);
    const struct qn_text begin = vocab->tokens[ids.data[0]],
                         end = vocab->tokens[ids.data[ids.n - 1]];
    if (first != NULL) cr_expect(memcmp(begin.data, first, strlen(first)) == 0, "%s", kind);
    if (last != NULL) cr_expect(memcmp(end.data, last, strlen(last)) == 0, "%s", kind);
    if (first == NULL && last == NULL) cr_expect_eq(ids.n, 1, "%s", kind);
    qn_ids_free(&ids);
    qn_tokenizer_free(tokenizer);
}

Test(vocab_hf, puts_tokens_around_a_text) {
    expect_around("gpt2", NULL, NULL);
    expect_around("llama3", "<|begin_of_text|>", NULL);
    expect_around("opt", "</s>", NULL);
    expect_around("model-bpe", "<s>", NULL);
    expect_around("unigram", "<s>", "</s>");
    expect_around("t5", NULL, "</s>");
}

static void expect_kind(const char *folder, const char *kind) {
    char path[512];
    snprintf(path, sizeof path, "%s/text/hf/%s", TEST_DATA, folder);
    struct qn_tokenizer *tokenizer = read_folder(path, NULL);
    cr_expect_str_eq(qn_tokenizer_kind(tokenizer), kind, "%s", folder);
    qn_tokenizer_free(tokenizer);
}

Test(vocab_hf, names_the_kind) {
    expect_kind("llama3", "byte-level BPE");
    expect_kind("model-bpe", "BPE with byte fallback");
    expect_kind("unigram", "Unigram");
    expect_kind("model-unigram", "Unigram");
}

Test(vocab_hf, every_end_of_the_config_ends_an_answer) {
    json_t *config = json_pack("{s:[i,i]}", "eos_token_id", 40, 50);
    struct qn_tokenizer *tokenizer = read_folder(TEST_DATA "/text/hf/gpt2", config);
    json_decref(config);
    cr_expect(qn_tokenizer_is_end(tokenizer, 40));
    cr_expect(qn_tokenizer_is_end(tokenizer, 50));
    cr_expect_not(qn_tokenizer_is_end(tokenizer, 41));
    qn_tokenizer_free(tokenizer);
}

Test(vocab_hf, gives_the_chat_template) {
    struct qn_tokenizer *tokenizer = read_folder(TEST_DATA "/hf/qwen2", NULL);
    const char *text = qn_tokenizer_chat_template(tokenizer);
    cr_assert(text != NULL && strstr(text, "<|im_start|>") != NULL);
    qn_tokenizer_free(tokenizer);
    tokenizer = read_folder(TEST_DATA "/text/hf/gpt2", NULL);
    cr_expect_null(qn_tokenizer_chat_template(tokenizer));
    qn_tokenizer_free(tokenizer);
}

Test(vocab_hf, an_empty_template_is_none) {
    static const char *const links[] = {"vocab.json", "merges.txt", "tokenizer.json"};
    const struct temp_folder folder = temp_folder_make();
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        char target[512];
        snprintf(target, sizeof target, TEST_DATA "/hf/gpt2/%s", links[i]);
        cr_assert_eq(symlink(target, temp_folder_path(&folder, links[i])), 0);
    }
    temp_folder_put_text(&folder, "chat_template.jinja", "");
    struct qn_tokenizer *tokenizer = read_folder(folder.path, NULL);
    cr_expect_null(qn_tokenizer_chat_template(tokenizer));
    qn_tokenizer_free(tokenizer);
    temp_folder_put_text(&folder, "tokenizer_config.json", "{\"chat_template\": \"given\"}");
    tokenizer = read_folder(folder.path, NULL);
    cr_expect_str_eq(qn_tokenizer_chat_template(tokenizer), "given");
    qn_tokenizer_free(tokenizer);
    temp_folder_remove(&folder);
}

/* ---- tokens without a row ------------------------------------------------------------------- */

#define GEMMA TEST_DATA "/hf/gemma3_text/"
enum { GEMMA_ROWS = 384 };

/* Gemma with one token more than its embedding has rows: an added one, or one of the model's. */
static struct temp_folder make_larger(bool added) {
    static const char *const links[] = {"config.json", "model.safetensors"};
    const struct temp_folder folder = temp_folder_make();
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        char target[512];
        snprintf(target, sizeof target, GEMMA "%s", links[i]);
        cr_assert_eq(symlink(target, temp_folder_path(&folder, links[i])), 0);
    }
    json_t *file = json_load_file(GEMMA "tokenizer.json", 0, NULL);
    cr_assert_not_null(file);
    if (added)
        json_array_append_new(json_object_get(file, "added_tokens"),
                              json_pack("{s:i, s:s, s:b}", "id", GEMMA_ROWS, "content",
                                        "<image_soft_token>", "special", 1));
    else
        json_object_set_new(json_object_get(json_object_get(file, "model"), "vocab"), "zz",
                            json_integer(GEMMA_ROWS));
    char *const text = json_dumps(file, 0);
    temp_folder_put_text(&folder, "tokenizer.json", text);
    free(text);
    json_decref(file);
    return folder;
}

Test(vocab_hf, added_tokens_without_a_row_are_left_out) {
    const struct qn_model_options options = {.n_threads = 1, .bundles = qn_cpu_default_bundles()};
    const struct temp_folder folder = make_larger(true);
    struct qn_model *model = NULL;
    struct qn_error err = {0};
    cr_assert_eq(qn_model_open(folder.path, &options, &model, &err), QN_OK, "%s", err.message);
    cr_expect_eq(qn_tokenizer_n_tokens(model->tokenizer), GEMMA_ROWS);
    cr_expect_eq(qn_tokenizer_find(model->tokenizer, "<image_soft_token>", 18), -1);
    qn_model_close(model);
    cr_assert_eq(qn_model_open_vocab(folder.path, &model, &err), QN_OK, "%s", err.message);
    cr_expect_eq(qn_tokenizer_find(model->tokenizer, "<image_soft_token>", 18), GEMMA_ROWS);
    qn_model_close(model);
    temp_folder_remove(&folder);
}

Test(vocab_hf, a_models_own_tokens_need_rows) {
    const struct qn_model_options options = {.n_threads = 1, .bundles = qn_cpu_default_bundles()};
    const struct temp_folder folder = make_larger(false);
    struct qn_model *model = NULL;
    struct qn_error err = {0};
    cr_expect_eq(qn_model_open(folder.path, &options, &model, &err), QN_BAD_FILE);
    cr_expect(strstr(err.message, "the embedding only 384 rows") != NULL, "%s", err.message);
    temp_folder_remove(&folder);
}

/* ---- a wrong config.json -------------------------------------------------------------------- */

Test(vocab_hf, messages_have_the_path_of_the_file) {
    static const struct {
        const char *config, *sentence;
    } cases[] = {
        {"{}", "model_type is missing"},
        {"{\"model_type\":\"gptneox\"}",
         "model_type 'gptneox'; this build runs gpt2, opt, gpt_neox, "
         "llama, mistral, mixtral, qwen2, "},
        {"{\"model_type\":\"llama\"}", "num_hidden_layers is missing"},
        {"{\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":10,\"head_dim\":3,"
         "\"num_attention_heads\":2,\"max_position_embeddings\":8}",
         "head size 3; "},
    };
    const struct qn_model_options options = {.n_threads = 1, .bundles = qn_cpu_default_bundles()};
    const struct temp_folder folder = temp_folder_make();
    cr_assert_eq(symlink(GEMMA "model.safetensors", temp_folder_path(&folder, "model.safetensors")),
                 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char sentence[512];
        struct qn_model *model;
        struct qn_error err = {0};
        temp_folder_put_text(&folder, "config.json", cases[i].config);
        snprintf(sentence, sizeof sentence, "%s/config.json: %s", folder.path, cases[i].sentence);
        cr_expect_neq(qn_model_open(folder.path, &options, &model, &err), QN_OK);
        cr_expect(strncmp(err.message, sentence, strlen(sentence)) == 0, "\"%s\" is not \"%s\"",
                  err.message, sentence);
    }
    temp_folder_remove(&folder);
}

/* ---- time ----------------------------------------------------------------------------------- */

enum { LONG_TEXT = 1 << 20 };

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Texts that make readers slow which look at the same characters again and again: 2^40 looks take
 * many minutes, while a pass over 1 MiB, however involved, takes well under a second. */
Test(vocab_hf, time_is_linear_in_the_text, .timeout = 240) {
    static const char *const kinds[] = {"gpt2", "llama2",   "mistral",    "gemma", "unigram",
                                        "t5",   "tiktoken", "behaviours", "bloom", "deepseek"};
    static const char *const parts[] = {"a",  " ",         "\n ",      "'s",
                                        "a ", "e\xCC\x81", "\xCC\x81", "\xE2\x96\x81"};
    char *text = malloc(LONG_TEXT);
    cr_assert_not_null(text);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char folder[512];
        snprintf(folder, sizeof folder, "%s/text/hf/%s", TEST_DATA, kinds[k]);
        struct qn_tokenizer *tokenizer = read_folder(folder, NULL);
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
            const size_t size = strlen(parts[p]);
            for (size_t i = 0; i < LONG_TEXT; i++) text[i] = parts[p][i % size];
            struct qn_ids ids = {0};
            struct qn_error err = {0};
            const double start = cpu_seconds();
            cr_expect_eq(qn_tokenizer_encode(tokenizer, text, LONG_TEXT, 0, &ids, &err), QN_OK,
                         "%s, \"%s\": %s", kinds[k], parts[p], err.message);
            const double taken = cpu_seconds() - start;
            cr_expect_lt(taken, 10, "%s, \"%s\": %.1f s", kinds[k], parts[p], taken);
            qn_ids_free(&ids);
        }
        qn_tokenizer_free(tokenizer);
    }
    free(text);
}
