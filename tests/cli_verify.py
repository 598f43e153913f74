#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quern verify from outside: right models pass, wrong ones fail, and the report says why.

usage: cli_verify.py PROGRAM FOLDER-OF-MODELS
"""

import json
import math
import os
import shutil
import sys
import zipfile
from array import array
from pathlib import Path

import safetensors_file
from cli_harness import Program, Terminal, case, main


def data(program: Program) -> Path:
    return program.models.parent


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
def every_family_fills_its_cache_and_attends(program: Program):
    folders = sorted(p.parent for p in (data(program) / "hf").glob("*/config.json"))
    assert len(folders) > 30
    status, found = report(program, "--stage", "weights,cache,attention", "--tokens", 80, *folders)
    wrong = [(m["model"], s["checks"]) for m in found["models"] for s in m["stages"]
             if s["verdict"] != "pass"]
    assert status == 0 and not wrong, wrong
    gemma = next(m for m in found["models"] if m["model"].endswith("/gemma3"))
    assert check_of(gemma, "weights", "unread")["verdict"] == "note"


@case
def attention_is_that_of_every_head(program: Program):
    """The entropy of uniform attention over m positions is ln(m): no head's mean is above."""
    for name, layers, heads in [("llama-f32", 2, 4), ("llama-window-f32", 2, 3), ("qwen3-f32", 2, 6),
                                ("gptneox-f32", 2, 3)]:
        for k, v in [("f16", "f16"), ("f32", "f32"), ("f16", "f32")]:
            status, found = report(program, "--stage", "attention", "-ctk", k, "-ctv", v,
                                   program.model(name))
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
    page.unlink()
    for more in [[], ["--html", page], ["--json", "--html", page]]:
        program.fails(2, ["--heads", "9.0", "2 layers of 4 heads"], "verify", *more, "--heads",
                      "0.0,9.0", program.model("llama-f32"))
    assert not page.exists()
    heads = ["verify", "--stage", "attention", "--heads", "0.0", program.model("llama-f32")]
    note = b"quern: --heads changes nothing without --html"
    assert program.succeeds(*heads).stderr.startswith(note)
    assert program.succeeds(*heads, "--html", page).stderr == b""


@case
def colours_are_for_terminals_that_have_them(program: Program):
    for terminal_type, coloured in (("xterm", True), ("dumb", False)):
        program.environment["TERM"] = terminal_type
        with Terminal(program, "verify", "--stage", "weights", program.model("llama-f32")) as shown:
            status, text = shown.finish()
        assert status == 0 and ("\x1b[32mpass" in text) is coloured, text


@case
def names_may_have_any_bytes(program: Program):
    path = program.scratch / os.fsdecode(b"\xff.gguf")
    shutil.copy(program.model("llama-f32"), path)
    _, found = report(program, "--stage", "weights", path)
    assert found["models"][0]["model"].endswith("/\ufffd.gguf")


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
    assert b"start with #" in program.succeeds("verify", "--help").stdout
    path.write_bytes(b"a\xff\xfeb\t\xe9\n")
    status, found = report(program, "--stage", "output", "--prompts", path, model)
    answer, = found["models"][0]["stages"][0]["answers"]
    assert (answer["prompt"], answer["expected"]) == ("a\ufffd\ufffdb", "\ufffd"), answer
    page = program.run("verify", "--stage", "output", "--prompts", path, model).stdout.decode()
    assert '"a\ufffd\ufffdb"' in page and '"\ufffd"' in page, page
    path.write_bytes(b"one\n\0two\n")
    program.fails(1, ["prompts are text", "NUL at byte 4"], "verify", "--prompts", path, model)


@case
def a_file_that_does_not_open_is_a_failed_check(program: Program):
    path = Path(program.scratch) / "bad.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    status, found = report(program, path, program.model("llama-trained-q8_0"))
    assert status == 1
    assert check_of(found["models"][0], "weights", "opens")["verdict"] == "fail"
    assert set(verdicts(found["models"][1]).values()) == {"pass"}


# ---- sabotage: each is planted in a copy of a right model, and must be named ------------------


def copy_of(program: Program, name: str) -> Path:
    copy = Path(program.scratch) / name
    shutil.copytree(data(program) / "hf" / name, copy, copy_function=shutil.copyfile)
    return copy


def spoilt(program: Program, spoil) -> Path:
    """A copy of qwen2 (2 layers; 6 query heads on 2 KV heads of 6), its tensors gone through
    spoil."""
    copy = copy_of(program, "qwen2")
    path = copy / "model.safetensors"
    tensors = safetensors_file.read(path)
    spoil(tensors)
    safetensors_file.write(path, tensors)
    return copy


def edit_json(path: Path, change) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def compared(program: Program, name: str, model: Path) -> tuple[int, dict]:
    """Exit status and the one model of a report of all stages."""
    status, found = report(program, "--ref", data(program) / "reference" / name, model)
    return status, found["models"][0]


def diverges(program: Program, name: str, model: Path, where: str, words: list[str]) -> None:
    """The reference stage fails, names the tensor and says the words."""
    status, found = compared(program, name, model)
    assert status == 1
    tensors = check_of(found, "reference", "tensors")
    assert tensors["verdict"] == "fail"
    stage = next(s for s in found["stages"] if s["stage"] == "reference")
    assert stage["diverges"] == where, tensors["detail"]
    for word in words:
        assert word in tensors["detail"], f"no '{word}' in: {tensors['detail']}"


LAYERS = [f"model.layers.{i}." for i in range(2)]


@case
def right_models_agree_with_their_reference(program: Program):
    for name in ["qwen2", "opt"]:
        status, found = report(program, "--stage", "weights,cache,attention,reference", "--ref",
                               data(program) / "reference" / name, data(program) / "hf" / name)
        assert status == 0, found
        stage = found["models"][0]["stages"][-1]
        assert [c["verdict"] for c in stage["checks"]] == ["pass"] * 4, stage["checks"]
        assert max(t["max_error"] for t in stage["compared"]) < 1e-3
        assert all(p["same_top"] and p["kl"] < 1e-4 for p in stage["positions"])


@case
def pairs_beside_each_other_are_brought_into_the_reference_s_order(program: Program):
    """GGUF files of llama hold rows of Q and K in another order than transformers."""
    status, found = report(program, "--stage", "reference", "--ref",
                           data(program) / "reference" / "llama-f32", program.model("llama-f32"))
    stage = found["models"][0]["stages"][0]
    assert status == 0 and stage["compared"][0]["name"] == "layers.0.q", stage
    assert all(t["agrees"] for t in stage["compared"])


@case
def a_copy_as_it_is_passes(program: Program):
    copy = spoilt(program, lambda tensors: None)
    _, found = compared(program, "qwen2", copy)
    assert verdicts(found)["reference"] == "pass" and verdicts(found)["weights"] == "pass"


@case
def a_missing_tensor_is_named(program: Program):
    copy = spoilt(program, lambda t: t.pop("model.layers.1.mlp.up_proj.weight"))
    status, found = compared(program, "qwen2", copy)
    detail = check_of(found, "weights", "opens")["detail"]
    assert status == 1 and "model.layers.1.mlp.up_proj.weight" in detail and "missing" in detail


@case
def a_wrong_shape_is_named(program: Program):
    def spoil(tensors):
        tensor = tensors["model.layers.0.mlp.down_proj.weight"]
        tensor.shape = tensor.shape[::-1]

    status, found = compared(program, "qwen2", spoilt(program, spoil))
    detail = check_of(found, "weights", "opens")["detail"]
    assert status == 1 and "model.layers.0.mlp.down_proj.weight" in detail and "shape" in detail


@case
def one_nan_is_named_with_its_place(program: Program):
    def spoil(tensors):
        tensors["model.layers.1.self_attn.o_proj.weight"].values[5 * 36 + 7] = math.nan

    status, found = compared(program, "qwen2", spoilt(program, spoil))
    finite = check_of(found, "weights", "finite")
    assert status == 1 and finite["verdict"] == "fail"
    for words in ["1 of ", "model.layers.1.self_attn.o_proj.weight", "row 5, column 7"]:
        assert words in finite["detail"], finite["detail"]


@case
def a_layer_of_zeros_is_named(program: Program):
    def spoil(tensors):
        for name, tensor in tensors.items():
            if name.startswith(LAYERS[1]):
                tensor.values = array("f", bytes(4 * len(tensor.values)))

    copy = spoilt(program, spoil)
    status, found = compared(program, "qwen2", copy)
    zero = check_of(found, "weights", "zero")
    assert status == 1 and zero["verdict"] == "fail" and "7 matrices" in zero["detail"]
    assert "model.layers.1." in zero["detail"]
    diverges(program, "qwen2", copy, "layers.1.attn_norm", ["all zero"])


@case
def a_tensor_that_is_read_by_nothing_and_a_copy_are_named(program: Program):
    def spoil(tensors):
        tensors["model.layers.1.mlp.up_proj.weight"] = tensors["model.layers.0.mlp.up_proj.weight"]
        tensors["model.layers.1.surprise.weight"] = safetensors_file.Tensor([2], array("f", [1, 2]))

    copy = spoilt(program, spoil)
    status, found = compared(program, "qwen2", copy)
    assert status == 1
    assert "model.layers.1.surprise.weight" in check_of(found, "weights", "unread")["detail"]
    running = ["run", "-n", "1", "--raw", "-q", copy, "a"]
    assert b"1 of the model's tensors is read by nothing, one is model.layers.1.surprise" in \
        program.succeeds(*running).stderr
    copies = check_of(found, "weights", "copies")
    assert "model.layers.1.mlp.up_proj.weight" in copies["detail"] and copies["verdict"] == "note"


@case
def swapped_keys_and_values_are_named(program: Program):
    def spoil(tensors):
        for kind in ["weight", "bias"]:
            k, v = (f"{LAYERS[0]}self_attn.{x}_proj.{kind}" for x in "kv")
            tensors[k], tensors[v] = tensors[v], tensors[k]

    diverges(program, "qwen2", spoilt(program, spoil), "layers.0.k",
             ["layers.0.v", "the other way round", "layers.0.q, layers.0.q_rope agree"])


def beside(n_heads: int, size: int) -> list[int]:
    """Rows in the order of rotated pairs beside each other, from pairs half a head apart."""
    return [h * size + i // 2 + i % 2 * (size // 2) for h in range(n_heads) for i in range(size)]


@case
def wrong_rotary_pairing_is_named(program: Program):
    def spoil(tensors):
        for layer in LAYERS:
            for kind in ["weight", "bias"]:
                tensors[f"{layer}self_attn.q_proj.{kind}"].reorder(beside(6, 6))
                tensors[f"{layer}self_attn.k_proj.{kind}"].reorder(beside(2, 6))

    diverges(program, "qwen2", spoilt(program, spoil), "layers.0.q",
             ["pairing", "layers.0.v", "agree"])


@case
def wrong_heads_of_keys_and_values_are_named(program: Program):
    def spoil(tensors):
        swapped = [6 + i for i in range(6)] + list(range(6))
        for layer in LAYERS:
            for kind in ["k_proj.weight", "k_proj.bias", "v_proj.weight", "v_proj.bias"]:
                tensors[f"{layer}self_attn.{kind}"].reorder(swapped)

    diverges(program, "qwen2", spoilt(program, spoil), "layers.0.k",
             ["KV heads", "are ours 1, 0", "layers.0.q, layers.0.q_rope agree"])


@case
def a_wrong_rope_theta_is_named_with_the_right_one(program: Program):
    copy = copy_of(program, "qwen2")
    edit_json(copy / "config.json", lambda config: config.update(rope_theta=10000.0))
    diverges(program, "qwen2", copy, "layers.0.q_rope", ["rope_theta 10000", "1e+06", "layers.0.k"])


@case
def a_wrong_position_offset_is_named(program: Program):
    """The rows of OPT's learned positions moved up by one: each position gets that of the next."""
    copy = copy_of(program, "opt")
    path = copy / "pytorch_model.bin"
    with zipfile.ZipFile(path) as source:
        entries = [(info, source.read(info)) for info in source.infolist()]
    row = 48 * 4
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for info, content in entries:
            if info.filename.endswith("/data/0"):
                assert len(content) == (192 + 2) * row
                content = content[row:] + content[:row]
            target.writestr(info.filename, content)
    diverges(program, "opt", copy, "embed", ["learned positions are off by 1"])


@case
def a_missing_merge_is_named_by_its_text(program: Program):
    copy = copy_of(program, "qwen2")
    edit_json(copy / "tokenizer.json", lambda value: value["model"]["merges"].pop(3))
    status, found = compared(program, "qwen2", copy)
    check = check_of(found, "reference", "tokenizer")
    assert status == 1 and check["verdict"] == "fail"
    assert "strings have other ids" in check["detail"] and "the reference's" in check["detail"]
    assert check_of(found, "reference", "tensors")["verdict"] == "pass"


@case
def a_reference_of_another_model_is_refused(program: Program):
    reference = data(program) / "reference" / "opt"
    _, found = report(program, "--stage", "reference", "--ref", reference,
                      data(program) / "hf" / "qwen2")
    assert "another model" in check_of(found["models"][0], "reference", "runs")["detail"]
    _, found = report(program, "--stage", "reference", "--ref", program.scratch,
                      data(program) / "hf" / "qwen2")
    assert "manifest.json" in check_of(found["models"][0], "reference", "runs")["detail"]
    for stages in ["reference", "weights,reference"]:
        program.fails(2, ["--ref FOLDER"], "verify", "--stage", stages, data(program) / "hf/qwen2")
    program.fails(2, ["one model"], "verify", "--ref", reference, *[data(program) / "hf/qwen2"] * 2)
    spoilt_reference = Path(program.scratch) / "reference"
    shutil.copytree(data(program) / "reference" / "qwen2", spoilt_reference)
    (spoilt_reference / "layers.0.k.npy").write_bytes(b"\x93NUMPY\x01\x00\xff\xff")
    _, found = report(program, "--stage", "reference", "--ref", spoilt_reference,
                      data(program) / "hf" / "qwen2")
    assert "layers.0.k.npy" in check_of(found["models"][0], "reference", "runs")["detail"]


if __name__ == "__main__":
    sys.exit(main())
