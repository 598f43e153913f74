/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokenizer files that lie: each gives one sentence that names what is wrong, and none does harm.
 */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc_meter.h"
#include "models/vocab_hf.h"

static char folder[64];

static void make_folder(void) {
    strcpy(folder, "/tmp/quern_vocab_XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void path_of(const char *name, char path[128]) {
    snprintf(path, 128, "%s/%s", folder, name);
}

static void write_file(const char *name, const void *data, size_t size) {
    char path[128];
    path_of(name, path);
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(data, 1, size, file), size);
    fclose(file);
}

static void remove_folder(void) {
    static const char *const names[] = {"tokenizer.json", "vocab.json", "merges.txt",
                                        "tokenizer.model", "tokenizer_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        path_of(names[i], path);
        unlink(path);
    }
    rmdir(folder);
}

static void expect_refusal(enum qn_status expected, const char *sentence) {
    struct qn_tokenizer *tokenizer = NULL;
    struct qn_error err = {0};
    const enum qn_status status = qn_vocab_hf_read(folder, NULL, INT_MAX, &tokenizer, &err);
    cr_expect_eq(status, expected, "status %d with \"%s\", expected \"%s\"", (int)status,
                 err.message, sentence);
    cr_expect(strstr(err.message, sentence) != NULL, "\"%s\" does not say \"%s\"", err.message,
              sentence);
    cr_expect_null(tokenizer);
    qn_tokenizer_free(tokenizer);
}

TestSuite(vocab_bad, .init = make_folder, .fini = remove_folder);

/* ---- tokenizer.json ------------------------------------------------------------------------- */

/* Members of a tokenizer.json that works; each test replaces one. */
#define VOCAB   "{\"a\":0,\"b\":1,\"ab\":2,\"<0x41>\":3,\"<s>\":4}"
#define MODEL   "{\"type\":\"BPE\",\"vocab\":" VOCAB ",\"merges\":[\"a b\"]}"
#define DECODER "{\"type\":\"ByteLevel\"}"
#define LEVEL   "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"

#define LEVEL_WHOLE "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}"

struct parts {
    const char *model, *added, *normalizer, *splitter, *processor, *decoder;
};

static void write_json(struct parts parts) {
    char *text = NULL;
    const char *const model = parts.model ? parts.model : MODEL;
    const char *const nothing = "null";
    const int size = asprintf(
        &text,
        "{\"model\":%s,\"added_tokens\":%s,\"normalizer\":%s,\"pre_tokenizer\":%s,"
        "\"post_processor\":%s,\"decoder\":%s}",
        model, parts.added ? parts.added : "[]", parts.normalizer ? parts.normalizer : nothing,
        parts.splitter ? parts.splitter : LEVEL, parts.processor ? parts.processor : nothing,
        parts.decoder ? parts.decoder : DECODER);
    cr_assert_gt(size, 0);
    write_file("tokenizer.json", text, (size_t)size);
    free(text);
}

Test(vocab_bad, json_that_works_is_read) {
    write_json((struct parts){0});
    struct qn_tokenizer *tokenizer = NULL;
    struct qn_error err = {0};
    cr_assert_eq(qn_vocab_hf_read(folder, NULL, INT_MAX, &tokenizer, &err), QN_OK, "%s",
                 err.message);
    struct qn_ids ids = {0};
    cr_assert_eq(qn_tokenizer_encode(tokenizer, "aab", 3, 0, &ids, NULL), QN_OK);
    cr_expect(ids.n == 2 && ids.data[0] == 0 && ids.data[1] == 2);
    qn_ids_free(&ids);
    qn_tokenizer_free(tokenizer);
}

#define BPE(vocab, merges) "{\"type\":\"BPE\",\"vocab\":" vocab ",\"merges\":" merges "}"

static const struct bad_json {
    struct parts parts;
    enum qn_status status;
    const char *sentence;
} bad_json[] = {
    {{.model = "[]"}, QN_BAD_FILE, "model is not an object"},
    {{.model = "{\"type\":\"WordPiece\",\"vocab\":{}}"}, QN_UNSUPPORTED, "model 'WordPiece'"},
    {{.model = BPE("[]", "[]")}, QN_BAD_FILE, "model.vocab is not an object"},
    {{.model = BPE("{\"a\":\"b\"}", "[]")}, QN_BAD_FILE, "no integer"},
    {{.model = BPE("{\"a\":-1}", "[]")}, QN_BAD_FILE, "has id -1"},
    {{.model = BPE("{\"a\":4000000}", "[]")}, QN_BAD_FILE, "has id 4000000"},
    {{.model = BPE("{\"a\":1e99}", "[]")}, QN_BAD_FILE, "no integer"},
    {{.model = BPE("{\"a\":99999999999999999999}", "[]")}, QN_BAD_FILE, "tokenizer.json"},
    {{.model = BPE("{\"a\":0,\"b\":0}", "[]")}, QN_BAD_FILE, "both have id 0"},
    {{.model = BPE("{\"a\":0,\"a\":1}", "[]")}, QN_BAD_FILE, "duplicate"},
    {{.model = BPE("{}", "[]")}, QN_BAD_FILE, "0 tokens"},
    {{.model = BPE("{\"a\":0}", "{}")}, QN_BAD_FILE, "model.merges is not an array"},
    {{.model = BPE("{\"a\":0}", "[\"a\"]")}, QN_BAD_FILE, "expected two tokens"},
    {{.model = BPE("{\"a\":0}", "[\"a a a\"]")}, QN_BAD_FILE, "expected two tokens"},
    {{.model = BPE("{\"a\":0}", "[[\"a\"]]")}, QN_BAD_FILE, "expected two tokens"},
    {{.model = BPE("{\"a\":0}", "[7]")}, QN_BAD_FILE, "expected two tokens"},
    {{.model = BPE("{\"a\":0}", "[[\"a\",\"a\"]]")}, QN_BAD_FILE, "does not exist"},
    {{.model = BPE("{\"a\":0,\"aa\":1}", "[[\"a\",\"c\"]]")}, QN_BAD_FILE, "does not exist"},
    {{.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.5}"},
     QN_UNSUPPORTED,
     "dropout"},
    {{.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"?\"}"},
     QN_BAD_FILE,
     "unk_token"},
    {{.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"end_of_word_suffix\":\"_\"}"},
     QN_UNSUPPORTED,
     "end_of_word_suffix"},
    {{.model = "{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}"}, QN_BAD_FILE, "model.vocab[0]"},
    {{.model = "{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]],\"unk_id\":1}"}, QN_BAD_FILE, "unk_id"},
    {{.added = "{}"}, QN_BAD_FILE, "added_tokens"},
    {{.added = "[{}]"}, QN_BAD_FILE, "no id"},
    {{.added = "[{\"id\":9}]"}, QN_BAD_FILE, "no content"},
    {{.added = "[{\"id\":1,\"content\":\"x\"}]"}, QN_BAD_FILE, "both have id 1"},
    {{.added = "[{\"id\":9,\"content\":\"x\",\"special\":3}]"}, QN_BAD_FILE, "special"},
    {{.normalizer = "{}"}, QN_BAD_FILE, "normalizer has no type"},
    {{.normalizer = "{\"type\":\"Nmt\"}"}, QN_UNSUPPORTED, "normalizer 'Nmt'"},
    {{.normalizer = "{\"type\":\"Sequence\"}"}, QN_BAD_FILE, "list of normalizers"},
    {{.normalizer = "{\"type\":\"Replace\",\"content\":\"\"}"}, QN_BAD_FILE, "pattern"},
    {{.normalizer = "{\"type\":\"Prepend\"}"}, QN_BAD_FILE, "'prepend'"},
    {{.normalizer = "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"!\"}"},
     QN_BAD_FILE,
     "base64"},
    {{.normalizer = "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}"},
     QN_BAD_FILE,
     "character map"},
    {{.splitter = "{\"type\":\"UnicodeScripts\"}"}, QN_UNSUPPORTED, "'UnicodeScripts'"},
    {{.splitter = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"}}"},
     QN_UNSUPPORTED,
     "cannot be compiled"},
    {{.splitter = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a&&b]\"}}"},
     QN_UNSUPPORTED,
     "intersection"},
    {{.splitter = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a[^b]]\"}}"},
     QN_UNSUPPORTED,
     "negated class"},
    {{.splitter = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\\"}}"},
     QN_UNSUPPORTED,
     "backslash"},
    {{.splitter = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\s(\"}}"},
     QN_UNSUPPORTED,
     "the pattern \"\\s(\" cannot"},
    {{.splitter = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a{1001}\"}}"},
     QN_UNSUPPORTED,
     "a repetition so long"},
    {{.splitter = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?<=a{600}b{600})c\"}}"},
     QN_UNSUPPORTED,
     "a look-behind so long"},
    {{.splitter = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?P<n>a+)(?P=n)\"}}"},
     QN_UNSUPPORTED,
     "Python"},
    {{.splitter = "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"x\"}"},
     QN_UNSUPPORTED,
     "behavior 'x'"},
    {{.splitter = "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"x\"}"},
     QN_UNSUPPORTED,
     "prepend_scheme 'x'"},
    {{.splitter = "{\"type\":\"Metaspace\",\"replacement\":\"__\"}"},
     QN_BAD_FILE,
     "not one character"},
    {{.splitter = "{\"type\":\"Metaspace\",\"replacement\":\"\"}"},
     QN_BAD_FILE,
     "not one character"},
    {{.decoder = "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581 \"}"},
     QN_BAD_FILE,
     "not one character"},
    {{.processor = "{\"type\":\"X\"}"}, QN_UNSUPPORTED, "post_processor 'X'"},
    {{.processor = "{\"type\":\"TemplateProcessing\",\"single\":[]}"}, QN_BAD_FILE, "no place"},
    {{.processor =
          "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}],"
          "\"special_tokens\":{\"x\":{\"ids\":[77]}}}"},
     QN_BAD_FILE,
     "no token's"},
    {{.processor =
          "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\"}}]}"},
     QN_BAD_FILE,
     "without ids"},
    {{.decoder = "null"}, QN_UNSUPPORTED, "no decoder"},
    {{.decoder = "{\"type\":\"WordPiece\"}"}, QN_UNSUPPORTED, "decoder 'WordPiece'"},
    {{.decoder = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"bb\"}"},
     QN_UNSUPPORTED,
     "longer"},
};

Test(vocab_bad, json_that_lies_is_refused) {
    for (size_t i = 0; i < sizeof bad_json / sizeof *bad_json; i++) {
        write_json(bad_json[i].parts);
        expect_refusal(bad_json[i].status, bad_json[i].sentence);
    }
    write_json((struct parts){.processor = "{\"type\":\"X\"}"});
    char sentence[128];
    path_of("tokenizer.json: post_processor 'X'", sentence);
    expect_refusal(QN_UNSUPPORTED, sentence);
    write_file("tokenizer.json", "{", 1);
    expect_refusal(QN_BAD_FILE, "tokenizer.json");
    write_file("tokenizer.json", "[]", 2);
    expect_refusal(QN_BAD_FILE, "expected a JSON object");
}

/* Sequences within sequences. */
Test(vocab_bad, json_that_nests_deeply_is_refused) {
    enum { DEPTH = 500 };
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    for (int i = 0; i < DEPTH; i++) fputs("{\"type\":\"Sequence\",\"normalizers\":[", stream);
    fputs("{\"type\":\"NFC\"}", stream);
    for (int i = 0; i < DEPTH; i++) fputs("]}", stream);
    fclose(stream);
    write_json((struct parts){.normalizer = text});
    free(text);
    expect_refusal(QN_BAD_FILE, "Sequence");
}

/* ---- patterns that take time and memory ----------------------------------------------------- */

/* Encodes text[size] of 'a' and an `end` with a tokenizer that splits at the pattern. */
static enum qn_status split_at(const char *pattern, size_t size, char end, struct qn_error *err) {
    char *splitter = NULL;
    cr_assert_gt(
        asprintf(&splitter, "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"%s\"}}", pattern), 0);
    write_json((struct parts){.splitter = splitter, .model = BPE("{\"a\":0,\"b\":1}", "[]")});
    free(splitter);
    struct qn_tokenizer *tokenizer = NULL;
    cr_assert_eq(qn_vocab_hf_read(folder, NULL, INT_MAX, &tokenizer, err), QN_OK, "%s",
                 err->message);
    char *const text = malloc(size);
    memset(text, 'a', size);
    text[size - 1] = end;
    struct qn_ids ids = {0};
    const enum qn_status status = qn_tokenizer_encode(tokenizer, text, size, 0, &ids, err);
    free(text);
    qn_ids_free(&ids);
    qn_tokenizer_free(tokenizer);
    return status;
}

/* Backtracking, runs that look at the same text from each of its places, within a match and by
 * matches that all succeed. Steps are counted, so time is bounded whatever the machine. */
Test(vocab_bad, pattern_without_end_is_stopped, .timeout = 60) {
    static const struct {
        const char *pattern;
        size_t size;
    } patterns[] = {{"(a+)+$", 4096},
                    {"(a|aa)+[cd]", 16000},
                    {"a+[cd]", 100000},
                    {"a*a*a*a*[cd]", 4096},
                    {"a(?=[^c]*c|)", 100000},
                    {"a(?=[^c]*[^c]*c|)", 16000},
                    {"\\\\Aa(?=.*.*c|)", 16000},
                    {"[^c]*[^c]*[^c]*[cd]", 16000}};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct qn_error err = {0};
        cr_expect_eq(split_at(patterns[i].pattern, patterns[i].size, 'b', &err), QN_UNSUPPORTED,
                     "%s", patterns[i].pattern);
        cr_expect(strstr(err.message, "takes too long") != NULL, "%s: %s", patterns[i].pattern,
                  err.message);
    }
}

/* What takes long, but not for ever, is done. */
Test(vocab_bad, pattern_that_ends_is_not_stopped, .timeout = 60) {
    static const char *const patterns[] = {"a+[cd]", "a(?=[^c]*c|)", "a|(?<=ab)b", "a{2,1000}|.",
                                           "a{1000}"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct qn_error err = {0};
        cr_expect_eq(split_at(patterns[i], 5000, 'b', &err), QN_OK, "%s: %s", patterns[i],
                     err.message);
    }
}

/* The braces of a code point are no repetition's, neither a long one's nor a possessive one's. */
Test(vocab_bad, pattern_with_code_points_is_read) {
    static const char *const patterns[] = {"\\\\x{2028}|\\\\x{300}+", "\\\\x{61}+|\\\\x{62}",
                                           "[\\\\x{2028}a]+|b"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct qn_error err = {0};
        cr_expect_eq(split_at(patterns[i], 100, 'b', &err), QN_OK, "%s: %s", patterns[i],
                     err.message);
    }
}

/* A thousand groups make each step back cost 16 KB. */
Test(vocab_bad, pattern_takes_a_bounded_memory, .timeout = 60) {
    char pattern[4096] = "";
    for (int i = 0; i < 1000; i++) memcpy(pattern + 2 * i, "()", 2);
    strcpy(pattern + 2000, "(?:(a)|b(?=.))*[cd]");
    struct qn_error err = {0};
    cr_expect_eq(split_at(pattern, 100000, 'b', &err), QN_UNSUPPORTED);
    cr_expect(strstr(err.message, "MiB of memory") != NULL, "%s", err.message);
}

Test(vocab_bad, pattern_that_calls_itself_is_named) {
    struct qn_error err = {0};
    cr_expect_eq(split_at("(?R)?a(?R)", 100, 'b', &err), QN_UNSUPPORTED);
    cr_expect(strstr(err.message, "calls itself") != NULL, "%s", err.message);
}

/* ---- steps that write much ------------------------------------------------------------------ */

/* Joins n copies of a component into a Sequence. */
static char *sequence_of(const char *list, const char *component, int n) {
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    fprintf(stream, "{\"type\":\"Sequence\",\"%s\":[", list);
    for (int i = 0; i < n; i++) fprintf(stream, "%s%s", i > 0 ? "," : "", component);
    fputs("]}", stream);
    fclose(stream);
    return text;
}

static void expect_too_much(const struct qn_tokenizer *tokenizer, const char *text) {
    struct qn_ids ids = {0};
    struct qn_error err = {0};
    alloc_meter_reset();
    cr_expect_eq(qn_tokenizer_encode(tokenizer, text, strlen(text), 0, &ids, &err), QN_UNSUPPORTED,
                 "%s gives %zu ids", text, ids.n);
    cr_expect(strstr(err.message, "too much of a text") != NULL, "%s", err.message);
    cr_expect_lt(alloc_meter_peak(), 1 << 20);
    qn_ids_free(&ids);
}

/* Sixteen steps make 64 a's of each a, or two bytes of each; and a text may be cut into stretches
 * first, each of which starts anew. */
Test(vocab_bad, steps_write_a_bounded_text) {
    static const char replace[] =
        "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aaaaaaaa\"}";
    char *const replaces = sequence_of("normalizers", replace, 16);
    char *const levels = sequence_of("pretokenizers", LEVEL_WHOLE, 16);
    static const char bang[] = "[{\"id\":5,\"content\":\"!\",\"normalized\":false}]";
    struct qn_tokenizer *tokenizer = NULL;
    struct qn_error err = {0};
    write_json((struct parts){.normalizer = replaces, .added = bang});
    cr_assert_eq(qn_vocab_hf_read(folder, NULL, INT_MAX, &tokenizer, &err), QN_OK, "%s",
                 err.message);
    expect_too_much(tokenizer, "a");
    expect_too_much(tokenizer, "b!b!b!a");
    qn_tokenizer_free(tokenizer);
    write_json((struct parts){.splitter = levels, .model = BPE("{\"a\":0}", "[]")});
    cr_assert_eq(qn_vocab_hf_read(folder, NULL, INT_MAX, &tokenizer, &err), QN_OK, "%s",
                 err.message);
    expect_too_much(tokenizer, "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9");
    qn_tokenizer_free(tokenizer);
    write_json((struct parts){.normalizer = replaces,
                              .added = "[{\"id\":5,\"content\":\"a!\",\"normalized\":true}]"});
    expect_refusal(QN_UNSUPPORTED, "too much of a text");
    free(replaces);
    free(levels);
}

/* A replacement of 4 KB, once in each stretch. */
Test(vocab_bad, stretches_share_their_room) {
    enum { LONG = 4096, STRETCHES = 400 };
    char *const replace = malloc(LONG + 200), text[2 * STRETCHES + 1];
    strcpy(replace, "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"");
    const size_t start = strlen(replace);
    memset(replace + start, 'b', LONG);
    strcpy(replace + start + LONG, "\"}");
    write_json((struct parts){.normalizer = replace,
                              .added = "[{\"id\":5,\"content\":\"!\",\"normalized\":false}]"});
    free(replace);
    for (size_t i = 0; i < STRETCHES; i++) memcpy(text + 2 * i, "a!", 3);
    struct qn_tokenizer *tokenizer = NULL;
    struct qn_error err = {0};
    cr_assert_eq(qn_vocab_hf_read(folder, NULL, INT_MAX, &tokenizer, &err), QN_OK, "%s",
                 err.message);
    expect_too_much(tokenizer, text);
    qn_tokenizer_free(tokenizer);
}

/* ---- any order ------------------------------------------------------------------------------ */

/* A vocabulary need not be sorted by ids; a few entries may still not ask for millions. */
Test(vocab_bad, ids_may_come_in_any_order) {
    enum { TOKENS = 100000 };
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    fputs("{\"type\":\"BPE\",\"merges\":[],\"vocab\":{", stream);
    for (int i = TOKENS - 1; i >= 0; i--) fprintf(stream, "\"t%d\":%d%s", i, i, i > 0 ? "," : "}}");
    fclose(stream);
    write_json((struct parts){.model = text});
    free(text);
    struct qn_tokenizer *tokenizer = NULL;
    struct qn_error err = {0};
    cr_assert_eq(qn_vocab_hf_read(folder, NULL, INT_MAX, &tokenizer, &err), QN_OK, "%s",
                 err.message);
    cr_expect_eq(qn_tokenizer_find(tokenizer, "t99999", 6), 99999);
    qn_tokenizer_free(tokenizer);
    write_json((struct parts){.model = BPE("{\"a\":65538,\"b\":0}", "[]")});
    cr_expect_eq(qn_vocab_hf_read(folder, NULL, INT_MAX, &tokenizer, &err), QN_OK);
    qn_tokenizer_free(tokenizer);
    write_json((struct parts){.model = BPE("{\"a\":65539,\"b\":0}", "[]")});
    expect_refusal(QN_BAD_FILE, "has id 65539; expected at most 65538 for 2 tokens");
}

/* ---- many names ----------------------------------------------------------------------------- */

/* Names that a tokenizer_config.json has by the thousands are looked up, not searched for: 2 * 10^4
 * searches among 2 * 10^5 tokens of one length would take a minute. */
Test(vocab_bad, many_special_tokens_are_found_at_once, .timeout = 30) {
    enum { TOKENS = 200000, NAMES = 20000 };
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    fputs("{\"type\":\"BPE\",\"merges\":[],\"vocab\":{", stream);
    for (int i = 0; i < TOKENS; i++)
        fprintf(stream, "%s\"special-token-%06d\":%d", i > 0 ? "," : "", i, i);
    fputs("}}", stream);
    fclose(stream);
    write_json((struct parts){.model = text});
    free(text);
    stream = open_memstream(&text, &size);
    fputs("{\"pad_token\":\"\",\"extra_special_tokens\":[\"special-token-000007\"", stream);
    for (int i = 0; i < NAMES; i++) fprintf(stream, ",\"special-taken-%06d\"", i);
    fputs("]}", stream);
    fclose(stream);
    write_file("tokenizer_config.json", text, size);
    free(text);
    struct qn_tokenizer *tokenizer = NULL;
    struct qn_error err = {0};
    const clock_t start = clock();
    cr_assert_eq(qn_vocab_hf_read(folder, NULL, INT_MAX, &tokenizer, &err), QN_OK, "%s",
                 err.message);
    cr_expect_lt((double)(clock() - start) / CLOCKS_PER_SEC, 10);
    cr_expect_eq(qn_tokenizer_vocab(tokenizer)->kinds[7], QN_TOKEN_CONTROL);
    cr_expect_eq(qn_tokenizer_vocab(tokenizer)->kinds[8], QN_TOKEN_NORMAL);
    qn_tokenizer_free(tokenizer);
}

/* ---- vocab.json and merges.txt -------------------------------------------------------------- */

static void write_merges(const char *vocab, const char *merges) {
    write_file("vocab.json", vocab, strlen(vocab));
    write_file("merges.txt", merges, strlen(merges));
}

Test(vocab_bad, merges_that_lie_are_refused) {
    write_merges("{\"a\":\"0\"}", "a a\n");
    expect_refusal(QN_BAD_FILE, "no integer");
    write_merges("{\"a\":0}", "aa\n");
    expect_refusal(QN_BAD_FILE, "the line \"aa\" is no merge");
    write_merges("{\"a\":0}", "a a a\n");
    expect_refusal(QN_BAD_FILE, "is no merge");
    write_merges("{\"a\":0}", "#version: 0.2\na a");
    expect_refusal(QN_BAD_FILE, "does not exist");
    char path[128];
    path_of("merges.txt", path);
    unlink(path);
    expect_refusal(QN_NOT_FOUND, "merges.txt");
    static const char settings[] = "{\"tokenizer_class\":\"MarianTokenizer\"}";
    write_merges("{\"a\":0,\"aa\":1}", "a a");
    write_file("tokenizer_config.json", settings, sizeof settings - 1);
    expect_refusal(QN_UNSUPPORTED, "'MarianTokenizer'");
}

Test(vocab_bad, folder_without_tokenizer_is_refused) {
    expect_refusal(QN_NOT_FOUND, "holds no tokenizer.json");
}

/* ---- tokenizer.model ------------------------------------------------------------------------ */

static char *read_model(size_t *size) {
    FILE *file = fopen(TEST_DATA "/text/hf/model-bpe/tokenizer.model", "rb");
    cr_assert_not_null(file);
    char *data = malloc(1 << 20);
    *size = fread(data, 1, 1 << 20, file);
    fclose(file);
    return data;
}

/* Reads what is there and, if it is taken for a tokenizer, uses it. */
static bool try_folder(void) {
    struct qn_tokenizer *tokenizer = NULL;
    struct qn_error err = {0};
    const enum qn_status status = qn_vocab_hf_read(folder, NULL, INT_MAX, &tokenizer, &err);
    if (status != QN_OK) {
        cr_expect_null(tokenizer);
        cr_expect_neq(err.message[0], '\0');
        return false;
    }
    struct qn_ids ids = {0};
    static const char text[] = "The cat <s> \xC3\xA9 \xF0\x9F\x98\x80 aaaa  42\n\n<think>";
    (void)qn_tokenizer_encode(tokenizer, text, sizeof text - 1, QN_ENCODE_SPECIAL, &ids, &err);
    for (size_t i = 0; i < ids.n; i++) {
        cr_assert_lt((uint32_t)ids.data[i], qn_tokenizer_n_tokens(tokenizer));
        (void)qn_tokenizer_piece(tokenizer, ids.data[i], true);
    }
    qn_ids_free(&ids);
    qn_tokenizer_free(tokenizer);
    return true;
}

static uint32_t random_next(uint32_t *state) {
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

Test(vocab_bad, models_cut_short_or_spoilt_do_no_harm, .timeout = 120) {
    size_t size;
    char *const data = read_model(&size);
    uint32_t state = 1;
    size_t n_read = 0;
    for (int round = 0; round < 400; round++) {
        write_file("tokenizer.model", data, 1 + random_next(&state) % size);
        n_read += try_folder();
    }
    cr_expect_lt(n_read, 100, "%zu of 400 cut models were read", n_read);
    char *const spoilt = malloc(size);
    for (int round = 0; round < 400; round++) {
        memcpy(spoilt, data, size);
        for (uint32_t k = 0; k <= random_next(&state) % 8; k++)
            spoilt[random_next(&state) % size] = (char)random_next(&state);
        write_file("tokenizer.model", spoilt, size);
        try_folder();
    }
    free(spoilt);
    free(data);
    static const char varint[] = "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01";
    write_file("tokenizer.model", varint, sizeof varint - 1);
    expect_refusal(QN_BAD_FILE, "no SentencePiece model");
}

/* ---- spoilt at random ----------------------------------------------------------------------- */

Test(vocab_bad, spoilt_json_does_no_harm, .timeout = 240) {
    static const char *const kinds[] = {"gemma", "behaviours", "unigram", "t5", "phi3"};
    uint32_t state = 3;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char path[512];
        snprintf(path, sizeof path, "%s/text/hf/%s/tokenizer.json", TEST_DATA, kinds[k]);
        FILE *file = fopen(path, "rb");
        cr_assert_not_null(file);
        char *const data = malloc(1 << 20), *const spoilt = malloc(1 << 20);
        const size_t size = fread(data, 1, 1 << 20, file);
        fclose(file);
        size_t n_read = 0;
        for (int round = 0; round < 100; round++) {
            memcpy(spoilt, data, size);
            for (uint32_t n = 0; n <= random_next(&state) % 3; n++) {
                /* Printable, so that much of it stays JSON; near the start stands what is not
                 * vocabulary. */
                const size_t range = random_next(&state) % 2 ? size : size < 3000 ? size : 3000;
                spoilt[random_next(&state) % range] = (char)(32 + random_next(&state) % 95);
            }
            write_file("tokenizer.json", spoilt, size);
            n_read += try_folder();
        }
        cr_expect_gt(n_read, 0, "%s: %zu of 100 were read", kinds[k], n_read);
        free(data);
        free(spoilt);
    }
}

/* ---- memory --------------------------------------------------------------------------------- */

/* jansson and PCRE2 allocate out of the meter's sight; all else fails once. */
Test(vocab_bad, every_allocation_may_fail, .timeout = 120) {
    static const char *const kinds[] = {"phi3", "t5", "behaviours", "opt", "model-bpe"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/text/hf/%s", TEST_DATA, kinds[i]);
        enum qn_status status = QN_NO_MEMORY;
        size_t k = 0;
        while (status != QN_OK) {
            struct qn_tokenizer *tokenizer = NULL;
            struct qn_error err = {0};
            alloc_meter_reset();
            alloc_meter_fail_at(++k, 0);
            status = qn_vocab_hf_read(path, NULL, INT_MAX, &tokenizer, &err);
            alloc_meter_fail_at(0, 0);
            cr_expect(status == QN_OK || status == QN_NO_MEMORY, "%s: %s", kinds[i], err.message);
            qn_tokenizer_free(tokenizer);
            cr_expect_eq(alloc_meter_held(), 0, "%s: allocation %zu", kinds[i], k);
        }
        cr_expect_gt(k, 20, "%s", kinds[i]);
    }
}
