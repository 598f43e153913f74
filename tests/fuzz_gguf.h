/* SPDX-License-Identifier: Apache-2.0
 *
 * Opens any bytes as a GGUF file and, if they are one, touches everything that the reader offers.
 * Returns 0. The name and type are those that fuzzers call.
 */
#ifndef QN_TESTS_FUZZ_GGUF_H
#define QN_TESTS_FUZZ_GGUF_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
