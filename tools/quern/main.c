/* SPDX-License-Identifier: Apache-2.0
 *
 * The program: finds the subcommand and hands over.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "commands.h"
#include "options.h"
#include "output.h"

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} subcommands[] = {
    {"run", "generate text, or chat", command_run},
    {"tokenize", "text to token ids, and back", command_tokenize},
    {"logits", "logits of every position into a NumPy file", command_logits},
    {"bench", "measure prefill and decode speed", command_bench},
    {"profile", "where the time goes, by layer and operation", command_profile},
    {"plan", "memory and steps of a model, before loading it", command_plan},
    {"inspect", "what a file holds and what the engine makes of it", command_inspect},
    {"verify", "is a model right? weights, cache, attention, output", command_verify},
    {"doctor", "what this machine is, and what of it costs speed", command_doctor},
    {"tune", "find and keep the fastest settings for a model here", command_tune},
    {"kbench", "measure and check kernels one by one", command_kbench},
};

static void print_help(FILE *out) {
    fputs("Quern runs language models on the CPU.\n\n"
          "Usage: quern SUBCOMMAND [options] MODEL ...\n\n",
          out);
    for (size_t i = 0; i < COUNT(subcommands); i++)
        fprintf(out, "  %-10s %s\n", subcommands[i].name, subcommands[i].summary);
    fputs("\nMODEL is a GGUF file (any part of a split one), a Hugging Face folder, or\n"
          "smollm2, which tools/quickstart fetches.\n\n"
          "  quern run smollm2 \"What is the capital of France?\"\n"
          "  quern run smollm2                  chat\n"
          "  quern SUBCOMMAND --help            options\n"
          "  quern --version\n\n"
          "Data goes to standard output, everything else to standard error. Exit status:\n"
          "0 done, 1 failed, 2 wrong usage, 130 ended by Ctrl-C.\n",
          out);
}

static int unknown_subcommand(const char *name) {
    const char *names[COUNT(subcommands) + 1] = {NULL};
    for (size_t i = 0; i < COUNT(subcommands); i++) names[i] = subcommands[i].name;
    const char *suggestion = args_suggest(name, names);
    if (suggestion != NULL)
        out_error("unknown subcommand %s; did you mean %s?", name, suggestion);
    else
        out_error("unknown subcommand %s (see 'quern --help')", name);
    return EXIT_WRONG_USAGE;
}

static int dispatch(int argc, char **argv) {
    for (size_t i = 0; i < COUNT(subcommands); i++)
        if (strcmp(argv[0], subcommands[i].name) == 0) return subcommands[i].run(argc, argv);
    return unknown_subcommand(argv[0]);
}

static bool is_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return EXIT_WRONG_USAGE;
    }
    if (is_help(argv[1])) {
        if (argc == 2) {
            print_help(stdout);
            return EXIT_DONE;
        }
        /* "help bench compare" is "bench compare --help". */
        memmove(argv + 1, argv + 2, (size_t)(argc - 2) * sizeof *argv);
        argv[argc - 1] = (char[]){"--help"};
        return dispatch(argc - 1, argv + 1);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("quern %s\n", quern_version());
        return EXIT_DONE;
    }
    return dispatch(argc - 1, argv + 1);
}

/* A file that is opened takes the lowest number that is free: a model would become the input. What
 * was closed stays of no use, as it can only be had the other way round. */
static bool fill_standard_files(void) {
    static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int file = 0; file < (int)COUNT(modes); file++)
        if (fcntl(file, F_GETFD) < 0 && errno == EBADF && open("/dev/null", modes[file]) != file)
            return false;
    return true;
}

int main(int argc, char **argv) {
    if (!fill_standard_files()) {
        out_error("cannot open /dev/null: %s", strerror(errno));
        return EXIT_FAILED;
    }
    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_DFL); /* a reader that has seen enough ends the program quietly */
    signal(SIGXFSZ, SIG_IGN); /* a file above the limit is a write that fails, with a sentence */
    const int status = run(argc, argv);
    return out_flush() ? status : EXIT_FAILED;
}
