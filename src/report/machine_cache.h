/* SPDX-License-Identifier: Apache-2.0
 *
 * Measured limits kept between runs: a JSON file for each processor, microcode, choice of
 * instruction sets and number of threads.
 */
#ifndef QN_REPORT_MACHINE_CACHE_H
#define QN_REPORT_MACHINE_CACHE_H

#include "report/machine.h"

/* What figures belong to. */
struct qn_machine_key {
    char cpu[96];       /* model name of /proc/cpuinfo, or "unknown" */
    char microcode[32]; /* or "" */
    enum qn_isa isa;    /* the highest */
    uint32_t bundles;   /* instruction sets in use */
    int n_threads;
    int n_processors;        /* that may be used: a container may have fewer */
    struct qn_caches caches; /* of the threads; figures of others are not taken */
};

/* root: stands before /proc/cpuinfo. The topology is that of the pool of n_threads threads. */
void qn_machine_key_read(const char *root, const struct qn_kernels *kernels,
                         const struct qn_topology *topology, int n_threads,
                         struct qn_machine_key *key);

/* What files are named by, in one line: all of it but the instruction set's name, which the bundles
 * say, and the caches. */
void qn_machine_key_text(const struct qn_machine_key *key, char *text, size_t size);

/* $XDG_CACHE_HOME/quern, or $HOME/.cache/quern; false where neither is set (absolute paths only, as
 * the XDG specification has it). */
bool qn_machine_cache_folder(char *folder, size_t size);

/* Figures of one thread and of the key's threads. */
struct qn_machine_figures {
    struct qn_machine_limits one, all;
    long long measured_at; /* seconds since 1970 */
    struct qn_error
        unkept; /* why those that were measured are not in the cache; else without text */
};

/* False when there are none for the key, or the file is not ours; never an error. */
bool qn_machine_cache_read(const char *folder, const struct qn_machine_key *key,
                           struct qn_machine_figures *figures);
/* Makes the folder if need be; readable by its owner alone, and replaced in one step. QN_IO with
 * the reason. */
enum qn_status qn_machine_cache_write(const char *folder, const struct qn_machine_key *key,
                                      const struct qn_machine_figures *figures,
                                      struct qn_error *err);

/* The figures of the key from the cache, or measured now (always when `fresh`) on pools of the
 * topology and put there; a cache that cannot be written is no error (unkept). folder NULL: no
 * cache. */
enum qn_status qn_machine_figures_get(const char *folder, bool fresh,
                                      const struct qn_machine_key *key,
                                      const struct qn_topology *topology,
                                      struct qn_machine_figures *figures, struct qn_error *err);

#endif
