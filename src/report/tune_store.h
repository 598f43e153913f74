/* SPDX-License-Identifier: Apache-2.0
 *
 * What tuning found, kept between runs: a JSON file for each processor, microcode, choice of
 * instruction sets and number of processors, with the settings of every model tuned there.
 */
#ifndef QN_REPORT_TUNE_STORE_H
#define QN_REPORT_TUNE_STORE_H

#include "host/topology.h"
#include "models/spec.h"
#include "report/machine_cache.h"

/* What settings belong to. Two files of one model in one type are the same model wherever they lie.
 */
struct qn_tune_key {
    struct qn_machine_key machine; /* n_threads: the engine's own choice */
    char model[128]; /* family, shape, bytes of the files, hash of all shapes and types */
};

void qn_tune_key_read(const char *root, const struct qn_kernels *kernels,
                      const struct qn_topology *topology, const struct qn_spec *spec,
                      struct qn_tune_key *key);

struct qn_tuned {
    int n_threads, n_threads_batch, n_ubatch;
    int spin_us;            /* 0: the pool's default */
    double prefill, decode; /* tokens per second when they were measured */
    long long measured_at;  /* seconds since 1970 */
};

/* Whether any model was tuned on the machine: the key's model need not be filled in. */
bool qn_tune_store_has_machine(const char *folder, const struct qn_machine_key *machine);
/* False when there is nothing for the key, or the file is not ours; never an error. */
bool qn_tune_store_read(const char *folder, const struct qn_tune_key *key, struct qn_tuned *tuned);
/* Whether something can be kept, asked before it is measured. QN_IO with the reason. */
enum qn_status qn_tune_store_check(const char *folder, struct qn_error *err);
/* Other models of the file stay; a file that is not ours is replaced. QN_IO with the reason. */
enum qn_status qn_tune_store_write(const char *folder, const struct qn_tune_key *key,
                                   const struct qn_tuned *tuned, struct qn_error *err);
/* *found: whether there was something to forget. QN_IO. */
enum qn_status qn_tune_store_forget(const char *folder, const struct qn_tune_key *key, bool *found,
                                    struct qn_error *err);

#endif
