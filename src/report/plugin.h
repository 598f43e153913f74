/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels of users: shared objects that export `quern_kernel` (quern_kernel.h).
 */
#ifndef QN_REPORT_PLUGIN_H
#define QN_REPORT_PLUGIN_H

#include "report/lab.h"

struct qn_plugin {
    void *handle;
    struct qn_lab_kernel kernel; /* its strings are the plug-in's */
};

/* Loads the object of a path (one without a slash is taken from the working folder) and puts its
 * function into the best table of this machine. Errors: QN_NOT_FOUND (no such file, or no symbol),
 * QN_BAD_FILE (another ABI, an operation or form that does not exist, no function, other tile
 * rows than 8 and 16), QN_UNSUPPORTED (an instruction set that is not here). */
enum qn_status qn_plugin_open(const char *path, struct qn_plugin *plugin, struct qn_error *err);
void qn_plugin_close(struct qn_plugin *plugin); /* idempotent */

#endif
