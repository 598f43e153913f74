/* SPDX-License-Identifier: Apache-2.0
 *
 * Status codes and the error record that every fallible function fills: one sentence that says
 * what failed, where, what was found and what was expected. Our own bugs are asserts, not these.
 */
#ifndef QN_BASE_STATUS_H
#define QN_BASE_STATUS_H

enum qn_status {
    QN_OK,
    QN_BAD_ARGUMENT, /* the caller's value is out of range */
    QN_NOT_FOUND,    /* no such file, key or tensor */
    QN_IO,           /* the operating system failed to read or map */
    QN_BAD_FILE,     /* contents break the format's rules */
    QN_UNSUPPORTED,  /* valid, but not something this build can run */
    QN_NO_MEMORY,
    QN_CONTEXT_FULL, /* the KV cache has no room for the batch */
    QN_CANCELLED
};

struct qn_error {
    enum qn_status status;
    char message[512];
};

/* Fills err (may be NULL) and returns status. The message has no final full stop or newline. */
enum qn_status qn_fail(struct qn_error *err, enum qn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

/* Forwards a failure to the caller. */
#define QN_TRY(expression)                                                                         \
    do {                                                                                           \
        const enum qn_status qn_try_status = (expression);                                         \
        if (qn_try_status != QN_OK) return qn_try_status;                                          \
    } while (0)

#endif
