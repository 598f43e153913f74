#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama.cpp's logits for given ids, to compare with by tools/reference_kl.py.

usage: tools/llama_cpp_logits.py MODEL.gguf IDS.txt OUT.npy [--plain] [--f32-cache]

Run by hand; needs the Python package llama-cpp-python (LLAMA_CPP_LIB_PATH names the folder of
another libllama.so). IDS.txt: ids separated by blanks. OUT.npy: float32 [T][V]. llama.cpp's
defaults are taken: repacked weights (--plain: not), flash attention where it chooses so, and a
half-precision KV cache (--f32-cache: float32, without flash attention).
"""

import argparse
import ctypes

import llama_cpp as llama
import numpy as np


def evaluate(options: argparse.Namespace, ids: list[int]) -> np.ndarray:
    """float32 [T][V], all ids in one batch."""
    model_params = llama.llama_model_default_params()
    model_params.use_extra_bufts = not options.plain
    model = llama.llama_model_load_from_file(options.model.encode(), model_params)
    if not model:
        raise SystemExit(f"llama.cpp cannot load {options.model}")
    params = llama.llama_context_default_params()
    params.n_ctx = len(ids)
    params.n_batch = len(ids)
    if options.f32_cache:
        params.type_k = params.type_v = 0  # GGML_TYPE_F32
        params.flash_attn_type = 0
    context = llama.llama_init_from_model(model, params)
    batch = llama.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for position, token in enumerate(ids):
        batch.token[position] = token
        batch.pos[position] = position
        batch.n_seq_id[position] = 1
        batch.seq_id[position][0] = 0
        batch.logits[position] = 1
    if llama.llama_decode(context, batch) != 0:
        raise SystemExit("llama.cpp failed to evaluate the ids")
    n_vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    return np.ctypeslib.as_array(llama.llama_get_logits(context), (len(ids), n_vocab)).copy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("ids")
    parser.add_argument("out")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--f32-cache", action="store_true")
    options = parser.parse_args()
    silent = llama.llama_log_callback(lambda *_: None)
    llama.llama_log_set(silent, ctypes.c_void_p(0))
    with open(options.ids) as file:
        ids = [int(word) for word in file.read().split()]
    np.save(options.out, evaluate(options, ids))


if __name__ == "__main__":
    main()
