/* SPDX-License-Identifier: Apache-2.0
 *
 * pytorch_model.bin: what torch.save writes of a dict of tensors since PyTorch 1.6. A zip archive
 * holds NAME/data.pkl, a pickle that describes the tensors, and NAME/data/KEY, the bytes of each
 * storage, which tensors may share.
 */
#ifndef QN_FORMATS_TORCH_FILE_H
#define QN_FORMATS_TORCH_FILE_H

#include "formats/tensor_file.h"

/* Records the tensors of a file whose data and path are set: those of the dict, or of the dict
 * that it holds as "state_dict" or "model"; what else it holds is passed over. Errors: as
 * qn_zip_read and qn_pickle_read; QN_BAD_FILE (a tensor beyond its storage, or without one),
 * QN_UNSUPPORTED (older formats, big-endian data, tensors that are not contiguous),
 * QN_NO_MEMORY. */
enum qn_status qn_torch_read(struct qn_tensor_file *file, struct qn_error *err);

#endif
