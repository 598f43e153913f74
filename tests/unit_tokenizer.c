/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokenizers: the ids of Hugging Face's tokenizers, text back from ids, time linear in the text,
 * and vocabularies that lie.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc_meter.h"
#include "text/tokenizer.h"
#include "text/utf8.h"
#include "text_fixture.h"

static struct qn_text text_of(const char *s) {
    return (struct qn_text){s, strlen(s)};
}

static struct qn_tokenizer *make(const struct qn_vocab *vocab) {
    struct qn_tokenizer *tokenizer;
    struct qn_error err = {0};
    cr_assert_eq(qn_tokenizer_new(vocab, &tokenizer, &err), QN_OK, "%s", err.message);
    return tokenizer;
}

static struct qn_tokenizer *make_named(const char *vocabulary, const char *pre) {
    struct text_vocab vocab;
    text_vocab_read(TEST_DATA, vocabulary, &vocab);
    vocab.vocab.pre = text_of(pre);
    struct qn_tokenizer *tokenizer = make(&vocab.vocab);
    text_vocab_free(&vocab); /* the tokenizer must not need it any more */
    return tokenizer;
}

static struct qn_ids encode(const struct qn_tokenizer *tokenizer, struct qn_text text,
                            unsigned flags) {
    struct qn_ids ids = {0};
    struct qn_error err = {0};
    cr_assert_eq(qn_tokenizer_encode(tokenizer, text.data, text.size, flags, &ids, &err), QN_OK,
                 "%s", err.message);
    return ids;
}

/* ---- ids ---------------------------------------------------------------------------------- */

static const struct golden {
    const char *vocabulary, *family;
    const char *names[8]; /* names in GGUF files whose tokenizers work like the family's */
} goldens[] = {
    {"seamless", "gpt-2", {"gpt-2", "phi-2", "default", ""}},
    {"seamless", "gpt-neox", {"gpt-neox", "mpt", "olmo"}},
    {"seamless", "smollm", {"smollm", "starcoder", "refact", "codeshell"}},
    {"seamless", "command-r", {"command-r"}},
    {"seamless", "llama-bpe", {"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"}},
    {"seamless", "qwen2", {"qwen2", "deepseek-r1-qwen", "megrez", "stablelm2"}},
    {"seamless", "qwen35", {"qwen35"}},
    {"seamless", "gpt-4o", {"gpt-4o", "llama4"}},
    {"seamless", "tekken", {"tekken"}},
    {"seamless", "falcon", {"falcon"}},
    {"seamless", "deepseek-llm", {"deepseek-llm"}},
    {"seamless", "deepseek-coder", {"deepseek-coder"}},
    {"seamless", "deepseek-v3", {"deepseek-v3"}},
    {"sparse", "gpt-neox", {"gpt-neox"}},
    {"sparse", "llama-bpe", {"llama-bpe"}},
    {"words", "spm", {""}},
    {"phrases", "spm", {""}},
};

static void print_difference(const struct qn_ids *ids, const struct text_expected *expected) {
    for (size_t i = 0; i < ids->n || i < expected->n; i++) {
        fprintf(stderr, "  %4zu: %6d %6d\n", i, i < ids->n ? (int)ids->data[i] : -1,
                i < expected->n && expected->ids != NULL ? (int)expected->ids[i] : -1);
    }
}

/* Strings whose ids are not the expected ones. */
static size_t count_differences(const struct qn_tokenizer *tokenizer,
                                const struct text_strings *strings, struct text_ids *golden) {
    size_t n = 0;
    for (size_t i = 0; i < strings->n; i++) {
        struct qn_ids ids =
            encode(tokenizer, strings->strings[i], i % 2 == 1 ? QN_ENCODE_SPECIAL : 0);
        const struct text_expected expected = text_ids_next(golden);
        const bool equal =
            ids.n == expected.n &&
            (expected.ids != NULL ? memcmp(ids.data ? (void *)ids.data : "", expected.ids,
                                           ids.n * sizeof *ids.data) == 0
                                  : text_ids_hash(ids.data, ids.n) == expected.hash);
        if (!equal && n++ == 0) {
            fprintf(stderr, "string %zu \"%.*s\" (ours, expected):\n", i,
                    (int)strings->strings[i].size, strings->strings[i].data);
            print_difference(&ids, &expected);
        }
        free(expected.ids);
        qn_ids_free(&ids);
    }
    return n;
}

static void check_golden(const struct golden *golden, const struct text_strings *strings) {
    char file[64];
    snprintf(file, sizeof file, "%s.%s", golden->vocabulary, golden->family);
    for (size_t i = 0; i < 8 && golden->names[i] != NULL; i++) {
        struct qn_tokenizer *tokenizer = make_named(golden->vocabulary, golden->names[i]);
        struct text_ids ids;
        text_ids_open(TEST_DATA, file, &ids);
        const size_t n = count_differences(tokenizer, strings, &ids);
        cr_expect_eq(n, 0, "%s as \"%s\": %zu of %zu strings differ", file, golden->names[i], n,
                     strings->n);
        text_ids_close(&ids);
        qn_tokenizer_free(tokenizer);
    }
}

Test(tokenizer, ids_equal_hugging_face) {
    struct text_strings strings;
    text_strings_read(TEST_DATA, &strings);
    cr_assert_geq(strings.n, 1000);
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        check_golden(&goldens[i], &strings);
    }
    text_strings_free(&strings);
}

/* One call for all strings gives the ids of each: what was seen before in a call must not matter.
 * A control token between the strings keeps them apart. */
Test(tokenizer, repeated_words_keep_their_ids) {
    struct text_strings strings;
    text_strings_read(TEST_DATA, &strings);
    const char *const vocabularies[][2] = {{"seamless", "qwen2"}, {"words", ""}};
    for (size_t v = 0; v < 2; v++) {
        struct qn_tokenizer *tokenizer = make_named(vocabularies[v][0], vocabularies[v][1]);
        const struct qn_text border = text_of(v == 0 ? "<|im_end|>" : "</s>");
        const int32_t border_id = qn_tokenizer_find(tokenizer, border.data, border.size);
        cr_assert_geq(border_id, 0);
        char *joined = NULL;
        size_t size = 0;
        struct qn_ids expected = {0};
        FILE *stream = open_memstream(&joined, &size);
        FILE *all_ids = open_memstream((char **)&expected.data, &expected.capacity);
        for (size_t i = 0; i < strings.n; i++) {
            /* A broken character at the end of a string would swallow the border's first byte's
             * place, so only whole strings are joined. */
            const struct qn_text s = strings.strings[i];
            if (qn_utf8_valid_prefix(s.data, s.size) != s.size) continue;
            struct qn_ids ids = encode(tokenizer, s, QN_ENCODE_SPECIAL);
            fwrite(s.data, 1, s.size, stream);
            fwrite(border.data, 1, border.size, stream);
            if (ids.n > 0) fwrite(ids.data, sizeof *ids.data, ids.n, all_ids);
            fwrite(&border_id, sizeof border_id, 1, all_ids);
            expected.n += ids.n + 1;
            qn_ids_free(&ids);
        }
        fclose(stream);
        fclose(all_ids);
        struct qn_ids ids = encode(tokenizer, (struct qn_text){joined, size}, QN_ENCODE_SPECIAL);
        cr_expect_eq(ids.n, expected.n);
        cr_expect(ids.n == expected.n &&
                  memcmp(ids.data, expected.data, ids.n * sizeof *ids.data) == 0);
        qn_ids_free(&ids);
        free(expected.data);
        free(joined);
        qn_tokenizer_free(tokenizer);
    }
    text_strings_free(&strings);
}

Test(tokenizer, adds_bos_and_eos_where_asked) {
    struct text_vocab vocab;
    text_vocab_read(TEST_DATA, "words", &vocab);
    vocab.vocab.bos = 1;
    vocab.vocab.eos = 2;
    for (int bits = 0; bits < 8; bits++) {
        vocab.vocab.add_bos = bits & 1;
        vocab.vocab.add_eos = (bits & 2) != 0;
        const unsigned flags = bits & 4 ? QN_ENCODE_BOS : 0;
        struct qn_tokenizer *tokenizer = make(&vocab.vocab);
        struct qn_ids ids = encode(tokenizer, text_of("a"), flags);
        struct qn_ids plain = encode(tokenizer, text_of("a"), 0);
        const size_t bos = flags && vocab.vocab.add_bos, eos = flags && vocab.vocab.add_eos;
        cr_assert_eq(ids.n, plain.n + bos + eos);
        if (bos) cr_expect_eq(ids.data[0], 1);
        if (eos) cr_expect_eq(ids.data[ids.n - 1], 2);
        cr_expect_arr_eq(ids.data + bos, plain.data, plain.n * sizeof *plain.data);
        qn_ids_free(&ids);
        qn_ids_free(&plain);
        qn_tokenizer_free(tokenizer);
    }
    text_vocab_free(&vocab);
}

/* ---- text from ids ------------------------------------------------------------------------ */

/* What the decoder makes of ids; every part that it gives must be valid UTF-8. */
static char *decode(const struct qn_tokenizer *tokenizer, const int32_t *ids, size_t n,
                    size_t *size) {
    char *text = NULL;
    FILE *stream = open_memstream(&text, size);
    struct qn_decoder decoder = {0};
    char part[4096];
    for (size_t i = 0; i <= n; i++) {
        const size_t written =
            i < n ? qn_decoder_next(&decoder, tokenizer, ids[i], true, part, sizeof part)
                  : qn_decoder_finish(&decoder, part, sizeof part);
        cr_assert_eq(qn_utf8_valid_prefix(part, written), written);
        fwrite(part, 1, written, stream);
    }
    fclose(stream);
    return text;
}

static char *repaired(struct qn_text text, size_t *size) {
    char *out = malloc(3 * text.size + 1);
    *size = qn_utf8_repair(text.data, text.size, out);
    return out;
}

Test(tokenizer, text_comes_back) {
    struct text_strings strings;
    text_strings_read(TEST_DATA, &strings);
    const char *const vocabularies[][2] = {
        {"seamless", "gpt-2"}, {"seamless", "falcon"}, {"seamless", "deepseek-llm"}, {"words", ""}};
    for (size_t v = 0; v < sizeof vocabularies / sizeof *vocabularies; v++) {
        struct qn_tokenizer *tokenizer = make_named(vocabularies[v][0], vocabularies[v][1]);
        const bool spm = qn_tokenizer_vocab(tokenizer)->model == QN_VOCAB_SPM;
        for (size_t i = 0; i < strings.n; i++) {
            const struct qn_text s = strings.strings[i];
            /* SentencePiece cannot tell U+2581 from a space. */
            if (spm && memmem(s.data, s.size, "\xE2\x96\x81", 3) != NULL) continue;
            struct qn_ids ids = encode(tokenizer, s, 0);
            size_t size, expected_size;
            char *text = decode(tokenizer, ids.data, ids.n, &size);
            char *expected = repaired(s, &expected_size);
            /* After a user-defined token SentencePiece puts a space that stays. */
            const bool added = spm && (memmem(s.data, s.size, "<think>", 7) != NULL ||
                                       memmem(s.data, s.size, "<|im|>", 6) != NULL);
            cr_expect(added || (size == expected_size && memcmp(text, expected, size) == 0),
                      "%s: \"%.*s\"", vocabularies[v][0], (int)s.size, s.data);
            free(text);
            free(expected);
            qn_ids_free(&ids);
        }
        qn_tokenizer_free(tokenizer);
    }
    text_strings_free(&strings);
}

/* A SentencePiece vocabulary whose tokens are exactly these pieces, as user-defined ones. */
static struct qn_tokenizer *make_pieces(const struct qn_text *pieces, uint32_t n) {
    uint8_t kinds[8];
    const float scores[8] = {0};
    memset(kinds, QN_TOKEN_USER_DEFINED, sizeof kinds);
    const struct qn_vocab vocab = {.model = QN_VOCAB_SPM,
                                   .n_tokens = n,
                                   .tokens = pieces,
                                   .scores = scores,
                                   .kinds = kinds,
                                   .bos = -1,
                                   .eos = -1,
                                   .unknown = -1,
                                   .end_of_turn = -1};
    return make(&vocab);
}

Test(tokenizer, decoder_does_not_care_where_tokens_end) {
    static const char bytes[] = "a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80" /* one of each length */
                                "\xC3z\xE4\xB8z\xF0\x9F\x98z"           /* unfinished */
                                "\x80\xBF\xC0\xC1\xF5\xFF\xED\xA0\x80\xE0\x9F\xF4\x90"
                                "\xE4\xB8\xE4\xB8\xAD\xF0\x9F\xC3\xA9\xF0\x9F\x98";
    const size_t n = sizeof bytes - 1;
    size_t expected_size;
    char *expected = repaired((struct qn_text){bytes, n}, &expected_size);
    for (size_t first = 0; first <= n; first++) {
        for (size_t second = first; second <= n; second++) {
            const struct qn_text pieces[3] = {
                {bytes, first}, {bytes + first, second - first}, {bytes + second, n - second}};
            struct qn_tokenizer *tokenizer = make_pieces(pieces, 3);
            size_t size;
            char *text = decode(tokenizer, (const int32_t[]){0, 1, 2}, 3, &size);
            cr_assert(size == expected_size && memcmp(text, expected, size) == 0, "%zu %zu", first,
                      second);
            free(text);
            qn_tokenizer_free(tokenizer);
        }
    }
    free(expected);
}

Test(tokenizer, decoder_keeps_to_its_capacity) {
    const struct qn_text piece = text_of("\xFF\xFF");
    struct qn_tokenizer *tokenizer = make_pieces(&piece, 1);
    struct qn_decoder decoder = {0};
    char out[9];
    cr_expect_eq(qn_decoder_next(&decoder, tokenizer, 0, false, out, 8), 0);
    cr_expect_eq(qn_decoder_next(&decoder, tokenizer, 0, false, out, 9), 6);
    qn_tokenizer_free(tokenizer);
}

Test(tokenizer, repair_counts_maximal_subsequences) {
    static const struct {
        const char *bytes, *repaired;
    } rows[] = {
        /* Unicode 15, section 3.9, tables 3-8 to 3-11; R stands for U+FFFD. */
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", "RRRRRRRRA"},
        {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", "RRRRRRRRA"},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", "RRRRRARRB"},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "RRRRA"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size;
        char *text = repaired(text_of(rows[i].bytes), &size);
        const char *at = text;
        for (const char *c = rows[i].repaired; *c != '\0'; c++) {
            const char *expected = *c == 'R' ? QN_REPLACEMENT_UTF8 : c;
            const size_t length = *c == 'R' ? 3 : 1;
            cr_assert(at + length <= text + size && memcmp(at, expected, length) == 0);
            at += length;
        }
        cr_expect_eq(at, text + size);
        free(text);
    }
}

Test(tokenizer, pieces_hide_control_tokens) {
    struct qn_tokenizer *tokenizer = make_named("words", "");
    const int32_t bos = qn_tokenizer_find(tokenizer, "<s>", 3);
    cr_assert_geq(bos, 0);
    cr_expect_eq(qn_tokenizer_piece(tokenizer, bos, false).size, 0);
    cr_expect_eq(qn_tokenizer_piece(tokenizer, bos, true).size, 3);
    const int32_t byte = qn_tokenizer_find(tokenizer, "<0xC3>", 6);
    cr_assert_geq(byte, 0);
    const struct qn_text piece = qn_tokenizer_piece(tokenizer, byte, false);
    cr_expect(piece.size == 1 && piece.data[0] == '\xC3');
    cr_expect_eq(qn_tokenizer_find(tokenizer, "no such token", 13), -1);
    qn_tokenizer_free(tokenizer);
}

Test(tokenizer, knows_what_ends_an_answer) {
    struct text_vocab vocab;
    text_vocab_read(TEST_DATA, "seamless", &vocab);
    vocab.vocab.eos = 7;
    vocab.vocab.end_of_turn = 9;
    struct qn_tokenizer *tokenizer = make(&vocab.vocab);
    cr_expect(qn_tokenizer_is_end(tokenizer, 7));
    cr_expect(qn_tokenizer_is_end(tokenizer, 9));
    cr_expect(qn_tokenizer_is_end(tokenizer, qn_tokenizer_find(tokenizer, "<|im_end|>", 10)));
    cr_expect_not(qn_tokenizer_is_end(tokenizer, qn_tokenizer_find(tokenizer, "<|im_start|>", 12)));
    cr_expect_not(qn_tokenizer_is_end(tokenizer, 8));
    qn_tokenizer_free(tokenizer);
    text_vocab_free(&vocab);
}

/* ---- time --------------------------------------------------------------------------------- */

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The least time of three to encode `size` bytes of a pattern over and over. */
static double time_of(const struct qn_tokenizer *tokenizer, const char *pattern, size_t size) {
    char *text = malloc(size);
    for (size_t i = 0; i < size; i++) text[i] = pattern[i % strlen(pattern)];
    double least = 1e9;
    for (int repeat = 0; repeat < 3; repeat++) {
        const double start = seconds();
        struct qn_ids ids = encode(tokenizer, (struct qn_text){text, size}, QN_ENCODE_SPECIAL);
        const double taken = seconds() - start;
        if (taken < least) least = taken;
        qn_ids_free(&ids);
    }
    free(text);
    return least;
}

/* 16 times the text takes 16 times as long; sorting's logarithm makes it 16 * 17 / 13 = 21, caches
 * that overflow up to twice that. Quadratic time would be 256 times. */
enum { SMALL_TEXT = 8 << 10, TIMES_LARGER = 16, RATIO_ALLOWED = 64 };

static void check_time(const char *vocabulary, const char *pre, const char *pattern) {
    struct qn_tokenizer *tokenizer = make_named(vocabulary, pre);
    const double small = time_of(tokenizer, pattern, SMALL_TEXT);
    const double large = time_of(tokenizer, pattern, (size_t)SMALL_TEXT * TIMES_LARGER);
    cr_expect_lt(large / small, RATIO_ALLOWED, "%s \"%s\": %.1f ms, %.1f ms", pre, pattern,
                 1e3 * small, 1e3 * large);
    qn_tokenizer_free(tokenizer);
}

Test(tokenizer, time_is_linear) {
    static const char *const patterns[] = {
        "a",
        " ",
        "7",
        "\n",
        "a b ",
        " \n",
        "!",
        "'",
        "a'",
        "\xE4\xB8\xAD",
        "\xFF",
        "<|im_",
        "\t\t \xC2\xA0",
        "e\xCC\x81",
        "\xCC\x81\xCC\xA3", /* marks in the wrong order, to be sorted */
        "\xEA\xB0\x80\xE1\x86\xA8",
        "A",
    };
    static const char *const names[][2] = {
        {"seamless", "gpt-2"},
        {"seamless", "qwen2"},
        {"seamless", "deepseek-llm"},
        {"seamless", "deepseek-v3"},
        {"seamless", "gpt-4o"},
        {"seamless", "falcon"},
        {"words", ""},
        {"phrases", ""},
    };
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
            check_time(names[n][0], names[n][1], patterns[p]);
        }
    }
}

/* ---- vocabularies that lie ---------------------------------------------------------------- */

static char long_token[100000];

/* Each spoils a good vocabulary in one way. */
static void no_tokens(struct text_vocab *v) {
    v->vocab.n_tokens = 0;
}
static void bos_too_large(struct text_vocab *v) {
    v->vocab.bos = (int32_t)v->vocab.n_tokens;
}
static void eos_negative(struct text_vocab *v) {
    v->vocab.eos = -2;
}
static void unknown_too_large(struct text_vocab *v) {
    v->vocab.unknown = INT32_MAX;
}
static void turn_too_large(struct text_vocab *v) {
    v->vocab.end_of_turn = INT32_MAX;
}
static void huge_token(struct text_vocab *v) {
    v->tokens[300] = (struct qn_text){long_token, sizeof long_token};
}
static void long_special(struct text_vocab *v) {
    v->tokens[300] = (struct qn_text){long_token, 2000};
    v->kinds[300] = QN_TOKEN_CONTROL;
}
static void long_piece(struct text_vocab *v) {
    v->tokens[300] = (struct qn_text){long_token, 2000};
}
static void unknown_pre(struct text_vocab *v) {
    v->vocab.pre = text_of("gpt-3");
}
static void merge_without_space(struct text_vocab *v) {
    v->merges[3] = text_of("ab");
}
static void merge_of_three(struct text_vocab *v) {
    v->merges[3] = text_of("a b c");
}
static void empty_merge(struct text_vocab *v) {
    v->merges[3] = (struct qn_text){NULL, 0};
}
static void merge_of_nothing(struct text_vocab *v) {
    v->merges[3] = text_of(" ");
}
static void merge_unknown_left(struct text_vocab *v) {
    v->merges[3] = text_of("nosuch a");
}
static void merge_unknown_result(struct text_vocab *v) {
    v->merges[3] = text_of("! !!!!!!!!");
}
static void no_scores(struct text_vocab *v) {
    v->vocab.scores = NULL;
}
static void score_not_a_number(struct text_vocab *v) {
    v->scores[5] = 0.0f / 0.0f;
}
static void byte_sign(struct text_vocab *v) {
    v->tokens[5] = text_of("<0x-1>");
}
static void byte_small(struct text_vocab *v) {
    v->tokens[5] = text_of("<0xab>");
}
static void byte_long(struct text_vocab *v) {
    v->tokens[5] = text_of("<0x100>");
}

static const struct {
    const char *vocabulary;
    void (*spoil)(struct text_vocab *);
    enum qn_status status;
    const char *says;
} lies[] = {
    {"seamless", no_tokens, QN_BAD_FILE, "0 tokens"},
    {"seamless", bos_too_large, QN_BAD_FILE, "beginning-of-text"},
    {"seamless", eos_negative, QN_BAD_FILE, "end-of-text token has id -2"},
    {"seamless", unknown_too_large, QN_BAD_FILE, "unknown token has id 2147483647"},
    {"seamless", turn_too_large, QN_BAD_FILE, "end-of-turn"},
    {"seamless", huge_token, QN_BAD_FILE, "token 300 has 100000 bytes"},
    {"seamless", long_special, QN_BAD_FILE, "special token 300 has 2000 bytes"},
    {"seamless", unknown_pre, QN_UNSUPPORTED, "\"gpt-3\""},
    {"seamless", merge_without_space, QN_BAD_FILE, "merge 3 is \"ab\""},
    {"seamless", merge_of_three, QN_BAD_FILE, "merge 3 is \"a b c\""},
    {"seamless", empty_merge, QN_BAD_FILE, "merge 3 is \"\""},
    {"seamless", merge_of_nothing, QN_BAD_FILE, "merge 3"},
    {"seamless", merge_unknown_left, QN_BAD_FILE, "names a token that does not exist"},
    {"seamless", merge_unknown_result, QN_BAD_FILE, "names a token that does not exist"},
    {"words", no_scores, QN_BAD_FILE, "no scores"},
    {"words", score_not_a_number, QN_BAD_FILE, "score of token 5"},
    {"words", byte_sign, QN_BAD_FILE, "\"<0x-1>\""},
    {"words", byte_small, QN_BAD_FILE, "\"<0xab>\""},
    {"words", byte_long, QN_BAD_FILE, "\"<0x100>\""},
    {"words", long_piece, QN_BAD_FILE, "token 300 has 2000 bytes"},
};

Test(tokenizer, bad_vocabularies_get_a_sentence) {
    memset(long_token, 'x', sizeof long_token);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct text_vocab vocab;
        text_vocab_read(TEST_DATA, lies[i].vocabulary, &vocab);
        const struct text_vocab before = vocab;
        struct qn_text *const merges = malloc((vocab.vocab.n_merges + 1) * sizeof *merges);
        memcpy(merges, vocab.merges, vocab.vocab.n_merges * sizeof *merges);
        lies[i].spoil(&vocab);
        struct qn_tokenizer *tokenizer;
        struct qn_error err = {0};
        cr_expect_eq(qn_tokenizer_new(&vocab.vocab, &tokenizer, &err), lies[i].status,
                     "lie %zu: %s", i, err.message);
        cr_expect_null(tokenizer);
        cr_expect_not_null(strstr(err.message, lies[i].says), "lie %zu: %s", i, err.message);
        memcpy(vocab.merges, merges, before.vocab.n_merges * sizeof *merges);
        vocab.vocab = before.vocab;
        free(merges);
        text_vocab_free(&vocab);
    }
}

static void add_token(struct text_vocab *v, struct qn_text text, uint8_t kind) {
    const uint32_t id = v->vocab.n_tokens++;
    v->vocab.tokens = v->tokens = realloc(v->tokens, (id + 1) * sizeof *v->tokens);
    v->vocab.scores = v->scores = realloc(v->scores, (id + 1) * sizeof *v->scores);
    v->vocab.kinds = v->kinds = realloc(v->kinds, id + 1);
    cr_assert(v->tokens && v->scores && v->kinds);
    v->tokens[id] = text;
    v->scores[id] = 0;
    v->kinds[id] = kind;
}

/* Special tokens that would end, or start, within a character change nothing. */
Test(tokenizer, tokens_of_loose_bytes_are_not_found) {
    static const char text[] = "Stra\xC3\x9F"
                               "e \xE2\x9F\xB3 \xF0\x9F\x98\x80\xC3\x9F";
    static const char *const loose[] = {"\x9F", "\xC3", "a\xC3", "\x9F\x98", "\x80\xC3\x9F"};
    static const uint8_t kinds[] = {QN_TOKEN_USER_DEFINED, QN_TOKEN_CONTROL};
    static const char *const names[] = {"seamless", "words"};
    for (size_t n = 0; n < 2; n++) {
        struct text_vocab vocab;
        text_vocab_read(TEST_DATA, names[n], &vocab);
        struct qn_tokenizer *const without = make(&vocab.vocab);
        for (size_t i = 0; i < sizeof loose / sizeof *loose; i++)
            add_token(&vocab, text_of(loose[i]), kinds[i % 2]);
        struct qn_tokenizer *const with = make(&vocab.vocab);
        struct qn_ids expected = encode(without, text_of(text), QN_ENCODE_SPECIAL);
        struct qn_ids ids = encode(with, text_of(text), QN_ENCODE_SPECIAL);
        cr_expect(ids.n == expected.n &&
                      memcmp(ids.data, expected.data, ids.n * sizeof *ids.data) == 0,
                  "%s: %zu ids, expected %zu", names[n], ids.n, expected.n);
        qn_ids_free(&expected);
        qn_ids_free(&ids);
        qn_tokenizer_free(without);
        qn_tokenizer_free(with);
        text_vocab_free(&vocab);
    }
}

static uint32_t random_next(uint32_t *state) {
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Swaps, empties and doubles tokens and merges, and gives kinds at random. */
static void spoil_at_random(struct text_vocab *v, int n_changes, uint32_t *state) {
    for (int change = 0; change < n_changes; change++) {
        const uint32_t a = random_next(state) % v->vocab.n_tokens;
        const uint32_t b = random_next(state) % v->vocab.n_tokens;
        const uint32_t merge = v->vocab.n_merges ? random_next(state) % v->vocab.n_merges : 0;
        switch (random_next(state) % 6) {
        case 0:
            v->tokens[a] = v->tokens[b];
            break;
        case 1:
            v->tokens[a].size = 0;
            break;
        case 2:
            v->kinds[a] = (uint8_t)random_next(state);
            break;
        case 3:
            v->scores[a] = (float)(int32_t)random_next(state);
            break;
        case 4:
            v->scores[a] = v->scores[b];
            break;
        default:
            if (v->vocab.n_merges) v->merges[merge].size -= random_next(state) % 2;
        }
    }
}

Test(tokenizer, spoilt_vocabularies_do_no_harm) {
    struct text_strings strings;
    text_strings_read(TEST_DATA, &strings);
    uint32_t state = 1;
    size_t n_accepted = 0;
    const char *const names[] = {"sparse", "words", "phrases"};
    for (int round = 0; round < 300; round++) {
        struct text_vocab vocab;
        text_vocab_read(TEST_DATA, names[round % 3], &vocab);
        spoil_at_random(&vocab, 1 + round % 20, &state);
        struct qn_tokenizer *tokenizer;
        if (qn_tokenizer_new(&vocab.vocab, &tokenizer, NULL) == QN_OK) {
            n_accepted++;
            for (size_t i = 0; i < 30; i++) {
                const struct qn_text s = strings.strings[random_next(&state) % strings.n];
                struct qn_ids ids = encode(tokenizer, s, QN_ENCODE_SPECIAL);
                size_t size;
                for (size_t k = 0; k < ids.n; k++) {
                    cr_assert_lt((uint32_t)ids.data[k], vocab.vocab.n_tokens);
                }
                free(decode(tokenizer, ids.data, ids.n, &size));
                qn_ids_free(&ids);
            }
        }
        qn_tokenizer_free(tokenizer);
        text_vocab_free(&vocab);
    }
    cr_expect_gt(n_accepted, 50, "%zu", n_accepted);
    cr_expect_lt(n_accepted, 300, "%zu", n_accepted);
    text_strings_free(&strings);
}

Test(tokenizer, every_allocation_may_fail) {
    static const char text[] = "e\xCC\x81 is decomposed, \xFF is broken, <|im_end|> is special; "
                               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa is long.";
    const char *const names[] = {"seamless", "words"};
    for (size_t n = 0; n < 2; n++) {
        struct text_vocab vocab;
        text_vocab_read(TEST_DATA, names[n], &vocab);
        vocab.vocab.pre = text_of("qwen2");
        size_t k = 0;
        for (bool done = false; !done;) {
            alloc_meter_reset();
            alloc_meter_fail_at(++k, 0);
            struct qn_tokenizer *tokenizer;
            struct qn_ids ids = {0};
            enum qn_status status = qn_tokenizer_new(&vocab.vocab, &tokenizer, NULL);
            if (status == QN_OK) {
                status = qn_tokenizer_encode(tokenizer, text, sizeof text - 1, 0, &ids, NULL);
            }
            /* The cache of words is the one allocation that is done without. */
            cr_expect(status == QN_NO_MEMORY || status == QN_OK, "%zu: %d", k, (int)status);
            done = status == QN_OK && alloc_meter_calls() < k;
            qn_ids_free(&ids);
            qn_tokenizer_free(tokenizer);
            cr_expect_eq(alloc_meter_held(), 0, "call %zu", k);
        }
        alloc_meter_fail_at(0, 0);
        cr_expect_gt(k, 10);
        text_vocab_free(&vocab);
    }
}
