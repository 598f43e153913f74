#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What transformers computes of a model in float32, module by module, for `quern verify --ref`.

usage: tools/reference.py MODEL OUT [--text T | --ids 1,2,3] [--positions N] [--predict N]

MODEL is a GGUF file or a Hugging Face folder. OUT is a folder that gets, under the names of
Quern's taps (`quern logits --help`), float32 files [positions][columns] such as
layers.0.attn_out.npy and logits.npy, and manifest.json: the ids that were evaluated, ids of some
strings, and greedy answers to the three prompts. Run by hand (packages:
tools/fixtures-requirements.txt).
"""

from __future__ import annotations  # where a package is missing, types are not looked up

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

try:
    import numpy as np
    import torch
    import transformers
except ImportError as error:  # the help is there without them
    MISSING = str(error)
else:
    MISSING = None

PROMPTS = ["The capital of France is", "2 + 2 =", "Count to 5:"]
TEXT = ("The capital of France is Paris. 2 + 2 = 4. Count to 5: 1, 2, 3, 4, 5.\n"
        "The old clock in the hall struck nine, and nobody came.")
# What splits tokenizers apart: spaces, digits, contractions, scripts, marks, line ends.
STRINGS = PROMPTS + [
    "Hello, world!", " leading space", "two  spaces and\ttab", "line\nbreak\n\n\nand more\r\n",
    "don't we'll I'M they've", "1234567 3.14159 1,000,000", "x = (a[i] + b) * 2; // C",
    "na\u00efve caf\u00e9 \u00dcbung", "\u65e5\u672c\u8a9e\u3068\u4e2d\u6587", "\u0440\u0443\u0441"
    "\u0441\u043a\u0438\u0439", "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467", "e\u0301",
    "aaaaaaaaaaaaaaaa", "https://example.org/a?b=c&d=%20", "", " ", "unbelievably antidisestablish",
]

# Names of the same module in different families.
LAYERS = ["model.layers", "transformer.h", "gpt_neox.layers", "model.decoder.layers",
          "model.language_model.layers"]
FINAL_NORM = ["model.norm", "transformer.ln_f", "gpt_neox.final_layer_norm",
              "model.decoder.final_layer_norm", "model.language_model.norm"]
ATTENTION = ["self_attn", "attn", "attention"]
PROJECTION = ["o_proj", "out_proj", "c_proj", "dense"]
FUSED = ["c_attn", "query_key_value", "qkv_proj"]
MLP = ["mlp", "fc2"]
ATTN_NORM = ["input_layernorm", "self_attn_layer_norm", "ln_1"]
FFN_NORM = ["pre_feedforward_layernorm", "post_attention_layernorm", "final_layer_norm", "ln_2"]


def find(module, names: list[str]):
    """The submodule that one of the names leads to, or None."""
    for name in names:
        here = module
        for part in name.split("."):
            here = getattr(here, part, None)
        if here is not None:
            return here
    return None


def rows(tensor) -> np.ndarray:
    """[1][T][...] -> float32 [T][columns]"""
    if isinstance(tensor, tuple):
        tensor = tensor[0]
    tensor = tensor.detach().to(torch.float32)
    if tensor.dim() == 2:  # some modules lose the batch
        return tensor.numpy().copy()
    return tensor[0].reshape(tensor.shape[1], -1).numpy().copy()


def heads(tensor) -> np.ndarray:
    """[1][H][T][D] -> float32 [T][H D]"""
    return rows(tensor.transpose(1, 2))


class Recorder:
    """Hooks on every module that has a tap's name."""

    def __init__(self, network):
        self.network, self.config = network, network.config.get_text_config()
        self.taps: dict[str, np.ndarray] = {}
        self.layer, self.handles = 0, []

    def record(self, name: str, value: np.ndarray) -> None:
        self.taps[name] = np.ascontiguousarray(value, dtype=np.float32)

    def output(self, module, name: str) -> None:
        if module is not None:
            self.handles.append(module.register_forward_hook(
                lambda _m, _i, out: self.record(name, rows(out))))

    def input(self, module, name: str) -> None:
        if module is not None:
            self.handles.append(module.register_forward_pre_hook(
                lambda _m, args, kwargs: self.record(
                    name, rows(args[0] if args else kwargs["hidden_states"])), with_kwargs=True))

    def split(self, module, layer: int) -> None:
        """Q, K and V of a fused product."""
        c = self.config
        n_heads = c.num_attention_heads
        n_kv = getattr(c, "num_key_value_heads", None) or n_heads

        def hook(_module, _args, out):
            fused = rows(out)
            if hasattr(module, "nf"):  # GPT-2: Q, K, V side by side
                parts = np.split(fused, 3, axis=1)
            elif c.model_type == "gpt_neox":  # Q, K, V of head 0, then of head 1, ...
                by_head = fused.reshape(len(fused), n_heads, 3, -1)
                parts = [by_head[:, :, i].reshape(len(fused), -1) for i in range(3)]
            else:
                size = fused.shape[1] // (n_heads + 2 * n_kv)
                parts = np.split(fused, [n_heads * size, (n_heads + n_kv) * size], axis=1)
            for name, part in zip("qkv", parts):
                self.record(f"layers.{layer}.{name}", part)

        self.handles.append(module.register_forward_hook(hook))

    def watch_layer(self, layer, index: int) -> None:
        prefix = f"layers.{index}."
        attention = find(layer, ATTENTION)
        fused = find(attention, FUSED)
        if fused is not None:
            self.split(fused, index)
        else:
            for name in "qkv":
                self.output(getattr(attention, f"{name}_proj"), prefix + name)
        projection = find(attention, PROJECTION)
        self.input(projection, prefix + "attn")
        self.output(projection, prefix + "attn_out")
        self.output(find(layer, MLP), prefix + "mlp_out")
        router = getattr(find(layer, MLP), "gate", None)
        if hasattr(router, "top_k"):
            self.output(router, prefix + "router")
        if self.has_norms_before(layer):
            self.output(find(layer, ATTN_NORM), prefix + "attn_norm")
            self.output(find(layer, FFN_NORM), prefix + "ffn_norm")
        self.output(layer, prefix + "out")

        def enter(_module, _args):
            self.layer = index

        self.handles.append(attention.register_forward_pre_hook(enter))

    def has_norms_before(self, layer) -> bool:
        if self.config.model_type == "opt":
            return self.config.do_layer_norm_before
        return find(layer, ATTN_NORM) is not None

    def watch_rotation(self, attention) -> None:
        """The modeling file's own function, which attention calls with Q and K as heads."""
        file = sys.modules[type(attention).__module__]
        rotate = getattr(file, "apply_rotary_pos_emb", None)
        if rotate is None:
            return

        def watched(*args, **kwargs):
            q, k = rotate(*args, **kwargs)
            self.record(f"layers.{self.layer}.q_rope", heads(q))
            self.record(f"layers.{self.layer}.k_rope", heads(k))
            return q, k

        file.apply_rotary_pos_emb = watched

    def run(self, ids: list[int]) -> dict[str, np.ndarray]:
        layers = find(self.network, LAYERS)
        self.input(layers[0], "embed")
        for index, layer in enumerate(layers):
            self.watch_layer(layer, index)
        self.watch_rotation(find(layers[0], ATTENTION))
        self.output(find(self.network, FINAL_NORM), "final_norm")
        with torch.no_grad():
            self.record("logits", rows(self.network(torch.tensor([ids]), use_cache=False).logits))
        for handle in self.handles:
            handle.remove()
        return self.taps


def load(path: Path):
    """The network in float32, and its tokenizer or None."""
    if path.is_dir():
        where, more = path, {}
    else:
        where, more = path.parent, {"gguf_file": path.name}
    network = transformers.AutoModelForCausalLM.from_pretrained(
        where, dtype=torch.float32, attn_implementation="eager", **more).eval()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(where, **more)
    except (OSError, ValueError, KeyError) as error:
        print(f"no tokenizer: {error}", file=sys.stderr)
        tokenizer = None
    return network, tokenizer


def answers(network, tokenizer, n_predict: int) -> list[dict]:
    result = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt).input_ids
        new = []
        with torch.no_grad():
            for _ in range(n_predict):
                new.append(int(network(torch.tensor([ids + new])).logits[0, -1].argmax()))
        result.append({"prompt": prompt, "ids": ids, "new": new})
    return result


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="GGUF file or Hugging Face folder")
    parser.add_argument("out", type=Path, help="folder to write")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--text", default=TEXT, help="text to evaluate")
    source.add_argument("--ids", help="token ids to evaluate, separated by commas")
    parser.add_argument("--positions", type=int, default=48, help="at most so many tokens (48)")
    parser.add_argument("--predict", type=int, default=8, help="greedy tokens of each prompt (8)")
    parser.add_argument("--taps", nargs="*", metavar="NAME",
                        help="write these alone, by the end of their names (all)")
    return parser.parse_args()


def main() -> None:
    options = parse()
    if MISSING:
        raise SystemExit(f"{MISSING}; the packages are in tools/fixtures-requirements.txt")
    network, tokenizer = load(options.model)
    if options.ids:
        ids = [int(i) for i in options.ids.split(",")]
    elif tokenizer is None:
        raise SystemExit("the model has no tokenizer that transformers reads: give --ids")
    else:
        ids = tokenizer(options.text).input_ids
    ids = ids[:options.positions]
    predicted = answers(network, tokenizer, options.predict) if tokenizer else []
    taps = Recorder(network).run(ids)
    if options.taps:
        taps = {name: value for name, value in taps.items()
                if name.endswith(tuple(options.taps)) or name == "logits"}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, value in taps.items():
        np.save(options.out / f"{name}.npy", value)
    manifest = {
        "format": "quern reference 1",
        "model": options.model.name,
        "architecture": network.config.model_type,
        "made_with": f"transformers {transformers.__version__}, torch {torch.__version__}, float32",
        "ids": ids,
        "strings": [{"text": s, "ids": tokenizer(s).input_ids} for s in STRINGS]
        if tokenizer else [],
        "answers": predicted,
        "taps": list(taps),
    }
    (options.out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{options.out}: {len(taps)} tensors of {len(ids)} positions, "
          f"{len(manifest['strings'])} strings", file=sys.stderr)


if __name__ == "__main__":
    main()
