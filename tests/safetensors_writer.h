/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes safetensors files into memory: a header as the caller spells it, and data whose byte i
 * is i. So every rule can be kept or broken.
 */
#ifndef QN_TESTS_SAFETENSORS_WRITER_H
#define QN_TESTS_SAFETENSORS_WRITER_H

#include "gguf_writer.h"

struct bytes safetensors_file(const char *header, size_t data_size);

#endif
