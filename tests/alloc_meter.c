/* SPDX-License-Identifier: Apache-2.0
 *
 * The linker sends the program's calls of malloc to __wrap_malloc and so on; __real_malloc is
 * the library's (or the sanitizer's).
 */
#include "alloc_meter.h"

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *memory);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
char *__wrap_strdup(const char *string);
char *__wrap_strndup(const char *string, size_t size);
int __wrap_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static struct {
    atomic_size_t calls;
    atomic_ptrdiff_t held;
    atomic_ptrdiff_t peak;
    atomic_size_t fail_at;
    atomic_bool fail_forever;
} meter;

void alloc_meter_reset(void) {
    atomic_store(&meter.calls, 0);
    atomic_store(&meter.held, 0);
    atomic_store(&meter.peak, 0);
    alloc_meter_fail_at(0, false);
}

size_t alloc_meter_calls(void) {
    return atomic_load(&meter.calls);
}

size_t alloc_meter_peak(void) {
    return (size_t)atomic_load(&meter.peak);
}

ptrdiff_t alloc_meter_held(void) {
    return atomic_load(&meter.held);
}

void alloc_meter_fail_at(size_t k, int forever) {
    atomic_store(&meter.fail_at, k);
    atomic_store(&meter.fail_forever, forever != 0);
}

/* Counts a call; true when it has to fail. */
static bool refuse(void) {
    const size_t call = atomic_fetch_add(&meter.calls, 1) + 1;
    const size_t fail_at = atomic_load(&meter.fail_at);
    if (fail_at == 0) return false;
    return call == fail_at || (call > fail_at && atomic_load(&meter.fail_forever));
}

static void *took(void *memory) {
    const ptrdiff_t size = (ptrdiff_t)malloc_usable_size(memory);
    const ptrdiff_t held = atomic_fetch_add(&meter.held, size) + size;
    ptrdiff_t peak = atomic_load(&meter.peak);
    while (held > peak && !atomic_compare_exchange_weak(&meter.peak, &peak, held)) {
    }
    return memory;
}

static void *fail_call(void) {
    errno = ENOMEM;
    return NULL;
}

void *__wrap_malloc(size_t size) {
    return refuse() ? fail_call() : took(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size) {
    return refuse() ? fail_call() : took(__real_calloc(n, size));
}

void *__wrap_realloc(void *old, size_t size) {
    if (refuse()) return fail_call();
    const ptrdiff_t old_size = (ptrdiff_t)malloc_usable_size(old);
    void *memory = __real_realloc(old, size);
    if (!memory) return NULL;
    /* Both blocks may have existed at once: the peak sees the sum. */
    took(memory);
    atomic_fetch_sub(&meter.held, old_size);
    return memory;
}

void __wrap_free(void *memory) {
    atomic_fetch_sub(&meter.held, (ptrdiff_t)malloc_usable_size(memory));
    __real_free(memory);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return refuse() ? fail_call() : took(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size) {
    if (refuse()) return ENOMEM;
    const int error = __real_posix_memalign(out, alignment, size);
    if (error == 0) took(*out);
    return error;
}

char *__wrap_strdup(const char *string) {
    const size_t size = strlen(string) + 1;
    char *copy = __wrap_malloc(size);
    return copy ? memcpy(copy, string, size) : NULL;
}

char *__wrap_strndup(const char *string, size_t size) {
    const size_t length = strnlen(string, size);
    char *copy = __wrap_malloc(length + 1);
    if (!copy) return NULL;
    copy[length] = '\0';
    return memcpy(copy, string, length);
}

int __wrap_asprintf(char **out, const char *format, ...) {
    if (refuse()) {
        fail_call();
        return -1;
    }
    va_list args;
    va_start(args, format);
    const int size = vasprintf(out, format, args);
    va_end(args);
    if (size >= 0) took(*out);
    return size;
}

/* Criterion's runner now and then loses a record of 48 bytes of its own when tests have time
 * limits; LeakSanitizer asks here what to overlook. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libcriterion.so\n";
}
