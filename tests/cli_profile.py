#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quern profile from outside.

usage: cli_profile.py PROGRAM FOLDER-OF-MODELS
"""

import json
import statistics
import sys

from cli_harness import Program, Terminal, case, main

SHORT = ["-p", "40", "-n", "24", "-r", "2", "-ub", "32"]  # 2 ubatches and 24 tokens, twice
MODULES = {"embed", "norm", "attn", "mlp", "head"}


def profile(program: Program, model="llama-trained-q8_0", *arguments) -> dict:
    done = program.succeeds("profile", program.model(model), *SHORT, "-t", 2, "--json", *arguments)
    return json.loads(done.stdout)


@case
def json_says_what_ran(program):
    found = profile(program)
    assert found["quern_profile"] == 1
    assert found["run"] == {"prompt": 40, "decoded": 24, "repetitions": 2, "ubatch": 32,
                            "kv": "f16"}
    assert found["host"]["threads"] == 2 and len(found["host"]["pinned_to"]) == 2
    assert found["model"]["file"] == "llama-trained-q8_0.gguf"
    prefill, decode = found["phases"]
    assert (prefill["passes"], prefill["tokens"]) == (4, 80), prefill
    assert (decode["passes"], decode["tokens"]) == (48, 48), decode
    assert len(found["latency_ns"]["first_token"]) == 2
    assert len(found["latency_ns"]["between_tokens"]) == 48
    assert found["lost_events"] == 0


@case
def every_step_has_its_tags(program):
    found = profile(program, "qwen2-mixed")
    layers = found["model"]["layers"]
    for phase, rows in (("prefill", 4), ("decode", 48)):
        steps = [s for s in found["steps"] if s["phase"] == phase]
        assert {s["module"] for s in steps} == MODULES, steps
        assert {s["layer"] for s in steps} == set(range(-1, layers))
        for step in steps:
            # The head is computed for the last ubatch of the prompt alone.
            assert len(step["samples_ns"]) == rows, step
            assert step["shape"] and step["type"] and step["bytes"] > 0, step
            if step["op"] == "matmul":
                kernel = "qn_matvec" if phase == "decode" else "qn_matmul"
                assert step["kernel"].startswith(kernel), step
                assert step["flops"] > 0, step
            if step["op"] == "attention":
                assert step["kernel"].startswith("qn_attention_f16"), step


@case
def types_of_a_step_are_those_of_the_file(program):
    found = profile(program, "qwen2-mixed")
    inspected = json.loads(program.succeeds("inspect", program.model("qwen2-mixed"),
                                            "--json").stdout)
    stored = {t["name"]: t["type"] for t in inspected["tensors"]}
    for step in found["steps"]:
        if step["name"] != "down":
            continue
        assert step["type"] == stored[f"blk.{step['layer']}.ffn_down.weight"], step


@case
def parts_add_up(program):
    """Steps follow each other, so those of a pass make up its time, less what it takes to start
    and join the threads: under 2 % of a pass in the median, as some pass is always interrupted."""
    found = profile(program, "llama-trained-q8_0", "-t", 1)
    for phase in found["phases"]:
        steps = [s["samples_ns"] for s in found["steps"] if s["phase"] == phase["phase"]]
        sums = [sum(column) for column in zip(*steps)]
        shares = [s / p for s, p in zip(sums, phase["samples_ns"])]
        assert max(shares) <= 1.0001, shares
        assert statistics.median(shares) >= 0.98, shares
        assert abs(sum(sums) * 1e-9 - phase["step_seconds"]) < 1e-6


@case
def text_is_legible(program):
    done = program.succeeds("profile", program.model("llama-trained-q8_0"), *SHORT)
    text = done.stdout.decode()
    for line in text.splitlines():
        assert len(line) <= 80, line
    for word in ("Latency", "Prefill: ", "Decode: ", "first token", "attn", "gate_up", "wait"):
        assert word in text, f"no '{word}' in {text}"
    assert "\x1b" not in text and not done.stderr


@case
def colours_on_a_terminal_alone(program):
    arguments = ["profile", program.model("llama-trained-q8_0"), *SHORT]
    with Terminal(program, *arguments) as terminal:
        status, shown = terminal.finish()
    assert status == 0 and "\x1b[36m" in shown
    program.environment["NO_COLOR"] = "1"
    with Terminal(program, *arguments) as terminal:
        status, shown = terminal.finish()
    assert status == 0 and "\x1b" not in shown
    program.environment["LC_ALL"] = "C"
    done = program.succeeds(*arguments)
    assert done.stdout.isascii()


@case
def a_prompt_of_text(program):
    done = program.succeeds("profile", program.model("llama-trained-q8_0"), "the quick", "-n", 3,
                            "-r", 1, "--json")
    found = json.loads(done.stdout)
    assert found["run"]["prompt"] >= 2 and found["run"]["decoded"] == 3


@case
def refuses(program):
    program.fails(1, ["no-such.gguf"], "profile", "no-such.gguf")
    model = program.model("llama-f32")
    program.fails(2, ["-n"], "profile", model, "-n", "many")



if __name__ == "__main__":
    sys.exit(main())
