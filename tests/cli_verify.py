#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quern verify from outside: right models pass, wrong ones fail, and the report says why.

usage: cli_verify.py PROGRAM FOLDER-OF-MODELS
"""

import json
import math
import sys
from pathlib import Path

from cli_harness import Program, case, main


def report(program: Program, *arguments) -> tuple[int, dict]:
    """Exit status and the JSON that verify prints."""
    done = program.run("verify", "--json", *arguments)
    assert done.stderr == b"", done.stderr
    return done.returncode, json.loads(done.stdout)


def check_of(model: dict, stage: str, check: str) -> dict:
    found = [c for s in model["stages"] if s["stage"] == stage for c in s["checks"]
             if c["check"] == check]
    assert len(found) == 1, f"{stage}/{check}: {model['stages']}"
    return found[0]


def verdicts(model: dict) -> dict:
    return {s["stage"]: s["verdict"] for s in model["stages"]}


# ---- models as they are ---------------------------------------------------------------------


@case
def trained_models_pass(program: Program):
    for name in ["llama-trained-q8_0", "qwen2-trained-q8_0"]:
        status, found = report(program, program.model(name))
        assert status == 0 and found["verdict"] == "pass", found
        assert set(verdicts(found["models"][0]).values()) == {"pass"}
        answers = found["models"][0]["stages"][-1]["answers"]
        assert [a["text"] for a in answers] == [" Paris.", " 4", " 1 2 3 4 5"]


@case
def untrained_models_fail_by_their_output(program: Program):
    names = ["llama-f32", "llama-tied-f32", "qwen2-f32", "llama-q6_k", "llama-iq4_xs"]
    status, found = report(program, *map(program.model, names))
    assert status == 1 and found["verdict"] == "fail" and len(found["models"]) == len(names)
    for model in found["models"]:
        assert [s for s, v in verdicts(model).items() if v == "fail"] == ["output"], model["model"]
        assert check_of(model, "output", "likely")["verdict"] == "fail"


@case
def a_window_drops_what_it_should(program: Program):
    _, found = report(program, "--stage", "cache", program.model("llama-window-f32"))
    window = check_of(found["models"][0], "cache", "window")
    assert window["verdict"] == "pass" and "2 layers of window 8" in window["detail"]
    _, found = report(program, "--stage", "cache", program.model("llama-f32"))
    assert check_of(found["models"][0], "cache", "window")["verdict"] == "skip"


@case
def attention_is_that_of_every_head(program: Program):
    """The entropy of uniform attention over m positions is ln(m): no head's mean is above."""
    for name, layers, heads in [("llama-f32", 2, 4), ("llama-window-f32", 2, 3), ("qwen3-f32", 2, 6),
                                ("gptneox-f32", 2, 3)]:
        for kv in ["f16", "f32"]:
            status, found = report(program, "--stage", "attention", "-ctk", kv, program.model(name))
            stage = found["models"][0]["stages"][0]
            assert status == 0, stage["checks"]
            assert [c["check"] for c in stage["checks"]] == ["finite", "sums", "mask", "entropy",
                                                             "softmax"]
            assert len(stage["layers"]) == layers
            for layer in stage["layers"]:
                assert len(layer["heads"]) == heads
                for head in layer["heads"]:
                    assert 0 <= head["entropy_min"] <= head["entropy_mean"] <= head["entropy_max"]
                    assert head["entropy_max"] <= math.log(stage["tokens"]) + 1e-5
                    assert 0 < head["first"] <= head["largest"] <= 1 or "window" in name
    # Of a window of 8, nearly no row sees the first token.
    _, found = report(program, "--stage", "attention", program.model("llama-window-f32"))
    for layer in found["models"][0]["stages"][0]["layers"]:
        assert layer["first"] < 8 / 150 and layer["entropy_max"] <= math.log(8) + 1e-5


@case
def a_page_holds_chosen_heads_and_nothing_from_outside(program: Program):
    page = Path(program.scratch) / "page.html"
    program.succeeds("verify", "--stage", "attention,output", "--html", page, "--heads", "0.3,1.0",
                     program.model("llama-trained-q8_0"))
    text = page.read_text()
    assert text.count("<canvas") == 2 and "layer 0 head 3" in text and "layer 1 head 0" in text
    for outside in ["http:", "https:", "src=", "url(", "import"]:
        assert outside not in text, outside
    program.fails(2, ["--heads"], "verify", "--heads", "0.x", program.model("llama-f32"))
    _, found = report(program, "--stage", "attention", "--html", page, "--heads", "9.0",
                      program.model("llama-f32"))
    assert "9.0" in check_of(found["models"][0], "attention", "runs")["detail"]


@case
def fingerprints_are_of_the_weights(program: Program):
    names = ["llama-f16", "llama-v2-f16", "llama-split-f16-00002-of-00003", "llama-bf16"]
    _, found = report(program, "--stage", "weights", *map(program.model, names))
    prints = [m["stages"][0]["fingerprint"] for m in found["models"]]
    assert prints[0] == prints[1] == prints[2] != prints[3], prints


@case
def statistics_are_those_of_the_file(program: Program):
    _, found = report(program, "--stage", "weights", program.model("llama-f32"))
    tensors = {t["name"]: t for t in found["models"][0]["stages"][0]["tensors"]}
    norm = tensors["blk.0.attn_norm.weight"]
    assert norm["type"] == "F32" and norm["min"] <= norm["mean"] <= norm["max"]
    assert norm["zeros"] == 0 and norm["not_finite"] == 0 and len(norm["shape"]) == 1


# ---- how it is asked -------------------------------------------------------------------------


@case
def several_models_end_with_a_table_in_order(program: Program):
    names = ["qwen2-trained-q8_0", "llama-trained-q8_0"]
    done = program.succeeds("verify", "--stage", "weights,output", *map(program.model, names))
    table = done.stdout.decode().rstrip().split("\n\n")[-1].splitlines()
    assert table[0].split()[:2] == ["model", "family"]
    assert [line.split()[0] for line in table[1:]] == [n + ".gguf" for n in reversed(names)]
    assert all(len(line) <= 80 for line in table)


@case
def stages_are_chosen_by_name(program: Program):
    path = program.model("llama-f32")
    _, found = report(program, "--stage", "cache,weights", path)
    assert list(verdicts(found["models"][0])) == ["weights", "cache"]
    for wrong in ["weight", "cache,", "cache,cache", ""]:
        program.fails(2, ["--stage", "weights, cache"], "verify", "--stage", wrong, path)
    program.fails(2, ["no model"], "verify")


@case
def prompts_come_from_a_file(program: Program):
    path = Path(program.scratch) / "prompts.tsv"
    model = program.model("llama-trained-q8_0")
    path.write_text("# comment\nThe capital of France is\tParis\n\n2 + 2 =\t5\nCount to 5:\n")
    status, found = report(program, "--stage", "output", "--prompts", path, model)
    answers = found["models"][0]["stages"][0]["answers"]
    assert [a.get("found") for a in answers] == [True, False, None]
    assert status == 1
    assert "1 of 2" in check_of(found["models"][0], "output", "expected")["detail"]
    path.write_text("# nothing\n")
    program.fails(1, ["holds no prompt"], "verify", "--prompts", path, model)


@case
def a_file_that_does_not_open_is_a_failed_check(program: Program):
    path = Path(program.scratch) / "bad.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    status, found = report(program, path, program.model("llama-trained-q8_0"))
    assert status == 1
    assert check_of(found["models"][0], "weights", "opens")["verdict"] == "fail"
    assert set(verdicts(found["models"][1]).values()) == {"pass"}


if __name__ == "__main__":
    sys.exit(main())
