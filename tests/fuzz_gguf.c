/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_gguf.h"

#include <stdlib.h>
#include <string.h>

#include "formats/gguf.h"

/* Reads every byte of a range, so that a sanitizer or a guard page sees a range that is wrong. */
static unsigned sum(const void *data, size_t size) {
    const uint8_t *byte = data;
    unsigned total = 0;
    for (size_t i = 0; i < size; i++) total += byte[i];
    return total;
}

/* The compiler must not find out that nobody wants the sums. */
static void use(unsigned total) {
    __asm__ volatile("" : : "r"(total));
}

static unsigned touch_value(const struct qn_gguf *gguf, const struct qn_gguf_value *value) {
    unsigned total = sum(value->key.data, value->key.size) + sum(value->data, value->size);
    if (value->element == QN_GGUF_STRING) {
        const uint8_t *cursor = value->data;
        for (uint64_t i = 0; i < value->count; i++) {
            const struct qn_string string = qn_gguf_next_string(&cursor);
            total += sum(string.data, string.size);
        }
        if (cursor != value->data + value->size) abort();
    }
    char *key = malloc(value->key.size + 1);
    if (!key) return total;
    memcpy(key, value->key.data, value->key.size);
    key[value->key.size] = '\0';
    if (qn_gguf_find(gguf, key) != value) abort();
    struct qn_error err;
    uint64_t integer;
    float number;
    bool truth;
    struct qn_string string;
    const struct qn_gguf_value *array;
    int accepted = qn_gguf_get_u64(gguf, key, &integer, &err) == QN_OK;
    accepted += qn_gguf_get_float(gguf, key, &number, &err) == QN_OK;
    accepted += qn_gguf_get_bool(gguf, key, &truth, &err) == QN_OK;
    accepted += qn_gguf_get_string(gguf, key, &string, &err) == QN_OK;
    accepted += qn_gguf_get_array(gguf, key, value->element, &array, &err) == QN_OK;
    if (accepted > 1) abort(); /* every value is of one kind */
    free(key);
    return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct qn_gguf *gguf;
    struct qn_error err = {0};
    if (qn_gguf_open_memory(data, size, "fuzz", &gguf, &err) != QN_OK) {
        if (err.status == QN_OK || !err.message[0]) abort(); /* a failure without a sentence */
        return 0;
    }
    unsigned total = 0;
    for (size_t i = 0; i < qn_gguf_n_values(gguf); i++)
        total += touch_value(gguf, qn_gguf_value_at(gguf, i));
    for (size_t i = 0; i < qn_gguf_n_tensors(gguf); i++) {
        const struct qn_tensor *tensor = qn_gguf_tensor_at(gguf, i);
        if (qn_gguf_find_tensor(gguf, tensor->name) != tensor) abort();
        total += sum(tensor->data, tensor->size);
        qn_gguf_release(gguf, tensor->data, tensor->size);
    }
    use(total);
    qn_gguf_close(gguf);
    return 0;
}
