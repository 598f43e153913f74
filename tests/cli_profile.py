#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quern profile from outside.

usage: cli_profile.py PROGRAM FOLDER-OF-MODELS
"""

import json
import os
import re
import statistics
import sys
from pathlib import Path

from cli_harness import Program, Terminal, case, main

SHORT = ["-p", "40", "-n", "24", "-r", "2", "-ub", "32"]  # 2 ubatches and 24 tokens, twice
MODULES = {"embed", "norm", "attn", "mlp", "head"}


def profile(program: Program, model="llama-trained-q8_0", *arguments) -> dict:
    done = program.succeeds("profile", program.model(model), *SHORT, "-t", 2, "--json", *arguments)
    return json.loads(done.stdout)


def usual_cache(program):
    """The types of K and V unless told otherwise, by --help: i16 on x86, f16 elsewhere."""
    told, = set(re.findall(r"cached (?:keys|values) [(](\w+)[)]",
                           program.succeeds("profile", "--help").stdout.decode()))
    assert told in ("i16", "f16")
    return told


@case
def json_says_what_ran(program):
    found = profile(program)
    assert found["quern_profile"] == 1
    assert found["run"] == {"prompt": 40, "decoded": 24, "repetitions": 2, "ubatch": 32,
                            "kv": usual_cache(program)}
    assert found["host"]["threads"] == 2 and len(found["host"]["pinned_to"]) == 2
    assert found["host"]["numa"] == "local" and "n" in found["host"]["weights_on"]
    assert found["model"]["file"] == "llama-trained-q8_0.gguf"
    prefill, decode = found["phases"]
    assert (prefill["passes"], prefill["tokens"]) == (4, 80), prefill
    assert (decode["passes"], decode["tokens"]) == (48, 48), decode
    assert len(found["latency_ns"]["first_token"]) == 2
    assert len(found["latency_ns"]["between_tokens"]) == 48
    assert found["lost_events"] == 0


@case
def a_last_ubatch_of_one_token_is_prefill(program):
    found = profile(program, "llama-trained-q8_0", "-p", 65, "-n", 4)
    prefill, decode = found["phases"]
    assert (prefill["passes"], prefill["tokens"]) == (6, 130), prefill
    assert (decode["passes"], decode["tokens"]) == (8, 8), decode


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
                # The reference has one function for both; a quantized head reads two rows a token
                # but where it has a type of its own.
                two_rows = step["module"] == "head" and not step["type"].endswith("I16")
                own = phase == "decode" and not step["kernel"].endswith("__ref") and not two_rows
                kernel = "qn_matvec" if own else "qn_matmul"
                assert step["kernel"].startswith(kernel), step
                assert step["flops"] > 0, step
            if step["op"] == "attention":
                assert step["kernel"].startswith(f"qn_attention_{usual_cache(program)}__"), step


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
def roofline_holds_steps_against_the_machine(program):
    """Of a tiny model, whose time is hardly its bytes: what is checked is that figures agree."""
    cache = program.scratch / ".cache/quern"
    found = profile(program, "llama-q4_k", "--roofline")
    assert list(cache.glob("machine-*.json")), "limits are kept"
    roofline = found["roofline"]
    assert [p["phase"] for p in roofline["phases"]] == ["prefill", "decode"]
    steps = [s for s in roofline["steps"] if s["phase"] == "decode"]
    assert {"qkv", "attention", "head"} <= {s["name"] for s in steps}
    for step in steps:
        assert abs(step["part"] * step["ns"] - step["least_ns"]) <= 1e-3 * step["least_ns"] + 1e-3
        assert step["bound"] in ("memory", "compute", "sync")
        roof = roofline["limits"]["weights_gb_s" if step["name"] in ("qkv", "head") else "l2_gb_s"]
        # By bytes alone a step cannot be faster than its least time.
        assert step["gb_s"] * step["ns"] <= roof * step["least_ns"] * 1.001 or \
            step["name"] == "attention", step
    least = next(p for p in roofline["phases"] if p["phase"] == "decode")["least_pass_ns"]
    assert abs(sum(s["least_ns"] for s in steps) - least) < 1e-3 * least + 1
    text = program.succeeds("profile", program.model("llama-q4_k"), *SHORT, "--roofline").stdout
    assert b"At the roof" in text and max(map(len, text.decode().splitlines())) <= 80


@case
def figures_of_uneven_ubatches_are_means(program):
    """A median of ubatches of 32, 32 and 2 tokens goes with no mean number of tokens or bytes."""
    arguments = ["-p", 66, "-n", 4, "-r", 1, "--roofline"]
    found = profile(program, "llama-q4_k", *arguments)
    prefill, decode = found["phases"]
    measured = {p["phase"]: p["measured_ts"] for p in found["roofline"]["phases"]}
    assert abs(measured["prefill"] * prefill["pass_ns"]["mean"] / 22e9 - 1) < 1e-6, measured
    assert abs(measured["decode"] * decode["pass_ns"]["p50"] / 1e9 - 1) < 1e-6, measured
    for step in found["roofline"]["steps"]:
        if step["phase"] == "prefill":
            walls = [s["wall_ns"]["mean"] for s in found["steps"]
                     if s["phase"] == "prefill" and s["name"] == step["name"]]
            assert abs(step["ns"] / sum(walls) - 1) < 1e-6, step
    text = program.succeeds("profile", program.model("llama-q4_k"), *SHORT,
                            *arguments).stdout.decode()
    title = re.search(r"Prefill: ([\d.]+) ms for a ubatch of 22 tokens \(mean\), ([\d.]+) tokens/s",
                      text)
    assert abs(float(title[1]) * float(title[2]) / 22e3 - 1) < 0.1, title[0]
    assert re.search(r"Decode: [\d.]+ ms for 1 token \(p50\)", text), text
    assert text.count("us, mean  MB read") == 1 and text.count(" us, p50  MB read") == 1, text


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


def files(program: Program, *arguments) -> dict[str, str]:
    paths = {name: program.scratch / name for name in ("html", "trace", "folded")}
    options = [word for name, path in paths.items() for word in (f"--{name}", path)]
    done = program.succeeds("profile", program.model("llama-q4_k"), *SHORT, "-t", 2, "--csv",
                            *options, *arguments)
    return {name: path.read_text() for name, path in paths.items()} | {"csv": done.stdout.decode()}


@case
def trace_events_nest(program):
    events = json.loads(files(program)["trace"])["traceEvents"]
    named = {e["tid"] for e in events if e["name"] == "thread_name"}
    assert named == {0, 1}
    complete = [e for e in events if e["ph"] == "X"]
    steps = [e for e in complete if "kernel" in e["args"]]
    assert {e["tid"] for e in steps} == {0, 1}
    for step in steps:
        assert {"layer", "module", "op", "shape", "type", "bytes", "flops"} <= set(step["args"])
    # The last repetition alone: two ubatches, then 24 tokens.
    passes = [e for e in complete if e["cat"] == "pass"]
    assert [e["name"] for e in passes] == ["prefill"] * 2 + ["decode"] * 24
    for tid in named:  # an event ends before the one that it lies in; times are cut to 1 ns
        open_events = []
        mine = [e for e in complete if e["tid"] == tid]
        for event in sorted(mine, key=lambda e: (e["ts"], -e["dur"])):
            while open_events and open_events[-1] <= event["ts"] + 0.002:
                open_events.pop()
            assert not open_events or event["ts"] + event["dur"] <= open_events[-1] + 0.002, event
            open_events.append(event["ts"] + event["dur"])


@case
def a_single_token_left_of_a_prompt_names_its_kernels(program):
    path = program.scratch / "trace"
    program.succeeds("profile", program.model("llama-q8_0"), "-p", 5, "-ub", 4, "-n", 1, "-r", 1,
                     "--trace", path)
    steps = [e["args"] for e in json.loads(path.read_text())["traceEvents"]
             if e.get("args", {}).get("op") == "matmul" and e["args"]["module"] == "mlp"]
    kernels = [{s["kernel"] for s in steps if s["pass"] == n} for n in range(2)]
    assert len(kernels[0]) == len(kernels[1]) == 1, kernels
    many, one = (names.pop() for names in kernels)
    assert many.startswith("qn_matmul"), many
    assert one.startswith("qn_matvec") or one.endswith("__ref"), one


@case
def stacks_and_rows_tell_the_same_time(program):
    found = files(program, "-t", 1)  # a second thread may be held up after the caller went on
    stacks = [line.rsplit(" ", 1) for line in found["folded"].splitlines()]
    for stack, value in stacks:
        assert int(value) > 0 and len(stack.split(";")) in (1, 4, 5), stack
    header, *rows = [line.split(",") for line in found["csv"].splitlines()]
    for phase in ("prefill", "decode"):
        folded = sum(int(v) for s, v in stacks if s.startswith(phase + ";"))
        rowed = sum(int(r[header.index("mean_ns")]) * int(r[header.index("passes")])
                    for r in rows if r[0] == phase)
        # Work, waiting and means are cut to whole nanoseconds.
        assert abs(folded / rowed - 1) < 0.02, (phase, folded, rowed)


@case
def the_page_needs_nothing_else(program):
    page = files(program)["html"]
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    assert "<script src" not in page and "<link" not in page and '"DATA"' not in page
    data = json.loads(page.split("const data = ", 1)[1].split(";\nconst colour", 1)[0]
                      .replace("<\\/", "</"))
    assert len(data["timeline"]["threads"]) == 2
    steps = len(data["timeline"]["steps"])
    for events in data["timeline"]["threads"]:
        assert len(events) == 4 * (26 * steps - 2), "all steps but the head of the first ubatch"


@case
def files_that_cannot_be_written(program):
    """Of one that takes no bytes the others are written, and the report too."""
    good = program.scratch / "good"
    arguments = ["profile", program.model("llama-f32"), "-p", 4, "-n", 1, "-r", 1, "--json"]
    for option, other in (("--html", "--trace"), ("--trace", "--folded"), ("--folded", "--html")):
        done = program.run(*arguments, option, "/dev/full", other, good)
        assert done.returncode == 1, done
        assert done.stderr.startswith(b"quern: cannot write /dev/full: No s"), done
        assert json.loads(done.stdout)["steps"] and good.read_bytes()
        good.unlink()
        program.fails(1, ["cannot write /no/such/file: No s"], *arguments, option, "/no/such/file",
                      other, good)
        assert list(program.scratch.glob("good*")) == []


@case
def names_of_any_bytes(program):
    """Of the file, and of the model within."""
    whole = Path(program.model("llama-trained-q8_0")).read_bytes()
    name = b"Quern test llama-trained-q8_0"
    path = program.scratch / os.fsdecode(b"\xff.gguf")
    path.write_bytes(whole.replace(name, b"\x1b[31m\xff\nq".ljust(len(name), b"x"), 1))
    page, trace = program.scratch / "page", program.scratch / "trace"
    arguments = ["profile", path, "-p", 4, "-n", 1, "-r", 1]
    done = program.succeeds(*arguments, "--json", "--html", page, "--trace", trace)
    found = json.loads(done.stdout)
    assert found["model"]["file"] == "\ufffd.gguf"
    assert found["model"]["name"].startswith("\x1b[31m\ufffd\nqx")
    assert json.loads(trace.read_text())["traceEvents"] and "\ufffd.gguf" in page.read_text()
    assert program.succeeds(*arguments).stdout.startswith(b"\\x1b[31m\xff\\nqx")


@case
def one_form_at_a_time(program):
    program.fails(2, ["--json", "--csv"], "profile", program.model("llama-f32"), "--json", "--csv")


@case
def diff_says_what_changed_and_what_cannot_be(program):
    paths = []
    for name, options in (("a", []), ("b", []), ("c", ["-p", 41])):
        done = program.succeeds("profile", program.model("llama-q4_k"), *SHORT, *options, "--json")
        paths.append(program.scratch / name)
        paths[-1].write_bytes(done.stdout)
    a, b, c = paths
    text = program.succeeds("profile", "diff", a, b).stdout.decode()
    assert "Prefill: " in text and "Decode: " in text and "gate_up" in text
    assert max(map(len, text.splitlines())) <= 80, text
    found = json.loads(program.succeeds("profile", "diff", a, b, "--json").stdout)
    assert found["comparable"] and len(found["phases"]) == 2
    program.fails(1, ["another prompt", "40 and 41"], "profile", "diff", a, c)
    program.succeeds("profile", "diff", a, c, "--anyway")
    program.fails(2, ["two profiles"], "profile", "diff", a)
    program.fails(1, ["/no/such"], "profile", "diff", a, "/no/such")
    other = program.scratch / "other.json"
    other.write_text("{}")
    program.fails(1, [f"{other} and {a}: the first file is not"], "profile", "diff", other, a)
    both = program.scratch / "both"  # two runs, one behind the other
    both.write_bytes(a.read_bytes() + b.read_bytes())
    assert "2 runs" in program.succeeds("profile", "diff", both, both).stdout.decode()
    # Every step takes twice as long: the file itself is slowed, so that nothing is left to chance.
    slow = json.loads(a.read_text())
    for item in slow["steps"] + slow["phases"]:
        item["samples_ns"] = [2 * n for n in item["samples_ns"]]
    b.write_text(json.dumps(slow))
    done = program.run("profile", "diff", a, b, "--fail-above", 3)
    assert done.returncode == 1 and b"What explains the 100.0 % of decode" in done.stdout, done
    program.succeeds("profile", "diff", b, a, "--fail-above", 3)


@case
def slow_tokens_are_named(program):
    arguments = ["run", program.model("llama-trained-q8_0"), "the", "-n", 40, "--temp", 0,
                 "--ignore-eos"]
    done = program.succeeds(*arguments, "--explain-slow", 1, "-q")
    first, *rest = done.stderr.decode().splitlines()
    # The first of 40 tokens needs no pass; the median is not above itself, so half at most.
    words = first.split()
    assert words[:1] == ["slow:"] and words[2:4] == ["of", "39"] and int(words[1]) <= 19, first
    tokens = [line for line in rest if line.startswith("  token ")]
    assert len(tokens) == min(20, int(words[1])), rest
    ids = program.succeeds(*arguments, "--print-ids", "-q").stdout.split()
    for line in tokens:
        number, text = re.match(r"  token (\d+) '(.*)': ", line).groups()
        said = program.succeeds("tokenize", "--decode", program.model("llama-trained-q8_0"),
                                stdin=ids[int(number) - 1]).stdout.decode()
        assert text == re.sub(r"[^ -~]", ".", said), (line, said)
    assert done.stdout == program.succeeds(*arguments, "-q").stdout
    program.fails(2, ["--explain-slow"], *arguments, "--explain-slow", "0.5")


@case
def refuses(program):
    program.fails(1, ["no-such.gguf"], "profile", "no-such.gguf")
    model = program.model("llama-f32")
    program.fails(2, ["-n"], "profile", model, "-n", "many")



if __name__ == "__main__":
    sys.exit(main())
