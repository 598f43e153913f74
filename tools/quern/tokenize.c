/* SPDX-License-Identifier: Apache-2.0
 *
 * quern tokenize: text on standard input to ids on standard output, and back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "input.h"
#include "loader.h"
#include "output.h"
#include "run/access.h"
#include "token_text.h"

struct tokenize_args {
    bool bos, parse_special, decode;
};

static const struct option tokenize_options[] = {
    {"--no-bos", OPTION_FLAG, NULL, 0, 0, offsetof(struct tokenize_args, bos), true, true,
     "do not add the tokens that open (or close) a text where the model asks for them"},
    {"--no-parse-special", OPTION_FLAG, NULL, 0, 0, offsetof(struct tokenize_args, parse_special),
     true, true, "take control tokens that are written in the text for plain text"},
    {"--decode", OPTION_FLAG, NULL, 0, 0, offsetof(struct tokenize_args, decode), false, true,
     "read ids, separated by spaces, commas or newlines, and write their text"},
};

/* Millions of ids: formatted by hand into a block at a time. */
static void print_ids(const struct token_list *ids) {
    enum { BLOCK = 1 << 15, LONGEST = 12 };
    char block[BLOCK];
    size_t used = 0;
    for (size_t i = 0; i < ids->n; i++) {
        if (used + LONGEST > BLOCK) {
            fwrite(block, 1, used, stdout);
            used = 0;
        }
        if (i > 0) block[used++] = ' ';
        char digits[LONGEST];
        int n = 0;
        uint32_t rest = (uint32_t)ids->data[i];
        do digits[n++] = (char)('0' + rest % 10);
        while ((rest /= 10) > 0);
        while (n > 0) block[used++] = digits[--n];
    }
    fwrite(block, 1, used, stdout);
    putchar('\n');
}

static unsigned encode_flags(const struct tokenize_args *args) {
    return (args->bos ? QUERN_ENCODE_BOS : 0) | (args->parse_special ? QUERN_ENCODE_SPECIAL : 0);
}

static bool encode(const struct quern_model *model, const struct tokenize_args *args,
                   const struct bytes *text) {
    struct token_list ids = {.data = NULL};
    const bool done = input_encode(model, text->data, text->size, encode_flags(args), &ids);
    if (done) print_ids(&ids);
    free(ids.data);
    return done;
}

static bool same(const int32_t *a, const int32_t *b, size_t n) {
    return n == 0 || memcmp(a, b, n * sizeof *a) == 0;
}

/* What encoding with the same options added, decoding takes away: of ids [*first, *end) those that
 * an empty text has before and behind it. */
static bool find_text(struct quern_model *model, const struct token_list *ids, size_t *first,
                      size_t *end) {
    struct token_list around = {.data = NULL};
    if (!input_encode(model, "", 0, QUERN_ENCODE_BOS, &around)) return false;
    const size_t before = qn_tokenizer_n_prefix(qn_model_of(model)->tokenizer);
    const size_t behind = around.n - before;
    if (*end - *first >= before && same(ids->data + *first, around.data, before)) *first += before;
    if (*end - *first >= behind && same(ids->data + *end - behind, around.data + before, behind))
        *end -= behind;
    free(around.data);
    return true;
}

static bool decode(struct quern_model *model, const struct tokenize_args *args,
                   const struct bytes *text) {
    struct token_list ids;
    if (!input_parse_ids(text->data, text->size, "standard input", &ids)) return false;
    struct quern_model_info info;
    quern_model_info(model, &info);
    size_t first = 0, end = ids.n;
    bool done = input_check_ids(&ids, info.n_vocab);
    if (done && args->bos) done = find_text(model, &ids, &first, &end);
    struct token_text out = {.n = 0};
    for (size_t i = first; done && i <= end; i++) {
        const int32_t id = i < end ? ids.data[i] : -1;
        done = token_text_next(&out, model, id, args->parse_special);
        if (done) fwrite(out.data, 1, out.n, stdout);
    }
    free(out.data);
    free(ids.data);
    return done;
}

int command_tokenize(int argc, char **argv) {
    struct model_args model_args = {.path = NULL};
    struct tokenize_args args = {.bos = true, .parse_special = true};
    const struct option_group groups[] = {
        OPTION_GROUP("Options", tokenize_options, &args),
        {"Model", model_options, 1, &model_args}, /* no weights: only -m has a meaning */
    };
    const struct positional positionals[] = {{"MODEL", &model_args.path}};
    const struct command command = {
        .name = "tokenize",
        .arguments = "[options] MODEL < TEXT",
        .summary = "text to token ids, and back",
        .description = "Reads text on standard input and writes its token ids on one line, with "
                       "spaces between. MODEL may hold a vocabulary alone. Whatever the bytes, "
                       "nothing is refused: invalid UTF-8 counts as U+FFFD.\n"
                       "With --decode, ids become text again: the same options give back the "
                       "text that was encoded, but for what a vocabulary does not keep, as case, "
                       "blanks or characters that it has no tokens for.",
        .groups = groups,
        .n_groups = COUNT(groups),
        .positionals = positionals,
        .n_positionals = COUNT(positionals)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;

    struct quern_model *model;
    const int opened = loader_open(&model_args, true, &model);
    if (opened != EXIT_DONE) return opened;
    struct bytes text;
    bool done = input_read("-", &text);
    if (done) {
        done = args.decode ? decode(model, &args, &text) : encode(model, &args, &text);
        free(text.data);
    }
    quern_model_close(model);
    return done ? EXIT_DONE : EXIT_FAILED;
}
