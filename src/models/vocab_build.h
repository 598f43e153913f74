/* SPDX-License-Identifier: Apache-2.0
 *
 * What the readers of a folder's vocabulary files fill together; nobody else includes this.
 */
#ifndef QN_MODELS_VOCAB_BUILD_H
#define QN_MODELS_VOCAB_BUILD_H

#include <jansson.h>

#include "base/file_map.h"
#include "text/maps.h"
#include "text/tokenizer.h"

enum { QN_BUILD_STEPS = 16, QN_BUILD_AFFIXES = 8, QN_BUILD_ENDS = 24, QN_BUILD_OWNED = 32 };

struct qn_vocab_build {
    const char *folder;
    const char *name; /* of the file that is being read */
    char file[1024];  /* its path, for messages */
    int n_rows;       /* of the embedding: added tokens beyond it are left out */
    struct qn_vocab vocab;
    struct qn_recipe recipe;
    struct qn_text *tokens; /* [capacity]; data is NULL where an id has none */
    uint8_t *kinds, *foreign;
    double *scores;
    uint32_t *added_at;     /* index in added + 1; 0: not there */
    float *piece_scores;    /* [n_tokens] of a tokenizer.model's BPE, in place of merges */
    struct qn_text *merges; /* [2 * n_merges] */
    uint32_t capacity;
    size_t n_expected; /* tokens, when all entries of the list that is being read are taken */
    struct qn_added_token *added; /* [added_capacity] */
    size_t added_capacity;
    struct qn_token_map map; /* of all tokens, after qn_build_index */
    struct qn_text_step normalizers[QN_BUILD_STEPS], splitters[QN_BUILD_STEPS];
    int32_t prefix[QN_BUILD_AFFIXES], suffix[QN_BUILD_AFFIXES];
    int32_t ends[QN_BUILD_ENDS];
    bool sets_prefix, prefix_space; /* settings count, not a ByteLevel's own add_prefix_space */
    /* What texts point into. */
    json_t *tokenizer, *settings, *special_map, *added_map, *merges_vocab;
    struct qn_file_map merges_file, proto_file, template_file;
    void *owned[QN_BUILD_OWNED]; /* [n_owned] to free */
    size_t n_owned;
};

/* From here on messages are about the file of that name. */
void qn_build_enter(struct qn_vocab_build *build, const char *name);
/* QN_BAD_FILE with a sentence: the file, and what is wrong. */
enum qn_status qn_build_broken(const struct qn_vocab_build *build, const char *what,
                               struct qn_error *err);
/* So many entries follow: their ids may come in any order. */
void qn_build_expect(struct qn_vocab_build *build, size_t n);
/* A token with its id and kind. Errors: QN_BAD_FILE (another token has the id; ids far apart),
 * QN_NO_MEMORY. */
enum qn_status qn_build_token(struct qn_vocab_build *build, int64_t id, struct qn_text text,
                              enum qn_token_kind kind, struct qn_error *err);
/* Whether an added token has no row in the embedding, as a marker of images in a tokenizer that a
 * family's text models share. */
bool qn_build_is_beyond(const struct qn_vocab_build *build, int64_t id);
/* Makes the token an added one, or changes how it is matched. */
enum qn_status qn_build_added(struct qn_vocab_build *build, const struct qn_added_token *added,
                              struct qn_error *err);
/* After the last token: fills gaps, so that every id has a text, and makes the map. */
enum qn_status qn_build_index(struct qn_vocab_build *build, struct qn_error *err);
/* Linear search by text, before there is a map; -1. */
int32_t qn_build_find(const struct qn_vocab_build *build, struct qn_text text);
/* Room for one more step. QN_UNSUPPORTED where there are too many. */
enum qn_status qn_build_step(struct qn_vocab_build *build, bool normalizer,
                             const struct qn_text_step *step, struct qn_error *err);
/* The character that a Metaspace has for spaces. */
enum qn_status qn_build_mark(const struct qn_vocab_build *build, const json_t *metaspace,
                             struct qn_text *mark, struct qn_error *err);
/* Maps a file of the folder. Errors: as qn_file_map_open. */
enum qn_status qn_build_map(const struct qn_vocab_build *build, const char *name,
                            struct qn_file_map *map, struct qn_error *err);
/* Memory that lives as long as the build; NULL without. */
void *qn_build_alloc(struct qn_vocab_build *build, size_t size);
/* Everything but the builder itself. */
void qn_build_free(struct qn_vocab_build *build);

struct qn_text qn_text_of_json(const json_t *string); /* of a JSON string */
struct qn_text qn_text_of(const char *string);

/* vocab_json.c: tokenizer.json. Here and below QN_NOT_FOUND when the file is not there. */
enum qn_status qn_vocab_json_read(struct qn_vocab_build *build, struct qn_error *err);
/* One entry of added_tokens or added_tokens_decoder. */
enum qn_status qn_vocab_json_added(struct qn_vocab_build *build, const json_t *entry, int64_t id,
                                   struct qn_error *err);

/* vocab_steps.c: its components. */
enum qn_status qn_vocab_json_steps(struct qn_vocab_build *build, struct qn_error *err);
/* vocab_decoder.c: its decoder and post_processor. */
enum qn_status qn_vocab_json_decoder(struct qn_vocab_build *build, struct qn_error *err);
enum qn_status qn_vocab_json_processor(struct qn_vocab_build *build, struct qn_error *err);

/* vocab_merges.c: vocab.json and merges.txt. */
enum qn_status qn_vocab_merges_read(struct qn_vocab_build *build, struct qn_error *err);
/* vocab_proto.c: tokenizer.model. */
enum qn_status qn_vocab_proto_read(struct qn_vocab_build *build, struct qn_error *err);

/* vocab_config.c: tokenizer_config.json and its relatives. Files that are not there are none, and
 * config may be NULL. */
enum qn_status qn_vocab_config_load(struct qn_vocab_build *build, const json_t *config,
                                    struct qn_error *err);
/* After the vocabulary is known. */
enum qn_status qn_vocab_config_apply(struct qn_vocab_build *build, const json_t *config,
                                     struct qn_error *err);

#endif
