/* SPDX-License-Identifier: Apache-2.0
 *
 * How the chat writes a conversation in tokens: as Hugging Face's tokenizers encode the whole of
 * it.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quern.h"
#include "temp_folder.h"
#include "tools/quern/dialogue.h"

#define MARK "\xE2\x96\x81" /* U+2581 */

static json_t *added_token(const char *text, int id) {
    return json_pack("{s:i, s:s, s:b, s:b}", "id", id, "content", text, "special", 1, "normalized",
                     0);
}

/* A vocabulary of single characters, whose text begins with a mark. */
static json_t *make_tokenizer(void) {
    json_t *const vocab = json_object();
    int n = 0;
    for (char c = 'a'; c <= 'z'; c++)
        json_object_set_new(vocab, (const char[]){c, '\0'}, json_integer(n++));
    json_object_set_new(vocab, "\n", json_integer(n++));
    json_object_set_new(vocab, MARK, json_integer(n++));
    return json_pack("{s:{s:s, s:o, s:[]}, s:[o, o], s:{s:s, s:s, s:s, s:b}, s:{s:s, s:s, s:s}}",
                     "model", "type", "BPE", "vocab", vocab, "merges", "added_tokens",
                     added_token("<|im_start|>", n), added_token("<|im_end|>", n + 1),
                     "pre_tokenizer", "type", "Metaspace", "replacement", MARK, "prepend_scheme",
                     "first", "split", 0, "decoder", "type", "Metaspace", "replacement", MARK,
                     "prepend_scheme", "first");
}

static struct quern_model *open_vocab(const struct temp_folder *folder) {
    json_t *const tokenizer = make_tokenizer();
    cr_assert_not_null(tokenizer);
    char *const text = json_dumps(tokenizer, 0);
    temp_folder_put_text(folder, "tokenizer.json", text);
    temp_folder_put_text(folder, "config.json", "{\"model_type\": \"llama\"}");
    free(text);
    json_decref(tokenizer);
    struct quern_model *model;
    struct quern_error err = {0};
    const struct quern_model_options options = {.vocab_only = true};
    cr_assert_eq(quern_model_open(folder->path, &options, &model, &err), QUERN_OK, "%s",
                 err.message);
    return model;
}

/* The list is the ids of the text, control tokens and all. */
static void expect_ids(const struct quern_model *model, const struct token_list *list,
                       const char *text) {
    int32_t ids[256];
    size_t n;
    struct quern_error err = {0};
    cr_assert_eq(quern_encode(model, text, strlen(text), QUERN_ENCODE_SPECIAL, ids, 256, &n, &err),
                 QUERN_OK, "%s", err.message);
    cr_expect_eq(list->n, n, "%zu ids, expected %zu", list->n, n);
    for (size_t i = 0; i < n && i < list->n; i++)
        cr_expect_eq(list->data[i], ids[i], "id %zu is %d, expected %d", i, (int)list->data[i],
                     (int)ids[i]);
}

Test(dialogue, frames_are_encoded_as_parts_of_one_text) {
    const struct temp_folder folder = temp_folder_make();
    struct quern_model *model = open_vocab(&folder);
    struct dialogue dialogue;
    struct token_list ids = {0};
    dialogue_open(model, "be kind", &dialogue);
    cr_assert(dialogue.framed);
    cr_assert(dialogue_append(&dialogue, true, "hello", 5, &ids));
    expect_ids(model, &ids,
               "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n"
               "<|im_start|>assistant\n");
    ids.n = 0;
    cr_assert(dialogue_append(&dialogue, false, "bye", 3, &ids));
    expect_ids(model, &ids, "<|im_end|>\n<|im_start|>user\nbye<|im_end|>\n<|im_start|>assistant\n");
    dialogue_close(&dialogue);
    free(ids.data);
    quern_model_close(model);
    temp_folder_remove(&folder);
}

/* Without frames, the first message starts the text and is marked; the next goes on. */
Test(dialogue, plain_text_starts_once) {
    const struct temp_folder folder = temp_folder_make();
    struct quern_model *model = open_vocab(&folder);
    struct dialogue dialogue;
    struct token_list ids = {0};
    dialogue_open(model, "", &dialogue);
    dialogue.framed = false;
    cr_assert(dialogue_append(&dialogue, true, "once", 4, &ids));
    cr_assert(dialogue_append(&dialogue, false, " more", 5, &ids));
    expect_ids(model, &ids, "once more");
    ids.n = 0;
    cr_assert(dialogue_append(&dialogue, true, "a", 1, &ids));
    cr_expect_eq(ids.n, 2, "a mark and a letter");
    ids.n = 0;
    cr_assert(dialogue_append(&dialogue, false, "a", 1, &ids));
    cr_expect_eq(ids.n, 1);
    dialogue_close(&dialogue);
    free(ids.data);
    quern_model_close(model);
    temp_folder_remove(&folder);
}
