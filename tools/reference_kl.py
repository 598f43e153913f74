#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How far an engine's logits are from transformers in float32 on the dequantized weights.

usage: tools/reference_kl.py MODEL.gguf [--text F] [--tokens N] [--write-ids F] [--reference F.npy]
       [NAME=]LOGITS.npy...

Run by hand (packages: tools/fixtures-requirements.txt). Without logits it only writes the ids:
  tools/reference_kl.py MODEL.gguf --write-ids ids.txt
  quern logits MODEL --ids-file ids.txt -o quern.npy
  tools/llama_cpp_logits.py MODEL.gguf ids.txt llama.npy
  tools/reference_kl.py MODEL.gguf quern.npy llama.npy
LOGITS.npy is float32 [T][V], one row for each id. --reference keeps transformers' own logits in a
file, and takes them from it where it exists. Printed for each: the mean of KL(reference || engine)
with its standard error, its 99th percentile and maximum, how often both choose the same next
token, and perplexity on the text.
"""

from __future__ import annotations  # where a package is missing, types are not looked up

import argparse
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

try:
    import gguf
    import numpy as np
    import torch
    import transformers
except ImportError as error:  # the help is there without them
    MISSING = str(error)
else:
    MISSING = None

TEXT = Path(__file__).resolve().parent.parent / "tests" / "data" / "text_sample.txt"


def token_ids(model: Path, text: str, limit: int) -> list[int]:
    """The text's first ids, after BOS where the file asks for it."""
    ids = transformers.AutoTokenizer.from_pretrained(model.parent, gguf_file=model.name).encode(
        text, add_special_tokens=False)
    fields = gguf.GGUFReader(model).fields
    add_bos = fields.get("tokenizer.ggml.add_bos_token")
    if add_bos is not None and add_bos.contents():
        ids = [int(fields["tokenizer.ggml.bos_token_id"].contents())] + ids
    return ids[:limit]


def reference_logits(model: Path, ids: list[int]) -> np.ndarray:
    """float32 [T][V]"""
    network = transformers.AutoModelForCausalLM.from_pretrained(
        model.parent, gguf_file=model.name, dtype=torch.float32,
        attn_implementation="eager").eval()
    with torch.no_grad():
        return network(torch.tensor([ids])).logits[0].numpy()


def log_softmax(row: np.ndarray) -> np.ndarray:
    row = row.astype(np.float64)
    row = row - row.max()
    return row - np.log(np.exp(row).sum())


def compare(ids: list[int], reference: np.ndarray, logits: np.ndarray) -> dict:
    """Measures over all positions; one at a time, as vocabularies are large."""
    divergence, same, losses, reference_losses = [], 0, [], []
    for t, id_next in enumerate(ids[1:] + [None]):
        p, q = log_softmax(reference[t]), log_softmax(logits[t])
        divergence.append(float((np.exp(p) * (p - q)).sum()))
        same += int(p.argmax() == q.argmax())
        if id_next is not None:
            losses.append(-q[id_next])
            reference_losses.append(-p[id_next])
    divergence = np.array(divergence)
    return {
        "mean": divergence.mean(), "error": divergence.std() / np.sqrt(len(divergence)),
        "p99": np.percentile(divergence, 99), "max": divergence.max(), "same": same / len(ids),
        "perplexity": np.exp(np.mean(losses)), "base": np.exp(np.mean(reference_losses)),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("logits", nargs="*", help="[NAME=]FILE.npy, float32 [T][V]")
    parser.add_argument("--text", type=Path, default=TEXT)
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--write-ids", type=Path)
    parser.add_argument("--reference", type=Path)
    return parser.parse_intermixed_args()


def main() -> None:
    options = parse()
    if MISSING:
        raise SystemExit(f"{MISSING}; the packages are in tools/fixtures-requirements.txt")
    ids = token_ids(options.model, options.text.read_text(), options.tokens)
    if options.write_ids:
        options.write_ids.write_text(" ".join(map(str, ids)) + "\n")
    if not options.logits and not options.reference:
        return
    if options.reference and options.reference.exists():
        reference = np.load(options.reference, mmap_mode="r")
    else:
        reference = reference_logits(options.model, ids)
        if options.reference:
            np.save(options.reference, reference)
    print(f"{options.model.name}: {len(ids)} tokens of {options.text.name}")
    print("| logits | mean KL | +- | 99 % | max | same choice | perplexity (reference) |")
    print("|---|---|---|---|---|---|---|")
    for argument in options.logits:
        name, path = argument.rsplit("=", 1) if "=" in argument else (argument, argument)
        logits = np.load(path, mmap_mode="r")
        if logits.shape != reference.shape:
            raise SystemExit(f"{path}: shape {logits.shape}, the reference has {reference.shape}")
        m = compare(ids, reference, logits)
        print(f"| {name} | {m['mean']:.3e} | {m['error']:.1e} | {m['p99']:.2e} | {m['max']:.2e} | "
              f"{m['same']:.2%} | {m['perplexity']:.4f} ({m['base']:.4f}) |", flush=True)


if __name__ == "__main__":
    main()
