/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of pre-tokenizers by the names that GGUF files give them, and of rules by the
 * expressions in tokenizer.json files.
 */
#include "text/pretokenize.h"

#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* Cased letters up to Unicode 11, as the DeepSeek LLM vocabulary lists them. */
static const struct qn_range deepseek_letters[] = {
    {0x0041, 0x005A},   {0x0061, 0x007A},   {0x00B5, 0x00B5},   {0x00C0, 0x00D6},
    {0x00D8, 0x00F6},   {0x00F8, 0x01BA},   {0x01BC, 0x01BF},   {0x01C4, 0x0293},
    {0x0295, 0x02AF},   {0x0370, 0x0373},   {0x0376, 0x0376},   {0x0377, 0x0377},
    {0x037B, 0x037D},   {0x037F, 0x037F},   {0x0386, 0x0386},   {0x0388, 0x038A},
    {0x038C, 0x038C},   {0x038E, 0x03A1},   {0x03A3, 0x03F5},   {0x03F7, 0x0481},
    {0x048A, 0x052F},   {0x0531, 0x0556},   {0x10A0, 0x10C5},   {0x13A0, 0x13F5},
    {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},   {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},
    {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},   {0x1F18, 0x1F1D},
    {0x1F20, 0x1F45},   {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},
    {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},
    {0x1FB6, 0x1FBC},   {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},
    {0x1FD0, 0x1FD3},   {0x1FD6, 0x1FDB},   {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},
    {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},   {0x210A, 0x2113},
    {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},
    {0x213C, 0x213F},   {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2183},
    {0x2184, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},   {0x2CEB, 0x2CEE},
    {0x2CF2, 0x2CF2},   {0x2CF3, 0x2CF3},   {0xA640, 0xA66D},   {0xA680, 0xA69B},
    {0xA722, 0xA76F},   {0xA771, 0xA787},   {0xA78B, 0xA78E},   {0xAB70, 0xABBF},
    {0xFB00, 0xFB06},   {0xFB13, 0xFB17},   {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},
    {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB}, {0x10C80, 0x10CB2},
    {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};
/* ASCII, full-width and general punctuation, likewise. */
static const struct qn_range deepseek_punctuation[] = {
    {'!', '/'}, {':', '~'}, {0x2018, 0x201F}, {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E},
};
/* Han, and by a slip of the pattern's writer all from Samaritan on; Hangul and its extension. */
static const struct qn_range deepseek_han[] = {{0x0800, 0x9FA5}, {0xAC00, 0xD7FF}};
/* Han, Hiragana, Katakana. */
static const struct qn_range deepseek3_han[] = {{0x3040, 0x30FF}, {0x4E00, 0x9FA5}};

#define DIGITS                                                                                     \
    { .next = qn_cut_runs, .members = QN_CHAR_DIGIT, .max_run = 1 }
#define NEWLINES                                                                                   \
    { .next = qn_cut_runs, .members = QN_CHAR_NEWLINE, .max_run = 1 }
#define RANGES(table) .ranges = (table), .n_ranges = LENGTH(table)

static const struct qn_cut gpt2[] = {{.next = qn_cut_gpt2}};
static const struct qn_cut digits_gpt2[] = {DIGITS, {.next = qn_cut_gpt2}};
static const struct qn_cut llama3[] = {
    {.next = qn_cut_llama3, .letters = QN_CHAR_LETTER, .max_run = 3, .contractions = true}};
static const struct qn_cut qwen2[] = {
    {.next = qn_cut_llama3, .letters = QN_CHAR_LETTER, .max_run = 1, .contractions = true}};
static const struct qn_cut qwen35[] = {{.next = qn_cut_llama3,
                                        .letters = QN_CHAR_LETTER | QN_CHAR_MARK,
                                        .max_run = 1,
                                        .contractions = true}};
static const struct qn_cut gpt4o[] = {
    {.next = qn_cut_cased, .max_run = 3, .contractions = true, .slash_ends = true}};
static const struct qn_cut tekken[] = {{.next = qn_cut_cased, .max_run = 1, .slash_ends = true}};
static const struct qn_cut falcon[] = {{.next = qn_cut_runs, .members = QN_CHAR_ISOLATED},
                                       {.next = qn_cut_gpt2},
                                       {.next = qn_cut_byte_numbers},
                                       {.next = qn_cut_three_digits}};
static const struct qn_cut deepseek_llm[] = {
    NEWLINES,
    {.next = qn_cut_runs, RANGES(deepseek_letters), .leading_space = true},
    {.next = qn_cut_runs, RANGES(deepseek_punctuation), .leading_space = true},
    {.next = qn_cut_trailing_space},
    {.next = qn_cut_runs, RANGES(deepseek_han)},
    DIGITS};
static const struct qn_cut deepseek_coder[] = {
    NEWLINES,
    {.next = qn_cut_runs, .members = QN_CHAR_LETTER, .leading_space = true},
    {.next = qn_cut_runs, .members = QN_CHAR_PUNCTUATION, .leading_space = true},
    {.next = qn_cut_runs, RANGES(deepseek_han)},
    DIGITS};
static const struct qn_cut deepseek_v3[] = {
    {.next = qn_cut_runs, .members = QN_CHAR_NUMBER, .max_run = 3},
    {.next = qn_cut_runs, RANGES(deepseek3_han)},
    {.next = qn_cut_deepseek3}};

#define ROW(name_, cuts_, ...)                                                                     \
    { .name = name_, .cuts = cuts_, .n_cuts = LENGTH(cuts_), __VA_ARGS__ }

static const struct qn_pretokenizer pretokenizers[] = {
    ROW("", gpt2, .nfc = false), /* files older than the key: GPT-2's rule was the only one */
    ROW("default", gpt2, .nfc = false),
    ROW("gpt-2", gpt2, .nfc = false),
    ROW("phi-2", gpt2, .nfc = false),
    ROW("gpt-neox", gpt2, .nfc = true),
    ROW("olmo", gpt2, .nfc = true),
    ROW("mpt", gpt2, .nfc = true),
    ROW("smollm", digits_gpt2, .nfc = false),
    ROW("starcoder", digits_gpt2, .nfc = false),
    ROW("refact", digits_gpt2, .nfc = false),
    ROW("codeshell", digits_gpt2, .nfc = false),
    ROW("command-r", digits_gpt2, .nfc = true),
    ROW("llama-bpe", llama3, .ignore_merges = true, .bos = true),
    ROW("llama3", llama3, .ignore_merges = true, .bos = true),
    ROW("llama-v3", llama3, .ignore_merges = true, .bos = true),
    ROW("falcon3", llama3, .ignore_merges = true, .bos = true),
    ROW("pixtral", llama3, .ignore_merges = true, .bos = true),
    ROW("dbrx", llama3, .nfc = false),
    ROW("smaug-bpe", llama3, .nfc = false),
    ROW("qwen2", qwen2, .nfc = true),
    ROW("deepseek-r1-qwen", qwen2, .nfc = true),
    ROW("megrez", qwen2, .nfc = true),
    ROW("stablelm2", qwen2, .nfc = true),
    ROW("qwen35", qwen35, .nfc = true),
    ROW("gpt-4o", gpt4o, .nfc = false),
    ROW("llama4", gpt4o, .nfc = false),
    ROW("tekken", tekken, .ignore_merges = true, .bos = true),
    ROW("falcon", falcon, .nfc = false),
    ROW("deepseek-llm", deepseek_llm, .nfc = false),
    ROW("deepseek-coder", deepseek_coder, .nfc = false),
    ROW("deepseek-v3", deepseek_v3, .nfc = false),
};

const struct qn_pretokenizer *qn_pretokenizer_find(const char *name, size_t size) {
    for (size_t i = 0; i < LENGTH(pretokenizers); i++) {
        const char *candidate = pretokenizers[i].name;
        if (strlen(candidate) == size && (size == 0 || memcmp(candidate, name, size) == 0)) {
            return &pretokenizers[i];
        }
    }
    return NULL;
}

/* Expressions as the families' files write them. whole: every character is in some match. */
static const struct known_pattern {
    const char *pattern;
    const struct qn_cut *cut;
    bool whole;
} known_patterns[] = {
    {QN_PATTERN_GPT2, gpt2, true},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", gpt2, true},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p"
     "{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     llama3, true},
    {QN_PATTERN_QWEN2, qwen2, true},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}"
     "\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     qwen35, true},
    {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?"
     "i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"
     "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}"
     "\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     gpt4o, true},
    {"[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|["
     "^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p"
     "{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     tekken, true},
    {"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}"
     "\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     &deepseek_v3[2], false},
    {"\\p{N}{1,3}", &deepseek_v3[0], false},
    {"[一-龥぀-ゟ゠-ヿ]+", &deepseek_v3[1], false},
    {"[\r\n]", &deepseek_coder[0], false},
    {"[\\r\\n]", &deepseek_coder[0], false},
    {"\\s?\\p{L}+", &deepseek_coder[1], false},
    {"\\s?\\p{P}+", &deepseek_coder[2], false},
    {"[一-龥ࠀ-一가-퟿]+", &deepseek_coder[3], false},
    {"\\s?[!-/:-~！-／：-～‘-‟　-。]+", &deepseek_llm[2], false},
    {"\\s+$", &deepseek_llm[3], false},
};

const struct qn_cut *qn_cut_find(struct qn_text pattern, bool whole) {
    for (size_t i = 0; i < LENGTH(known_patterns); i++) {
        const struct known_pattern *known = &known_patterns[i];
        if (strlen(known->pattern) == pattern.size &&
            memcmp(known->pattern, pattern.data, pattern.size) == 0) {
            return known->whole || !whole ? known->cut : NULL;
        }
    }
    return NULL;
}
