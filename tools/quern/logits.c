/* SPDX-License-Identifier: Apache-2.0
 *
 * quern logits: logits after every token of a text, into a NumPy file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "input.h"
#include "interrupt.h"
#include "loader.h"
#include "npy.h"
#include "out_file.h"
#include "output.h"
#include "tap_files.h"
#include "tuned.h"

struct logits_args {
    const char *prompt, *ids, *ids_file, *output, *tap;
};

static const struct option logits_options[] = {
    {"-p, --prompt", OPTION_TEXT, "TEXT", 0, 0, offsetof(struct logits_args, prompt), false, true,
     "the text, encoded as 'quern tokenize' does"},
    {"--ids", OPTION_TEXT, "1,2,3", 0, 0, offsetof(struct logits_args, ids), false, true,
     "token ids in place of text"},
    {"--ids-file", OPTION_TEXT, "FILE", 0, 0, offsetof(struct logits_args, ids_file), false, true,
     "ids from a file, separated by spaces, commas or newlines; - is standard input"},
    {"-o, --output", OPTION_TEXT, "F.npy", 0, 0, offsetof(struct logits_args, output), false, true,
     "the file to write, or with --tap the folder; - is standard output"},
    {"--tap", OPTION_TEXT, "NAME,...", 0, 0, offsetof(struct logits_args, tap), false, true,
     "tensors inside the forward pass, each into a file of its own in the folder -o; a name may be "
     "a glob: 'layers.*.attn_out'"},
};

static const struct option logits_context_options[] = {
    {"-c, --ctx-size", OPTION_INT, "N", 0, MAX_CONTEXT, offsetof(struct session_args, n_ctx), false,
     true, "refuse a text of more tokens (any length is taken)"},
};

static bool parse_file(const char *path, struct token_list *ids) {
    struct bytes bytes;
    if (!input_read(path, &bytes)) return false;
    const bool done = input_parse_ids(bytes.data, bytes.size, path, ids);
    free(bytes.data);
    return done;
}

static bool gather_ids(const struct quern_model *model, const struct logits_args *args,
                       struct token_list *ids) {
    struct quern_model_info info;
    quern_model_info(model, &info);
    bool done;
    if (args->ids != NULL)
        done = input_parse_ids(args->ids, strlen(args->ids), "--ids", ids);
    else if (args->ids_file != NULL)
        done = parse_file(args->ids_file, ids);
    else
        done = input_encode(model, args->prompt, strlen(args->prompt),
                            QUERN_ENCODE_BOS | QUERN_ENCODE_SPECIAL, ids);
    if (!done || !input_check_ids(ids, info.n_vocab)) return false;
    if (ids->n > 0) return true;
    out_error("there is no token to compute logits of");
    return false;
}

/* Rows that are held at once: a batch, but at most 64 MiB of logits however long the text is. */
static int chunk_rows(const struct token_list *ids, int n_batch, int n_vocab) {
    size_t rows = ((size_t)64 << 20) / sizeof(float) / (size_t)n_vocab;
    if (rows > (size_t)n_batch) rows = (size_t)n_batch;
    if (rows > ids->n) rows = ids->n;
    return rows > 0 ? (int)rows : 1;
}

/* Evaluates in chunks; their logits go to the file, if there is one. False, with the sentence
 * printed unless it was the file that failed, or a signal stopped it. */
static bool eval_rows(struct quern_session *session, const struct token_list *ids, int chunk,
                      int n_vocab, FILE *file) {
    bool *all = malloc((size_t)chunk * sizeof *all);
    bool done = all != NULL;
    if (!done) out_error("no memory");
    for (int i = 0; done && i < chunk; i++) all[i] = true;
    for (size_t at = 0; done && at < ids->n; at += (size_t)chunk) {
        const size_t left = ids->n - at, n = left < (size_t)chunk ? left : (size_t)chunk;
        const struct quern_batch batch = {.n = n, .tokens = ids->data + at, .logits = all};
        struct quern_error err;
        const enum quern_status status = quern_session_eval(session, &batch, &err);
        if (status != QUERN_OK && status != QUERN_CANCELLED) out_error("%s", err.message);
        done = status == QUERN_OK;
        for (size_t i = 0; done && file != NULL && i < n; i++)
            done = npy_write_floats(file, quern_session_logits(session, i), (size_t)n_vocab);
    }
    free(all);
    return done;
}

static bool write_file(struct quern_session *session, const struct token_list *ids, int chunk,
                       int n_vocab, const char *path) {
    struct out_file out;
    if (!out_file_open(&out, path)) return false;
    const bool done = npy_write_header(out.stream, ids->n, (size_t)n_vocab) &&
                      eval_rows(session, ids, chunk, n_vocab, out.stream);
    return out_file_end(&out, done);
}

/* The names of a model's tensors are those of a pass: one of the first token, which is forgotten
 * again, so that a pattern without a tensor is told before a long text is evaluated. */
static bool eval_tapped(struct quern_session *session, const struct token_list *ids, int chunk,
                        int n_vocab, struct tap_files *files) {
    const struct token_list first = {.data = ids->data, .n = 1};
    if (!eval_rows(session, &first, 1, n_vocab, NULL) || !tap_files_begin(files)) return false;
    quern_session_truncate(session, 0, 0);
    return eval_rows(session, ids, chunk, n_vocab, NULL) && !files->failed;
}

/* Rows of logits in any case; with a tap they come that way, with the other tensors. */
static bool evaluate(struct quern_model *model, struct quern_session_options *options,
                     const struct token_list *ids, int n_vocab, const struct logits_args *args) {
    struct tap_files files = {.list = NULL};
    if (args->tap != NULL) {
        if (!tap_files_open(args->output, args->tap, ids->n, &files)) return false;
        options->tap = tap_files_write;
        options->tap_context = &files;
        options->tap_patterns = files.patterns;
    }
    struct quern_session *session;
    struct quern_error err;
    bool done = quern_session_new(model, options, &session, &err) == QUERN_OK;
    if (!done) {
        out_error("%s", err.message);
    } else {
        done = args->tap != NULL
                   ? eval_tapped(session, ids, options->n_logits, n_vocab, &files)
                   : write_file(session, ids, options->n_logits, n_vocab, args->output);
        quern_session_free(session);
    }
    tap_files_close(&files);
    if (files.n_written > 0 && done)
        fprintf(stderr, "%zu files in %s\n", files.n_written, args->output);
    return done;
}

static bool keep_going(void *context) {
    (void)context;
    return !interrupt_seen();
}

static bool compute(struct quern_model *model, const struct session_args *session_args,
                    const struct token_list *ids, const struct logits_args *args) {
    struct quern_model_info info;
    quern_model_info(model, &info);
    const int chunk = chunk_rows(ids, session_args->n_batch, info.n_vocab);
    const int limit = session_args->n_ctx > 0 ? session_args->n_ctx : MAX_CONTEXT;
    if (ids->n > (size_t)limit) {
        out_error("the text has %zu tokens, the context holds %d (see -c)", ids->n, limit);
        return false;
    }
    struct quern_session_options options = session_options_from(session_args);
    options.n_ctx = (int)ids->n;
    options.n_logits = chunk;
    options.keep_going = keep_going;
    interrupt_catch_all();
    const bool done = evaluate(model, &options, ids, info.n_vocab, args);
    interrupt_release();
    if (!done) interrupt_obey(); /* nothing is left of files that are not whole */
    return done;
}

static int check_args(const struct logits_args *args) {
    const int sources = (args->prompt != NULL) + (args->ids != NULL) + (args->ids_file != NULL);
    if (args->tap != NULL && args->output != NULL && strcmp(args->output, "-") == 0) {
        out_error("--tap writes a folder: -o cannot be standard output");
        return EXIT_WRONG_USAGE;
    }
    if (sources == 1 && args->output != NULL) return EXIT_DONE;
    if (sources != 1)
        out_error("exactly one of -p, --ids and --ids-file is needed, found %d", sources);
    else
        out_error("no file to write: give -o F.npy");
    return EXIT_WRONG_USAGE;
}

int command_logits(int argc, char **argv) {
    struct model_args model_args = {.path = NULL};
    struct session_args session_args = session_args_default();
    struct logits_args args = {.prompt = NULL};
    const struct option_group groups[] = {
        OPTION_GROUP("Options", logits_options, &args),
        OPTION_GROUP("Speed and memory", thread_options, &model_args),
        OPTION_GROUP(NULL, logits_context_options, &session_args),
        OPTION_GROUP(NULL, batch_options, &session_args),
        OPTION_GROUP(NULL, cache_options, &session_args),
        OPTION_GROUP(NULL, model_options, &model_args),
    };
    const struct positional positionals[] = {{"MODEL", &model_args.path}};
    const struct command command = {
        .name = "logits",
        .arguments = "[options] MODEL -p TEXT -o F.npy",
        .summary = "logits of every position into a NumPy file",
        .description = "Writes a float32 array (tokens, vocabulary): row i holds the logits after "
                       "token i. Rows are written as they are computed, so a long text needs no "
                       "more memory than a short one.\n"
                       "With --tap, -o is a folder that gets float32 files (tokens, columns) "
                       "NAME.npy, and logits.npy. Names, of layer N: embed (the stream that enters "
                       "layer 0); layers.N.attn_norm, .q, .k, .v (with bias, heads side by side), "
                       ".q_rope, .k_rope (after norms of heads and rotation), .attn (before the "
                       "output projection), .attn_out (after it), .ffn_norm, .router (of "
                       "experts), .mlp_out, .out (the stream after the layer); final_norm; logits. "
                       "The numbers are those of a run without --tap.",
        .groups = groups,
        .n_groups = COUNT(groups),
        .positionals = positionals,
        .n_positionals = COUNT(positionals)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;
    const int wrong = check_args(&args);
    if (wrong != EXIT_DONE) return wrong;

    struct quern_model *model;
    tuned_apply(&model_args, &session_args, false);
    const int opened = loader_open(&model_args, false, &model);
    if (opened != EXIT_DONE) return opened;
    struct token_list ids = {.data = NULL};
    const bool done = gather_ids(model, &args, &ids) && compute(model, &session_args, &ids, &args);
    free(ids.data);
    quern_model_close(model);
    return done ? EXIT_DONE : EXIT_FAILED;
}
