/* SPDX-License-Identifier: Apache-2.0
 *
 * quern bench --ab: two commands in turn, A B B A, so that what drifts meets both alike.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "host/ticks.h"
#include "options.h"
#include "output.h"
#include "profile_commands.h"
#include "report/json_text.h"
#include "report/statistics.h"

struct ab_args {
    const char *commands[2];
    int rounds, warm_up;
    bool json;
};

#define AB(field) offsetof(struct ab_args, field)

enum { MAX_ROUNDS = 10000 };

static const struct option ab_options[] = {
    {"-r, --repetitions", OPTION_INT, "N", 2, MAX_ROUNDS, AB(rounds), false, false,
     "runs of each command"},
    {"--warm-up", OPTION_INT, "N", 0, MAX_ROUNDS, AB(warm_up), false, false,
     "runs of each beforehand that do not count"},
    {"--json", OPTION_FLAG, NULL, 0, 0, AB(json), false, true, "as JSON, with every sample"},
};

struct side {
    const char *command;
    double *seconds, *cpu; /* [rounds] of the wall clock; of its processes in user and kernel */
};

/* ---- running ---------------------------------------------------------------------------- */

extern char **environ;

/* A command has a process group of its own, so that all of its processes can be ended with it: what
 * ends this one is passed on, and obeyed when the command is gone. The signals are blocked and
 * waited for; an ignored one, as by nohup, stays so. */
struct signals {
    sigset_t caught, before;
    int seen; /* or 0 */
};

static void signals_block(struct signals *signals) {
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    *signals = (struct signals){.seen = 0};
    sigemptyset(&signals->caught);
    signal(SIGCHLD, SIG_DFL);
    sigaddset(&signals->caught, SIGCHLD);
    for (size_t i = 0; i < COUNT(ending); i++) {
        struct sigaction found;
        if (sigaction(ending[i], NULL, &found) == 0 && found.sa_handler != SIG_IGN)
            sigaddset(&signals->caught, ending[i]);
    }
    sigprocmask(SIG_BLOCK, &signals->caught, &signals->before);
}

static void signals_obey(const struct signals *signals) {
    sigprocmask(SIG_SETMASK, &signals->before, NULL);
    if (signals->seen != 0) raise(signals->seen);
}

/* Where a signal came, its command counts as failed without a sentence. */
static bool wait_for(pid_t child, struct signals *signals, int *status, struct rusage *usage) {
    for (;;) {
        const pid_t ended = wait4(child, status, WNOHANG, usage);
        if (ended == child) return signals->seen == 0;
        if (ended < 0 && errno != EINTR) return false;
        const int number = sigwaitinfo(&signals->caught, NULL);
        if (number <= 0 || number == SIGCHLD) continue;
        signals->seen = number;
        kill(-child, number);
    }
}

static bool spawn_shell(const char *command, const struct signals *signals, pid_t *child) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char *const arguments[] = {"sh", "-c", (char *)(uintptr_t)command, NULL};
    if (posix_spawn_file_actions_init(&actions) != 0) return false;
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attributes, &signals->before);
    const int error = posix_spawn(child, "/bin/sh", &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    errno = error;
    return error == 0;
}

static double seconds_of(const struct timeval *time) {
    return (double)time->tv_sec + 1e-6 * (double)time->tv_usec;
}

static bool run_command(const char *command, struct signals *signals, double *seconds,
                        double *cpu) {
    pid_t child;
    int status;
    struct rusage usage;
    const uint64_t start = qn_clock_ns();
    if (!spawn_shell(command, signals, &child)) {
        out_error("'%s' cannot be started: %s", command, strerror(errno));
        return false;
    }
    if (!wait_for(child, signals, &status, &usage)) return false;
    *seconds = 1e-9 * (double)(qn_clock_ns() - start);
    *cpu = seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    if (WIFSIGNALED(status))
        out_error("'%s' was ended by signal %d", command, WTERMSIG(status));
    else
        out_error("'%s' failed with exit status %d", command, WEXITSTATUS(status));
    return false;
}

/* Rounds 0, 2, ... run A first, the others B. */
static bool run_round(struct side *sides, struct signals *signals, int round, int place) {
    for (int i = 0; i < 2; i++) {
        struct side *const side = &sides[(i + round) % 2];
        if (!run_command(side->command, signals, &side->seconds[place], &side->cpu[place]))
            return false;
    }
    return true;
}

static bool run_rounds(const struct ab_args *args, struct side *sides) {
    struct signals signals;
    bool done = true;
    signals_block(&signals);
    for (int i = 0; done && i < args->warm_up; i++) done = run_round(sides, &signals, i, 0);
    for (int i = 0; done && i < args->rounds; i++) done = run_round(sides, &signals, i, i);
    signals_obey(&signals);
    return done;
}

/* ---- report ----------------------------------------------------------------------------- */

static void print_side(const char *name, const struct side *side, int n) {
    double *const sorted = side->seconds;
    const struct qn_spread s = qn_spread_of(sorted, (size_t)n);
    const double lowest = sorted[0];
    const struct qn_spread cpu = qn_spread_of(side->cpu, (size_t)n);
    printf("  %-6s %9.3f %9.3f %9.3f %9.3f %9.3f %9.3f\n", name, lowest, s.p50, s.p95, s.p99, s.max,
           cpu.p50);
}

static void print_text(const struct ab_args *args, struct side *sides,
                       const struct qn_comparison *c) {
    printf("A  %s\nB  %s\n\n  seconds      min       p50       p95       p99       max   cpu p50\n",
           sides[0].command, sides[1].command);
    print_side("A", &sides[0], args->rounds);
    print_side("B", &sides[1], args->rounds);
    char interval[64] = "too few runs for an interval";
    if (c->has_interval)
        snprintf(interval, sizeof interval, "95 %%: %.3f to %.3f", c->ratio_low, c->ratio_high);
    printf("\nB takes %.3f times as long as A (%s), %d runs of each, A B B A.\n", c->b / c->a,
           interval, args->rounds);
    puts(qn_differ(c) ? (c->b > c->a ? "A is faster." : "B is faster.")
                      : "No significant difference.");
}

static json_t *samples_json(const double *values, int n) {
    json_t *const list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, json_real(values[i]));
    return list;
}

static void print_json(const struct ab_args *args, const struct side *sides,
                       const struct qn_comparison *c) {
    json_t *const list = json_array();
    for (int i = 0; i < 2; i++)
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:o}", "command",
                                        qn_json_text(sides[i].command, strlen(sides[i].command)),
                                        "seconds", samples_json(sides[i].seconds, args->rounds),
                                        "cpu_seconds", samples_json(sides[i].cpu, args->rounds)));
    json_t *const object = json_pack(
        "{s:o, s:f, s:o, s:b}", "commands", list, "ratio", c->b / c->a, "ratio_95",
        qn_json_interval(c->has_interval, c->ratio_low, c->ratio_high), "differs", qn_differ(c));
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
}

/* ---- the subcommand --------------------------------------------------------------------- */

static int compare(const struct ab_args *args, struct side *sides) {
    struct qn_comparison comparison;
    struct qn_error err;
    const size_t n = (size_t)args->rounds;
    for (int i = 0; i < 2; i++)
        if (sides[i].seconds == NULL || sides[i].cpu == NULL) {
            out_error("no memory");
            return EXIT_FAILED;
        }
    if (!run_rounds(args, sides)) return EXIT_FAILED;
    if (qn_compare_medians(sides[0].seconds, n, sides[1].seconds, n, 0.95, 0, &comparison, &err) !=
        QN_OK) {
        out_error("%s", err.message);
        return EXIT_FAILED;
    }
    if (args->json)
        print_json(args, sides, &comparison);
    else
        print_text(args, sides, &comparison);
    return EXIT_DONE;
}

int command_bench_ab(int argc, char **argv) {
    struct ab_args args = {.rounds = 10, .warm_up = 1};
    const struct option_group groups[] = {OPTION_GROUP("Options", ab_options, &args)};
    const struct positional positionals[] = {{"A", &args.commands[0]}, {"B", &args.commands[1]}};
    const struct command command = {
        .name = "bench --ab",
        .arguments = "[options] COMMAND COMMAND",
        .summary = "two commands against each other",
        .description = "Runs two commands of the shell in turn, A B B A, and compares how long "
                       "they take, with percentiles and a bootstrap confidence interval. What they "
                       "write is thrown away. The commands may be of any programs.",
        .groups = groups,
        .n_groups = COUNT(groups),
        .positionals = positionals,
        .n_positionals = COUNT(positionals)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;
    if (args.commands[0] == NULL || args.commands[1] == NULL) {
        out_error("two commands are compared: quern bench --ab 'COMMAND' 'COMMAND'");
        return EXIT_WRONG_USAGE;
    }
    struct side sides[2];
    for (int i = 0; i < 2; i++)
        sides[i] = (struct side){.command = args.commands[i],
                                 .seconds = calloc((size_t)args.rounds, sizeof(double)),
                                 .cpu = calloc((size_t)args.rounds, sizeof(double))};
    status = compare(&args, sides);
    for (int i = 0; i < 2; i++) {
        free(sides[i].seconds);
        free(sides[i].cpu);
    }
    return status;
}
