/* SPDX-License-Identifier: Apache-2.0 */
#include "report/counters_text.h"

#include <errno.h>
#include <string.h>

const char *qn_counters_missing(int reason) {
    switch (reason) {
    case ENOENT: /* the kernel knows the event, but the processor it sees has no unit that counts */
    case ENODEV:
    case EOPNOTSUPP:
        return "this processor or VM lacks them";
    case EACCES:
    case EPERM:
        return "refused, see 'quern doctor'";
    case ENOSYS:
        return "this system has no perf_event_open";
    default:
        return strerror(reason);
    }
}
