/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens to a text before a model makes tokens of it, as data: normalizers change the whole
 * of a text between added tokens, splitters cut it into words. The components of a tokenizer.json
 * are such steps or short sequences of them.
 */
#ifndef QN_TEXT_STEPS_H
#define QN_TEXT_STEPS_H

#include <stdbool.h>
#include <stddef.h>

struct qn_text { /* bytes, not terminated */
    const char *data;
    size_t size;
};

enum qn_text_step_kind {
    /* Normalizers. */
    QN_TEXT_NFC,
    QN_TEXT_NFD,
    QN_TEXT_NFKC,
    QN_TEXT_NFKD,
    QN_TEXT_LOWERCASE,
    QN_TEXT_STRIP_ACCENTS, /* drops combining marks */
    QN_TEXT_REPLACE,       /* matches of pattern become content */
    QN_TEXT_PREPEND,       /* content before a text that is not empty */
    QN_TEXT_STRIP,         /* white space on the left, the right */
    QN_TEXT_CHARSMAP,      /* SentencePiece's precompiled map, in content */
    /* Splitters. */
    QN_TEXT_SPLIT,        /* at matches of pattern */
    QN_TEXT_SPLIT_CLASS,  /* at characters of the class bits */
    QN_TEXT_METASPACE,    /* spaces become content, with one in front, and words begin there */
    QN_TEXT_PREFIX_SPACE, /* a space before a piece that has none */
    QN_TEXT_BYTES         /* bytes become characters of the byte alphabet */
};

/* What becomes of the pieces that match. */
enum qn_behavior {
    QN_BEHAVIOR_ISOLATED,
    QN_BEHAVIOR_REMOVED,
    QN_BEHAVIOR_MERGED_WITH_PREVIOUS,
    QN_BEHAVIOR_MERGED_WITH_NEXT,
    QN_BEHAVIOR_CONTIGUOUS
};

enum qn_prepend { QN_PREPEND_NEVER, QN_PREPEND_FIRST, QN_PREPEND_ALWAYS };

/* What ByteLevel cuts by unless told not to, and what Qwen2's tokenizers do. */
#define QN_PATTERN_GPT2                                                                            \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define QN_PATTERN_QWEN2                                                                           \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+"      \
    "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

struct qn_text_step {
    enum qn_text_step_kind kind;
    struct qn_text pattern, content;
    bool regex;  /* pattern is a regular expression of Oniguruma's syntax, else literal */
    bool invert; /* what does not match is what matches */
    bool left, right;
    bool cut; /* METASPACE: words begin at content */
    unsigned class;
    enum qn_behavior behavior;
    enum qn_prepend prepend;
};

#endif
