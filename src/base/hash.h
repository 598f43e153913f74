/* SPDX-License-Identifier: Apache-2.0
 *
 * A fast fingerprint of bytes: finds accidents, not forgeries.
 */
#ifndef QN_BASE_HASH_H
#define QN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH64 of size bytes, unaligned allowed.
 * Source: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md */
uint64_t qn_hash(const void *data, size_t size, uint64_t seed);

#endif
