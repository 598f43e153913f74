/* SPDX-License-Identifier: Apache-2.0
 *
 * The safetensors format, as its specification and the reference implementation define it:
 *
 *   size:u64, little-endian    of the header, at most 100 000 000
 *   header:JSON                {NAME: {"dtype": "F16", "shape": [N, K], "data_offsets": [A, B]},
 * ...} data                       tensors without gaps; offsets count from here
 */
#ifndef QN_FORMATS_SAFETENSORS_H
#define QN_FORMATS_SAFETENSORS_H

#include "formats/tensor_file.h"

/* Records the tensors of a file whose data and path are set. Errors: QN_BAD_FILE (a rule of the
 * format is broken), QN_UNSUPPORTED (an unknown element type, too many dimensions),
 * QN_NO_MEMORY. */
enum qn_status qn_safetensors_read(struct qn_tensor_file *file, struct qn_error *err);

#endif
