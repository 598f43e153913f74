#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quern plan from outside. Figures of the machine are planted in its cache: times are known.

usage: cli_plan.py PROGRAM FOLDER-OF-MODELS
"""

import json
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

from cli_harness import SECONDS, Program, case, main

MODEL = "llama-q8_0"


def plan(program: Program, *arguments, model=MODEL) -> dict:
    return json.loads(program.succeeds("plan", "--json", program.model(model), *arguments).stdout)


def text(program: Program, *arguments, model=MODEL) -> str:
    return program.succeeds("plan", program.model(model), *arguments).stdout.decode()


def measured(program: Program) -> dict:
    """A plan of a machine that was measured: the program measures it once, then the file's rates
    are replaced by round ones."""
    program.succeeds("bench", program.model(MODEL), "-p", "1", "-n", "0", "-r", "1", "--roofline")
    file, = (program.scratch / ".cache" / "quern").glob("machine-*.json")
    figures = json.loads(file.read_text())
    rates = {"L2": 400, "L3": 50, "memory": 20, "f32": 100, "int8": 800}
    for name, rate in rates.items():
        figures["all"][name] |= {"best": rate, "median": rate, "runs": 30, "clean": 30}
    file.write_text(json.dumps(figures))
    return rates


@case
def the_same_plan_prints_the_same_text(program: Program):
    for model in (MODEL, "gemma2-f16", "mixtral-f16"):
        for extra in ([], ["--json"], ["-c", "100", "-ub", "7", "-ctk", "f32", "-ctv", "f32"]):
            first = program.succeeds("plan", program.model(model), *extra).stdout
            assert first == program.succeeds("plan", program.model(model), *extra).stdout


@case
def another_instruction_set_changes_what_it_must(program: Program):
    compiled, _ = program.instruction_sets()
    missing = {"avx512vnni", "avx2"} - compiled
    for isa in missing:
        program.fails(2, [isa, "this build has no kernels"], "plan", program.model(MODEL), "--isa",
                      isa)
    if missing:
        return
    wide, narrow = (text(program, "--isa", isa, model="llama-q4_1").splitlines()
                    for isa in ("avx512vnni", "avx2"))
    assert len(wide) == len(narrow)
    differ = [a for a, b in zip(wide, narrow) if a != b]
    may = (r"tiles of 16 rows|\bmatmul\b|a decoded token reads|weights, packed|scratch|^total|"
           r"predicted times|^KV |MiB of buffers|^(act|x|q|k|v|attn|gate|up|cos|sin|logits)")
    assert differ and "tiles of 16 rows" in differ[0], differ
    assert all(re.search(may, line) for line in differ), differ
    # Names, operations and barriers of the steps are the same, whatever the tiles.
    steps = [[line.split()[2:4] for line in page if re.match(r" +\d+ +(\d+|-) ", line)]
             for page in (wide, narrow)]
    assert steps[0] == steps[1] and len(steps[0]) > 10


@case
def memory_adds_up(program: Program):
    for model in (MODEL, "qwen2-mixed", "gpt2-f32"):
        report = plan(program, "-c", "150", model=model)
        memory = report["memory"]
        parts = [memory[f"{name}_bytes"] for name in ("weights", "kv_cache", "buffers", "scratch")]
        assert sum(parts) == memory["total_bytes"], memory
        page = text(program, "-c", "150", model=model)
        for name, size in (("weights, packed", parts[0]), ("KV cache", parts[1]),
                           ("total", memory["total_bytes"])):
            assert re.search(rf"{name} +{size / 2**20:.2f}\n", page), (name, size)
        assert sum(step["bytes"] for step in report["steps"]) == report["decode_bytes"]
        assert report["barriers"] == sum(step["barrier"] for step in report["steps"])


@case
def buffers_that_live_together_lie_apart(program: Program):
    for model in (MODEL, "mixtral-f16", "gemma2-f16"):
        report = plan(program, model=model)
        places = {b["name"]: (b["offset"], b["offset"] + b["bytes"]) for b in report["buffers"]}
        for step in report["steps"]:
            live = sorted(places[name] for name in step["buffers"])
            assert all(a[1] <= b[0] for a, b in zip(live, live[1:])), (step["name"], live)
            assert step["layer"] < 0 or "x" in step["buffers"], step  # the stream, to the head
            assert step["op"] != "attention" or {"q", "attn"} <= set(step["buffers"]), step
        assert max(end for _, end in places.values()) <= report["memory"]["buffers_bytes"]


@case
def the_largest_context_fits_and_the_next_does_not(program: Program):
    found = plan(program)["capacity"]
    memory = found["memory_bytes"]
    assert memory >= 1 << 28, "less than any machine that builds this has"
    for kv in ("f16", "f32"):
        largest = found["largest_context"][kv]
        types = ["-ctk", kv, "-ctv", kv]
        if largest < 1 << 24:  # the tiny model's may be longer than the program's longest
            assert plan(program, "-c", largest, *types)["memory"]["total_bytes"] <= memory
            over = program.run("plan", "--json", program.model(MODEL), "-c", largest + 1, *types)
            assert over.returncode == 0
            assert json.loads(over.stdout)["memory"]["total_bytes"] > memory
    # 24 GiB at the longest; smaller machines are those that cannot hold it.
    deep = Path(program.models).parent / "hf" / "gpt_neox-trained"
    for model, options in ((program.model(MODEL), []),
                           (deep, ["-c", 1 << 24, "-ctk", "f32", "-ctv", "f32"])):
        report = json.loads(program.succeeds("plan", "--json", model, *options).stdout)
        fits = report["memory"]["total_bytes"] <= memory
        assert report["capacity"]["fits"] is fits
        page = program.succeeds("plan", model, *options).stdout.decode()
        needed = f"does not fit: it needs {report['memory']['total_bytes'] / 2**30:.2f} GiB\n"
        assert (needed in page) is not fits and ("does not fit" in page) is not fits, page
        drawn = program.succeeds("plan", "--html", "-", model, *options).stdout.decode()
        assert ("This plan does not fit." in drawn) is not fits
        assert options or fits
    assert found["largest_context"]["f32"] <= found["largest_context"]["f16"]
    assert found["largest_context"]["q8_0"] == 0, "heads of 16 cannot be in blocks of 32"
    mixed = plan(program, "-ctk", "f32", "-ctv", "f16")
    assert mixed["kv"] == "f32/f16"
    limits = mixed["capacity"]["largest_context"]
    assert limits["f32"] <= limits["f32/f16"] <= limits["f16"]
    sizes = [plan(program, "-ctk", k, "-ctv", v)["memory"]["kv_cache_bytes"]
             for k, v in (("f16", "f16"), ("f32", "f16"), ("f16", "f32"), ("f32", "f32"))]
    assert sizes[1] * 2 == sizes[2] * 2 == sizes[0] * 3 == sizes[3] * 3 / 2, sizes
    integers = plan(program, "-ctk", "i16", "-ctv", "i16")["memory"]["kv_cache_bytes"]
    assert integers == sizes[0] * 9 / 8, "a scale of 4 bytes for each 16 integers of 2"
    learned = plan(program, model="gpt2-f32")
    assert learned["capacity"]["largest_context"]["f16"] == learned["trained_context"]


@case
def unmeasured_machines_are_told_what_to_run(program: Program):
    page = text(program)
    forced = program.environment.get("QUERN_ISA")
    usual = program.default_set()
    commands = {isa: "quern doctor" if isa == usual else f"quern doctor --isa {isa}"
                for isa in program.instruction_sets()[1]}
    assert f"run '{commands[forced or usual]}'\n" in page and "us token" not in page
    assert plan(program)["prediction"] is None
    other = text(program, "-t", "97")
    assert "97 threads" in other and "--roofline" in other
    for isa, command in commands.items():
        assert f"run '{command}'\n" in text(program, "--isa", isa), isa


@case
def times_are_those_of_the_roofline(program: Program):
    before = text(program)
    rates = measured(program)
    report = plan(program)
    told = report["prediction"]
    assert told["weights_from"] in rates, told
    assert told["gb_per_s"] == rates[told["weights_from"]] and told["int8_gop_per_s"] == 800
    assert told["prefill_tokens"] == min(512, report["context"])
    for step in report["steps"]:
        if step["op"] != "matmul":
            assert step["decode_us"] >= 0
            continue
        # Not less than the weights at the bandwidth, nor than the operations at the peak.
        by_bytes = 1e-3 * step["bytes"] / told["gb_per_s"]
        assert step["decode_us"] >= by_bytes * (1 - 1e-6), step
        if step["layer"] >= 0 and all(w["type"] == "Q8_0" for w in step["weights"]):
            by_flops = 1e-3 * told["prefill_tokens"] * step["flops"] / 800
            assert step["prefill_us"] >= by_flops * (1 - 1e-6), step
    for name in ("decode_us", "prefill_us"):
        assert math.isclose(told[name], sum(step[name] for step in report["steps"]), rel_tol=1e-6)
    page = text(program)
    assert "us token" in page and re.search(r"a token at position +\d+ +[0-9.]+ +[0-9.]+\n", page)
    assert page == text(program)
    # Nothing else changed: without the columns and the lines of times it is the page before.
    strip = lambda t: {line for line in t.splitlines() if re.match(r"\S.* {2,}[0-9.]+$", line)}
    assert strip(before) <= strip(page)


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.texts, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


@case
def the_page_shows_each_buffer(program: Program):
    path = program.scratch / "a <b> & c.gguf"
    path.write_bytes(Path(program.model(MODEL)).read_bytes())
    for is_measured in (False, True):
        if is_measured:
            measured(program)
        html = program.scratch / "plan.html"
        program.succeeds("plan", path, "--html", html)
        page = Page()
        page.feed(html.read_text())
        assert path.name in page.texts  # escaped, as the parser gives it back
        report = json.loads(program.succeeds("plan", path, "--json").stdout)
        told = "\n".join(page.texts)
        for buffer in report["buffers"]:
            assert f"{buffer['name']}: " in told and f"{buffer['name']} " in told, buffer
        for step in report["steps"]:
            assert step["name"] in page.texts
        assert ("Time at the least" in told) is is_measured
        assert not any(tag in ("script", "link", "img") or "src" in a for tag, a in page.tags)
        for tag, a in page.tags:
            if tag == "rect":
                assert all(math.isfinite(float(a[key])) and float(a[key]) >= 0
                           for key in ("x", "y", "width", "height")), a
    done = program.run("plan", "--json", path, "--html", "/dev/full")
    assert done.returncode == 1 and b"cannot write /dev/full: No s" in done.stderr, done
    assert json.loads(done.stdout) == report


@case
def folders_and_headers_alone_are_enough(program: Program):
    folder = Path(program.models).parent / "hf"
    for name in ("qwen2", "gpt2", "mixtral", "gemma3_text"):
        report = json.loads(program.succeeds("plan", folder / name, "--json").stdout)
        assert report["file"] == name and report["steps"]
    assert subprocess.run([program.path, "plan", program.model(MODEL), "--json"], timeout=SECONDS,
                          stdout=open(os.devnull, "w"), env=program.environment).returncode == 0


@case
def names_of_any_bytes_are_characters_on_a_page(program: Program):
    """Of XML, too, which doctor --svg writes with the same function."""
    for name, shown in [("\x01\x1b\x7f", "\ufffd\ufffd\x7f"), ("\udcff\udc80", 2 * "\ufffd"),
                        ("\udce2\udc82", "\ufffd"), ("\udced\udca0\udc80", 3 * "\ufffd"),
                        ("\ufffe\uffff", 2 * "\ufffd"), ("a\tb\nc\u20ac\U0001f600", None),
                        ("<&\">", "&lt;&amp;&quot;&gt;")]:
        path = program.scratch / f"{name}.gguf"
        path.symlink_to(Path(program.model(MODEL)).resolve())
        page = program.succeeds("plan", "--html", "-", path).stdout.decode()
        title = page.split("<title>quern plan: ")[1].split("</title>")[0]
        expected = name if shown is None else shown
        assert title.endswith(f"{expected}.gguf"), (name, title)
        assert page.count(f"{expected}.gguf") == 2, name


if __name__ == "__main__":
    sys.exit(main())
