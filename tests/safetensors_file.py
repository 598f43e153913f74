# SPDX-License-Identifier: Apache-2.0
"""Reading and writing of model.safetensors with the standard library, for tests that spoil models.

The format: 8 bytes with the size of a JSON object, the object, then the tensors' bytes.
Source: https://huggingface.co/docs/safetensors/index
"""

import json
import struct
from array import array
from pathlib import Path


class Tensor:
    """A float32 matrix or vector; values is a flat array, row after row."""

    def __init__(self, shape: list[int], values: array):
        self.shape, self.values = shape, values

    def row(self, i: int) -> array:
        width = len(self.values) // self.shape[0]
        return self.values[i * width:(i + 1) * width]

    def reorder(self, order: list[int]) -> None:
        """Row i becomes what row order[i] was."""
        rows = [self.row(i) for i in order]
        self.values = array("f", b"".join(row.tobytes() for row in rows))


def read(path: Path, without: str = "") -> dict[str, Tensor]:
    """All tensors but those of the dtype `without`."""
    data = path.read_bytes()
    size, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] == without:
            continue
        assert entry["dtype"] == "F32", f"{name} is {entry['dtype']}"
        first, end = entry["data_offsets"]
        tensors[name] = Tensor(entry["shape"], array("f", data[8 + size + first:8 + size + end]))
    return tensors


def write(path: Path, tensors: dict[str, Tensor]) -> None:
    header, body = {}, b""
    for name, tensor in tensors.items():
        values = tensor.values.tobytes()
        header[name] = {"dtype": "F32", "shape": tensor.shape,
                        "data_offsets": [len(body), len(body) + len(values)]}
        body += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
