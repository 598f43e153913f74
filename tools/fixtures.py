#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the models and golden files under tests/data. Run by hand; see tests/data/README.md.

usage: tools/fixtures.py [--only NAME]... [--out FOLDER]
"""

import argparse
import hashlib
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type

from fixtures import blocks, corpus, folder, model, tokenizer_files, training, vocabulary
from fixtures.families import Shape
from fixtures.folder_table import FOLDERS
from fixtures.model import Row

# Head counts that are no powers of two and rows of three blocks of 32 find wrong strides.
PLAIN = Shape(hidden=64, ffn=96, layers=2, heads=4, kv_heads=2, head_size=16)
SMALL = Shape(hidden=48, ffn=80, layers=2, heads=3, kv_heads=1, head_size=16)
# The heads together are wider than the model: attention.key_length must be read.
WIDE_HEADS = Shape(hidden=48, ffn=80, layers=2, heads=4, kv_heads=2, head_size=16)
BLOCK_32 = Shape(hidden=96, ffn=160, layers=2, heads=6, kv_heads=2, head_size=16)
# Blocks of 256: one block a row in most matrices, two in ffn_down.
BLOCK_256 = Shape(hidden=256, ffn=512, layers=1, heads=4, kv_heads=1, head_size=64)
RECITER = Shape(hidden=96, ffn=192, layers=3, heads=6, kv_heads=2, head_size=16)

LINEAR = {"rope_type": "linear", "factor": 4.0}
# With a base of 100 the ramp of YaRN spreads over five of the eight frequencies.
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}

MIXED = {"attn_q": Type.Q4_0, "attn_k": Type.Q5_0, "attn_v": Type.Q8_0, "attn_output": Type.Q4_1,
         "ffn_gate": Type.Q4_0, "ffn_up": Type.Q5_1, "ffn_down": Type.IQ4_NL}

ROWS = [
    Row("llama-f32", "llama", PLAIN),
    Row("llama-tied-f32", "llama", WIDE_HEADS, tied=True, pre="llama-bpe", seed=2),
    Row("llama-linear-f32", "llama", SMALL, tied=True, scaling=LINEAR, seed=3),
    Row("llama-llama3-f32", "llama", SMALL, tied=True, scaling=LLAMA3, rope_base=500000.0,
        pre="llama-bpe", seed=4),
    Row("llama-window-f32", "mistral", SMALL, tied=True, window=8, pre="spm", seed=5),
    Row("qwen2-f32", "qwen2", PLAIN, tied=True, pre="qwen2", rope_base=1000000.0, seed=6),
    Row("qwen2-yarn-f32", "qwen2", SMALL, tied=True, pre="qwen2", scaling=YARN,
        rope_base=100.0, seed=7),
    Row("llama-f16", "llama", SMALL, Type.F16, tied=True, seed=8),
    Row("llama-v2-f16", "llama", SMALL, Type.F16, tied=True, version=2, seed=8,
        golden="llama-f16"),
    Row("llama-split-f16", "llama", SMALL, Type.F16, tied=True, parts=3, seed=8,
        golden="llama-f16"),
    Row("llama-spm-f16", "llama", SMALL, Type.F16, pre="spm", seed=9),
    Row("llama-bf16", "llama", SMALL, Type.BF16, tied=True, seed=10),
    Row("qwen2-mixed", "qwen2", BLOCK_32, Type.Q8_0, kinds=MIXED, tied=True, pre="qwen2",
        rope_base=1000000.0, seed=11),
] + [
    Row(f"llama-{kind.name.lower()}", "llama", BLOCK_32, kind, tied=True, seed=20 + i)
    for i, kind in enumerate([Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1,
                              Type.IQ4_NL])
] + [
    Row(f"llama-{kind.name.lower()}", "llama", BLOCK_256, kind, tied=True, seed=30 + i)
    for i, kind in enumerate([Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K,
                              Type.IQ4_XS])
]

TRAINED = [
    Row("llama-trained-q8_0", "llama", RECITER, Type.Q8_0, tied=True, epsilon=1e-5, seed=40),
    Row("qwen2-trained-q8_0", "qwen2", RECITER, Type.Q8_0, tied=True, epsilon=1e-6, pre="qwen2",
        rope_base=1000000.0, seed=41),
]

# As enum qn_type of kernels/types.h counts them.
STORED = [Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1,
          Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K, Type.IQ4_NL, Type.IQ4_XS]

N_IDS = 48
POSITIONS = [0, 1, 2, 3, 7, 8, 9, 15, 16, 31, 40, 47]  # around the window of 8 and blocks of 16


def golden_ids() -> np.ndarray:
    """int32 [T]: every model is given the same ids; they stay clear of the control tokens."""
    return np.random.default_rng(2).integers(3, vocabulary.SIZE, N_IDS).astype(np.int32)


def write_golden(row: Row, tensors: dict, golden: Path):
    """Writes NAME.logits.npy, float32 [P][V], and for quantized weights NAME.rounded.npy alike;
    returns the model that gave them."""
    reference = model.make_model(row)
    model.load_tensors(row, reference, tensors)
    logits = model.logits_of(reference, golden_ids())
    np.save(golden / f"{row.name}.logits.npy", logits[POSITIONS])
    if row.kind not in (Type.F32, Type.F16, Type.BF16):
        rounded = model.rounded_logits_of(reference, golden_ids())
        np.save(golden / f"{row.name}.rounded.npy", rounded[POSITIONS])
    print(f"  {row.name}: logits' deviation {logits.std():.3f}")
    return reference


def escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def write_greedy(name: str, words, reference, path: Path) -> None:
    """Writes what greedy decoding says after each prompt."""
    lines = []
    for prompt, wanted in training.recited(words):
        ids = training.prompt_ids(words, prompt)
        new, lead = training.recite(reference, ids, words.end)
        text = words.decode(ids + new).removeprefix(words.decode(ids))
        if new[-1] != words.end or text != wanted:
            raise ValueError(f"{name}: {prompt!r} continues as {text!r}, not {wanted!r}")
        print(f"  {name}: {prompt!r} -> {text!r}, lead {lead:.1f}")
        lines.append("\t".join([escape(prompt), escape(text), ",".join(map(str, ids)),
                                ",".join(map(str, new))]))
    path.write_text("\n".join(lines) + "\n")


def make_row(row: Row, models: Path, golden: Path) -> None:
    trained = row in TRAINED
    if trained:
        tensors = model.trained_tensors(row, training.train(row))
    else:
        tensors = model.random_tensors(row)
    for path in model.write_gguf(row, tensors, models):
        print(f"{path.name}: {path.stat().st_size} bytes")
    if not row.golden:
        reference = write_golden(row, tensors, golden)
        if trained:
            write_greedy(row.name, vocabulary.make(row.pre), reference,
                         golden / f"{row.name}.greedy.tsv")


def make_folder(row: folder.Folder, out: Path, models: Path, golden: Path) -> None:
    place = out / row.name
    folder.write(row, place, models, training.train_folder)
    folder.check_words(row, place, corpus.AWKWARD)
    reference = folder.read_back(row, place)
    logits = model.logits_of(reference, golden_ids())
    np.save(golden / f"hf-{row.name}.logits.npy", logits[POSITIONS])
    if row.trained:
        write_greedy(row.name, tokenizer_files.learn(row.words), reference,
                     golden / f"hf-{row.name}.greedy.tsv")
    size = sum(p.stat().st_size for p in place.iterdir())
    print(f"hf/{row.name}: {size} bytes, logits' deviation {logits.std():.3f}")


def write_folder_table(out: Path) -> None:
    """models.tsv: folder, stage, model_type, type of the weights, file of logits, GGUF file."""
    lines = ["\t".join([row.name, row.stage, row.config["model_type"], row.dtype,
                        f"hf-{row.name}.logits.npy", row.gguf or "-"]) for row in FOLDERS]
    (out / "models.tsv").write_text("\n".join(lines) + "\n")


def write_table(golden: Path) -> None:
    """models.tsv: what each model is and which logits belong to it."""
    lines = []
    for row in ROWS + TRAINED:
        first = f"{row.name}-00001-of-{row.parts:05}.gguf" if row.parts > 1 else f"{row.name}.gguf"
        lines.append("\t".join([row.name, first, row.kind.name.lower(),
                                f"{row.golden or row.name}.logits.npy"]))
    (golden / "models.tsv").write_text("\n".join(lines) + "\n")


def write_words(golden: Path) -> None:
    """words.tsv: a model with the vocabulary, text, and its ids without BOS."""
    lines, seen = [], set()
    for row in ROWS:
        if row.pre in seen or row.parts > 1:
            continue
        seen.add(row.pre)
        words = vocabulary.make(row.pre)
        for text in corpus.AWKWARD:
            ids = ",".join(map(str, words.encode(text)))
            lines.append("\t".join([f"{row.name}.gguf", escape(text), ids]))
    (golden / "words.tsv").write_text("\n".join(lines) + "\n")


def write_types(golden: Path) -> None:
    """types.stored.npy, types.values.npy: 4 blocks of each type, or 64 elements, and their values.

    Stored bytes stand as one int32 each, type after type in the order of STORED.
    """
    rng = np.random.default_rng(50)
    stored, values = [], []
    for kind in STORED:
        block = GGML_QUANT_SIZES[kind][0]
        data = blocks.random_tensor(rng, (1, 4 * block if block > 1 else 64), 0.5, kind)
        stored.append(np.frombuffer(data.tobytes(), dtype=np.uint8).astype(np.int32))
        values.append(blocks.load(data, kind).reshape(-1))
    np.save(golden / "types.stored.npy", np.concatenate(stored))
    np.save(golden / "types.values.npy", np.concatenate(values))


def write_sums(out: Path) -> None:
    made = {".gguf", ".npy", ".tsv", ".json", ".safetensors", ".bin", ".model"}
    files = sorted(p for p in out.rglob("*") if p.suffix in made or p.name == "merges.txt")
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(out)}" for p in files]
    (out / "SHA256SUMS").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", help="make this model only (may be repeated)")
    parser.add_argument("--out", type=Path,
                        default=Path(__file__).resolve().parent.parent / "tests" / "data")
    options = parser.parse_args()
    torch.set_num_threads(1)  # the same sums on every machine
    models, golden, folders = (options.out / name for name in ("models", "golden", "hf"))
    for place in (models, golden, folders):
        place.mkdir(parents=True, exist_ok=True)
    for row in ROWS + TRAINED:
        if not options.only or row.name in options.only:
            make_row(row, models, golden)
    for row in FOLDERS:
        if not options.only or row.name in options.only:
            make_folder(row, folders, models, golden)
    write_folder_table(folders)
    np.save(golden / "ids.npy", golden_ids())
    np.save(golden / "positions.npy", np.array(POSITIONS, dtype=np.int32))
    write_table(golden)
    write_words(golden)
    write_types(golden)
    write_sums(options.out)


if __name__ == "__main__":
    main()
