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

/* What is taken from a template; missed: it has a message that cannot be. */
static const struct {
    const char *chat_template, *system;
    bool missed;
} templates[] = {
    {"", NULL, false},
    {"{{ 'hello' }}", NULL, false},
    /* Qwen2, SmolLM2 */
    {"{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
     "'<|im_start|>system\\nBe kind.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + "
     "message['role']}}{% endfor %}",
     "Be kind.", false},
    /* Qwen 2.5: with tools first, and there is a frame of the user's own */
    {"{%- if tools %}{{- '<|im_start|>system\\nTools.<|im_end|>' }}{%- else %}{%- if "
     "messages[0]['role'] == 'system' %}{{- '<|im_start|>system\\n' + messages[0]['content'] + "
     "'<|im_end|>\\n' }}{%- else %}{{- '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}{%- "
     "endif "
     "%}{%- endif %}",
     "You are Qwen.", false},
    {"{% if documents %}{{ '<|im_start|>system\\nRead.<|im_end|>' }}{% elif x %}{{ "
     "'<|im_start|>system\\nElse.<|im_end|>' }}{% endif %}",
     "Else.", false},
    {"{% if not tools %}{{ '<|im_start|>system\\nNone.<|im_end|>' }}{% else %}{{ "
     "'<|im_start|>system\\nSome.<|im_end|>' }}{% endif %}",
     "None.", false},
    {"{% if not tools %}{% elif x %}{% else %}{{ '<|im_start|>system\\nSome.<|im_end|>' }}{% endif "
     "%}",
     NULL, false},
    /* Qwen3: no default */
    {"{%- if tools %}{{- '<|im_start|>system\\n' }}{%- if messages[0].role == 'system' %}{{- "
     "messages[0].content }}{%- endif %}{{- '# Tools<|im_end|>' }}{%- else %}{%- if "
     "messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content }}{%- endif "
     "%}{%- endif %}",
     NULL, false},
    /* escapes, quotes and braces of the other kind */
    {"{{ '<|im_start|>system\\nDon\\'t say \"{x}\".\\nC:\\\\d<|im_end|>' }}",
     "Don't say \"{x}\".\nC:\\d", false},
    {"{{ \"<|im_start|>system\\nIt's \\\"so\\\"<|im_end|>\" }}", "It's \"so\"", false},
    {"{{ '<|im_start|>system\\n\\u0041<|im_end|>' }}", NULL, true},
    /* text between tags, comments */
    {"{% if messages[0].role != \"system\" %}<|im_start|>system\nBe \\n plain<|im_end|>\n{% endif "
     "%}",
     "Be \\n plain", false},
    {"{# '<|im_start|>system\\nNo.<|im_end|>' #}{{ '%}' }}", NULL, false},
    /* SmolLM3: always a frame, put together */
    {"{{- \"<|im_start|>system\\n\" -}}{%- if messages[0].role == \"system\" -%}x{%- endif -%}{{- "
     "\"## Metadata\\n\" + today -}}{{- \"<|im_end|>\\n\" -}}",
     NULL, true},
    {"<|im_start|>system\n{{ today }}<|im_end|>", NULL, true},
    /* cut short */
    {"{{ '<|im_start|>system\\nBe", NULL, true},
    {"{% if tools", NULL, false},
    {"{{ 'a\\", NULL, false},
    {"{", NULL, false},
};

Test(dialogue, default_system_message) {
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        bool missed = false;
        char *const system = dialogue_default_system(templates[i].chat_template, &missed);
        const char *const expected = templates[i].system;
        cr_expect((system == NULL) == (expected == NULL) &&
                      (system == NULL || strcmp(system, expected) == 0),
                  "%s: \"%s\", expected \"%s\"", templates[i].chat_template,
                  system != NULL ? system : "", expected != NULL ? expected : "");
        cr_expect_eq(missed, templates[i].missed, "%s", templates[i].chat_template);
        free(system);
    }
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
