#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quern bench from outside. No speed is asserted, only that numbers are there and add up.

usage: cli_bench.py PROGRAM FOLDER-OF-MODELS
"""

import csv
import io
import json
import os
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import xml.etree.ElementTree
from datetime import datetime, timezone
from pathlib import Path

from cli_harness import SECONDS, Program, case, main

MODEL = "llama-q8_0"
# Columns of llama-bench that mean the same here, in its order.
THEIRS = ["build_commit", "cpu_info", "gpu_info", "backends", "model_filename", "model_type",
          "model_size", "model_n_params", "n_batch", "n_ubatch", "n_threads", "cpu_mask",
          "cpu_strict", "type_k", "type_v", "n_gpu_layers", "n_prompt", "n_gen", "n_depth",
          "test_time", "avg_ns", "stddev_ns", "avg_ts", "stddev_ts", "samples_ns", "samples_ts"]


def measure(program: Program, *arguments) -> list[dict]:
    return json.loads(program.succeeds("bench", program.model(MODEL), *arguments, "-o",
                                       "json").stdout)


def tests_of(rows: list[dict]) -> list[tuple]:
    return [(row["n_prompt"], row["n_gen"], row["n_depth"]) for row in rows]


@case
def tests_are_those_of_llama_bench_in_its_order(program: Program):
    rows = measure(program, "-p", "8,0,16", "-n", "4", "-pg", "8,2", "-pg", "4,1", "-d", "0,32",
                   "-r", "1")
    tests = [(8, 0), (16, 0), (0, 4), (8, 2), (4, 1)]
    assert tests_of(rows) == [(p, n, depth) for depth in (0, 32) for p, n in tests]
    assert tests_of(measure(program, "-p", "0", "-n", "1", "-r", "1")) == [(0, 1, 0)]
    for form in ("md", "csv", "json", "jsonl", "sql"):
        program.fails(2, ["nothing to measure", "-p, -n or -pg"], "bench", program.model(MODEL),
                      "-p", "0", "-n", "0", "-pg", "0,0", "-o", form)
    assert tests_of(measure(program, "-p", "0", "-n", "0", "-pg", "2,1", "-r", "1")) == [(2, 1, 0)]
    lines = program.succeeds("bench", program.model(MODEL), "-p", "8", "-n", "4", "-pg", "8,2",
                             "-d", "0,32", "-r", "1").stdout.decode().splitlines()
    names = [line.split("|")[6].strip() for line in lines[2:] if line.startswith("|")]
    assert names == ["pp8", "tg4", "pp8+tg2", "pp8 @ d32", "tg4 @ d32", "pp8+tg2 @ d32"]


@case
def sequences_run_together(program: Program):
    common = ["-p", "8", "-n", "4", "-pg", "8,2", "-d", "0,16", "-npl", "1,3", "-r", "1"]
    rows = measure(program, *common)
    assert [(row["n_depth"], row["n_parallel"], row["n_prompt"], row["n_gen"]) for row in rows] == \
        [(depth, n, *test) for depth in (0, 16) for n in (1, 3)
         for test in ((8, 0), (0, 4), (8, 2))]
    for row in rows:
        tokens = row["n_parallel"] * (row["n_prompt"] + row["n_gen"])
        assert abs(row["avg_ts"] * row["avg_ns"] - 1e9 * tokens) <= 1e-5 * 1e9 * tokens, row
    lines = program.succeeds("bench", program.model(MODEL), *common).stdout.decode().splitlines()
    names = [line.split("|")[6].strip() for line in lines[2:] if line.startswith("|")]
    assert names[3:9] == ["pp8 x3", "tg4 x3", "pp8+tg2 x3", "pp8 @ d16", "tg4 @ d16",
                          "pp8+tg2 @ d16"] and names[-1] == "pp8+tg2 x3 @ d16"
    # Weights are read once a step, however many sequences: three more of them read their cache.
    read = lambda row: row["gb_per_s"] * row["avg_ns"]
    one, three = (next(row for row in rows if row["n_parallel"] == n and row["n_gen"] == 4
                       and row["n_depth"] == 16 and row["n_prompt"] == 0) for n in (1, 3))
    plan = program.succeeds("plan", program.model(MODEL)).stdout.decode()
    per_position = int(plan.split(" bytes of KV a position")[0].split()[-1])
    cache = per_position * (17 + 18 + 19 + 20)  # of one sequence, all four steps
    assert abs(read(three) - read(one) - 2 * cache) <= 1e-3 * read(one) + 4, (read(one), cache)
    assert three["kv_bytes"] > one["kv_bytes"]
    program.fails(1, ["4096 sequences of 1000008 tokens"], "bench", program.model(MODEL), "-p",
                  "8", "-n", "0", "-d", "1000000", "-npl", "4096")


@case
def prompts_and_answers_of_llama_batched_bench(program: Program):
    rows = measure(program, "-npp", "8,16", "-ntg", "2,4", "-npl", "1,2", "-r", "1")
    assert [(row["n_parallel"], *test) for row, test in zip(rows, tests_of(rows))] == \
        [(n, *test) for n in (1, 2) for p in (8, 16)
         for test in ((p, 0, 0), (0, 2, p), (0, 4, p))]
    assert tests_of(measure(program, "-npp", "8", "-r", "1")) == [(8, 0, 0), (0, 128, 8)]
    assert tests_of(measure(program, "-npp", "8", "-ntg", "2", "-n", "1", "-r", "1")) == \
        [(0, 1, 0), (8, 0, 0), (0, 2, 8)]


@case
def lists_and_ranges(program: Program):
    rows = measure(program, "-p", "1-4*2,16-24+8", "-p", "3", "-n", "0", "-r", "1")
    assert tests_of(rows) == [(p, 0, 0) for p in (1, 2, 4, 16, 24, 3)]
    rows = measure(program, "-p", "8", "-n", "0", "-r", "1", "-t", "1-2", "-b", "4,8", "-ub",
                   "2,4", "-ctk", "f16,f32", "-ctv", "f16,f32")
    assert [(r["n_threads"], r["n_batch"], r["n_ubatch"], r["type_k"], r["type_v"])
            for r in rows] == \
        [(t, b, ub, k, v) for t in (1, 2) for b in (4, 8) for ub in (2, 4)
         for k in ("f16", "f32") for v in ("f16", "f32")]
    model = program.model(MODEL)
    for arguments, words in [(["-p", "4-2"], ["-p", "'4-2'"]), (["-p", "1-4*1"], ["'1-4*1'"]),
                             (["-n", "1,,2"], ["-n", "'1,,2'"]), (["-t", "0"], ["-t", "'0'"]),
                             (["-pg", "8"], ["-pg", "'8'"]), (["-pg", "8,2,1"], ["'8,2,1'"]),
                             (["-ctk", "f16,q4_9"], ["-ctk", "'f16,q4_9'"]),
                             (["-d", "-1"], ["-d", "'-1'"]), (["-o", "xml"], ["sql", "'xml'"])]:
        program.fails(2, words, "bench", model, *arguments)


@case
def numbers_add_up(program: Program):
    before = datetime.now(timezone.utc).replace(microsecond=0)
    for row in measure(program, "-p", "16", "-n", "4", "-pg", "8,2", "-d", "0,16", "-r", "5"):
        ns, ts = row["samples_ns"], row["samples_ts"]
        tokens = row["n_prompt"] + row["n_gen"]
        assert len(ns) == len(ts) == 5 and all(n > 0 for n in ns)
        # Samples are printed with 9 digits.
        assert all(abs(t - tokens * 1e9 / n) <= 1e-6 * t for n, t in zip(ns, ts))
        near = lambda a, b: abs(a - b) <= 1e-6 * abs(b) + 1
        assert near(row["avg_ns"], statistics.mean(ns)) and near(row["stddev_ns"],
                                                                statistics.stdev(ns))
        assert near(row["avg_ts"], statistics.mean(ts)) and near(row["stddev_ts"],
                                                                statistics.stdev(ts))
        half = 2.776445 * statistics.stdev(ts) / 5 ** 0.5  # Student's t of 4 degrees, 97.5 %
        assert near(row["ci95_low_ts"], statistics.mean(ts) - half), row
        assert near(row["ci95_high_ts"], statistics.mean(ts) + half), row
        assert row["p50_ns"] == sorted(ns)[2] <= row["p95_ns"] <= row["p99_ns"] <= max(ns)
        if row["n_gen"] == 0:
            assert row["token_p50_ns"] is None
        else:
            assert 0 < row["token_p50_ns"] <= row["token_p95_ns"] <= row["token_p99_ns"] <= max(ns)
        assert row["gb_per_s"] > 0 and row["steal_percent"] >= 0
        assert row["weight_bytes"] > 0 and row["kv_bytes"] > 0 and row["buffer_bytes"] > 0
        assert row["resident_bytes"] > row["weight_bytes"]
        assert datetime.fromisoformat(row["test_time"].replace("Z", "+00:00")) >= before
        assert len(row["pins"].split(",")) == row["n_threads"]
        pinned = [int(cpu) for cpu in row["pins"].split(",") if cpu != "-"]
        assert row["numa"] == "local"
        # One node, several, or a kernel that does not tell.
        assert re.fullmatch(r"node \d+|\d+ nodes from \d+ to \d+, \d+ % near their threads|",
                            row["weights_on"] or ""), row
        assert row["cpu_strict"] is (len(pinned) == row["n_threads"])
        assert int(row["cpu_mask"], 16) == sum(1 << cpu for cpu in pinned)


@case
def memory_nodes_are_chosen(program: Program):
    for given, told in [("isolate", ["isolate"]), ("numactl", ["local"]), ("distribute", ["local"]),
                        ("interleave", ["interleave", "not interleaved"])]:
        row, = measure(program, "-p", "0", "-n", "2", "-r", "1", "--numa", given)
        assert row["numa"] in told, row["numa"]
    program.fails(2, ["--numa", "sideways"], "bench", program.model(MODEL), "--numa", "sideways")


@case
def a_deeper_cache_is_read(program: Program):
    shallow, deep = measure(program, "-p", "0", "-n", "4", "-d", "0,256", "-r", "2")
    # Bytes follow from the plan, time does not: 256 positions more of each of the four tokens.
    read = [row["gb_per_s"] * row["avg_ns"] for row in (shallow, deep)]
    shape = json.loads(program.succeeds("inspect", "--json", program.model(MODEL)).stdout)
    plan = program.succeeds("plan", program.model(MODEL)).stdout.decode()
    per_position = int(plan.split(" bytes of KV a position")[0].split()[-1])
    assert shape["engine"]["supported"]
    assert abs(read[1] - read[0] - 4 * 256 * per_position) <= 1e-3 * read[1] + 4, \
        (read, per_position)


@case
def operations_are_those_of_the_plan(program: Program):
    short, long = measure(program, "-p", "8,64", "-n", "0", "-ub", "64", "-r", "1")
    done = [row["gop_per_s"] * row["avg_ns"] for row in (short, long)]  # in the run
    steps = json.loads(program.succeeds("plan", program.model(MODEL), "--json").stdout)["steps"]
    each = sum(step["flops"] for step in steps if step["module"] != "head")
    head = sum(step["flops"] for step in steps if step["module"] == "head")
    assert head > 0
    for row, operations in zip((short, long), done):
        n = row["n_prompt"]
        # Attention, norms and sums come on top, of a small model as much as its products.
        assert n * each + head <= operations <= 3 * (n * each + head), (n, operations, each, head)
    assert done[1] - done[0] >= 56 * each


@case
def forms_agree(program: Program):
    common = ["-p", "16", "-n", "4", "-ub", "8", "-r", "2"]
    run = lambda form: program.succeeds("bench", program.model(MODEL), *common, "-o",
                                        form).stdout.decode()
    rows = json.loads(run("json"))
    keys = list(rows[0])
    assert [key for key in keys if key in THEIRS] == THEIRS
    lines = [json.loads(line) for line in run("jsonl").splitlines()]
    assert [list(line) for line in lines] == [keys] * 2
    columns = [key for key in keys if not key.startswith("samples")]
    table = list(csv.reader(io.StringIO(run("csv"))))
    assert table[0] == columns and [len(line) for line in table] == [len(columns)] * 3
    base = sqlite3.connect(":memory:")
    base.executescript(run("sql"))
    found = base.execute("SELECT * FROM llama_bench")
    assert [column[0] for column in found.description] == columns
    stored = found.fetchall()
    same = ["model_filename", "n_prompt", "n_gen", "n_threads", "n_ubatch", "type_k", "isa"]
    for i, row in enumerate(rows):
        for key in same:
            at = columns.index(key)
            assert table[i + 1][at] == str(row[key]) == str(stored[i][at]), key
        assert type(stored[i][columns.index("avg_ts")]) is float
        assert type(stored[i][columns.index("n_prompt")]) is int
    at = columns.index("token_p50_ns")
    assert table[1][at] == "" and stored[0][at] is None and rows[0]["token_p50_ns"] is None
    page = [line for line in run("md").splitlines() if line.startswith("|")]
    assert len(page) == 4 and len({line.count("|") for line in page}) == 1 and "n_ubatch" in page[0]


@case
def speeds_are_held_against_the_machine(program: Program):
    common = ["-p", "8", "-n", "2", "-pg", "8,2", "-d", "0,64", "-r", "1"]
    assert all(row["roofline_ts"] is None and row["percent_of_peak_read"] is None
               for row in measure(program, *common))
    assert len(measure(program, *common, "--roofline")) == 6
    rows = measure(program, *common)  # the figures are kept
    for row in rows:
        near = lambda a, b: abs(a - b) <= 1e-6 * abs(b)
        tokens = row["n_prompt"] + row["n_gen"]
        least = 1e9 * tokens / row["roofline_ts"]
        assert near(row["percent_of_peak_read"], 100 * row["gb_per_s"] / row["peak_gb_per_s"])
        assert abs(row["percent_of_roofline"] - 100 * least / row["avg_ns"]) < 1e-2, row
    for shallow, deep in zip(rows[:3], rows[3:]):
        assert deep["roofline_ts"] < shallow["roofline_ts"]
    prompt, gen, both = (1e9 * (r["n_prompt"] + r["n_gen"]) / r["roofline_ts"] for r in rows[:3])
    assert prompt + gen * 0.99 < both  # tokens after the prompt see more than those of gen


@case
def results_end_where_the_run_does(program: Program):
    """A later test that fails leaves what was measured as a whole document."""
    model = program.scratch / "model.gguf"
    model.write_bytes(Path(program.model(MODEL)).read_bytes())
    done = program.disturbed(b"}", lambda _: model.unlink(), "bench", model, "-p", "1", "-n", "100",
                             "-t", "1,1", "-r", "100", "-o", "json")
    assert done.returncode == 1 and b"model.gguf" in done.stderr, done
    assert [row["n_gen"] for row in json.loads(done.stdout)] == [0, 100], done
    # What is known beforehand is told before anything is measured.
    program.fails(1, ["4096 sequences of 1000008 tokens"], "bench", program.model(MODEL), "-p",
                  "8", "-n", "0", "-d", "0,1000000", "-npl", "4096")
    whole = ["-d", "0,4194303", "-npl", "4", "-ctk", "f32", "-ctv", "f32"]
    model = Path(program.models).parent / "hf" / "gpt_neox-trained"
    memory = json.loads(program.succeeds("plan", "--json", model).stdout)["capacity"]["memory_bytes"]
    if memory < 24 * 2**30:
        program.fails(1, ["a context of 16777216 tokens: 24.", "GiB of memory are needed"],
                      "bench", model, "-p", "1", "-n", "0", *whole)


@case
def ctrl_c_ends_the_results(program: Program):
    model = program.model(MODEL)
    status, out = program.interrupted(signal.SIGINT, b"}", "bench", model, "-p", "1", "-n", "60000",
                                      "-r", "100", "-o", "json")
    assert status == 130 and [row["n_prompt"] for row in json.loads(out)] == [1], (status, out)
    status, out = program.interrupted(signal.SIGINT, b"pp1 |", "bench", model, "-p", "1", "-n",
                                      "60000", "-r", "100")
    assert status == 130 and b"MiB resident" in out, (status, out)


@case
def names_with_quotes_are_whole(program: Program):
    path = program.scratch / "it's \"a\" model.gguf"
    path.write_bytes(open(program.model(MODEL), "rb").read())
    run = lambda form: program.succeeds("bench", path, "-p", "2", "-n", "0", "-r", "1", "-o",
                                        form).stdout.decode()
    assert next(csv.DictReader(io.StringIO(run("csv"))))["model_filename"] == str(path)
    assert json.loads(run("json"))[0]["model_filename"] == str(path)
    base = sqlite3.connect(":memory:")
    base.executescript(run("sql"))
    assert base.execute("SELECT model_filename FROM llama_bench").fetchall() == [(str(path),)]


def plot(*arguments, stdout=subprocess.PIPE, **environment) -> subprocess.CompletedProcess:
    script = Path(__file__).resolve().parent.parent / "bench" / "plot"
    return subprocess.run([sys.executable, script, *map(str, arguments)], stdout=stdout,
                          stderr=subprocess.PIPE, timeout=SECONDS, env=os.environ | environment)


def drawn(svg: bytes) -> tuple[list[str], int, int]:
    """Texts, points and lines of a drawing; all of it lies within the page."""
    root = xml.etree.ElementTree.fromstring(svg)
    width, height = float(root.get("width")), float(root.get("height"))
    name = lambda element: element.tag.split("}")[1]
    for element in root.iter():
        for key, limit in (("x", width), ("cx", width), ("x1", width), ("x2", width),
                           ("y", height), ("cy", height), ("y1", height), ("y2", height)):
            assert 0 <= float(element.get(key, 0)) <= limit, element.attrib
    kinds = [name(element) for element in root.iter()]
    return ([element.text for element in root.iter() if name(element) == "text"],
            kinds.count("circle"), kinds.count("polyline"))


@case
def speeds_are_drawn(program: Program):
    path = program.scratch / "speeds <1>.json"
    run = lambda *arguments: path.write_bytes(program.succeeds(
        "bench", program.model(MODEL), *arguments, "-r", "2").stdout)
    run("-p", "8", "-n", "2", "-d", "0,16,64", "-t", "1,2", "-o", "json")
    done = plot(path)
    assert done.returncode == 0, done.stderr
    texts, points, lines = drawn(done.stdout)
    assert "Prefill of 8 tokens (pp8)" in texts and "Decoding of 2 tokens (tg2)" in texts
    assert {"threads 1", "threads 2"} <= set(texts) and texts.count("tokens per second") == 2
    assert texts.count("tokens in the cache before the test") == 2
    assert points == 2 * 2 * 3 + 2 and lines == 4  # and two names in the legend
    one, two = (drawn(plot(path, "-x", axis).stdout) for axis in ("threads", "depth"))
    assert "threads" in one[0] and one[2] == 6 and two == (texts, points, lines)
    other = program.scratch / "other.json"
    other.write_bytes(path.read_bytes())
    named = drawn(plot(path, other, "--title", "a & b").stdout)[0]
    assert {"a & b", "speeds <1>, threads 1", "other, threads 2"} <= set(named)
    svg = program.scratch / "out.svg"
    assert plot(path, "-o", svg).returncode == 0 and svg.read_bytes() == done.stdout
    run("-p", "1-64*2", "-n", "0", "-o", "jsonl")
    texts, points, lines = drawn(plot(path, "-x", "prompt").stdout)
    assert "tokens of the prompt, log scale" in texts and (points, lines) == (7, 1)
    run("-p", "0", "-n", "2", "-npl", "1-8*2", "-o", "json")
    texts, points, lines = drawn(plot(path).stdout)
    assert "sequences that run together, log scale" in texts and (points, lines) == (4, 1)
    run("-p", "0", "-n", "2", "-npl", "1,2", "-d", "0,8,16", "-o", "json")
    assert {"sequences 1", "sequences 2"} <= set(drawn(plot(path).stdout)[0])
    path.write_text("[]")
    assert b"no test" in plot(path).stderr
    path.write_text('{"a": 1}')
    for wrong in (path, program.scratch / "none.json"):
        done = plot(wrong)
        assert done.returncode == 1 and str(wrong).encode() in done.stderr, done.stderr


@case
def files_of_others_are_drawn(program: Program):
    """llama-bench's rows have no sequences; rows of one's own may lack what an axis shows."""
    path, few = program.scratch / "theirs.json", program.scratch / "few.json"
    row = {"n_prompt": 8, "n_gen": 0, "avg_ts": 2.5, "stddev_ts": 0.5}
    path.write_text(json.dumps([row | {"n_depth": d, "n_threads": 2} for d in (0, 16)]))
    few.write_text(json.dumps([row | {"n_depth": 0}]))
    # Where depths are lines, the legend has a point of each.
    for arguments, points in [((path,), 2), ((path, "-x", "sequences"), 4), ((few,), 1),
                              ((path, few, "-x", "threads"), 4)]:
        done = plot(*arguments)
        assert done.returncode == 0, done.stderr
        assert drawn(done.stdout)[1] == points, arguments
    assert done.stderr == b"plot: tests without n_threads are left out: 1 of 3\n", done.stderr
    done = plot(few, "-x", "batch")
    assert done.returncode == 1 and done.stdout == b"", done
    assert done.stderr == b"plot: no test in these files has n_batch, which -x batch shows\n"


@case
def drawings_are_xml_in_utf_8_or_a_sentence(program: Program):
    path = program.scratch / "speeds.json"
    path.write_text(json.dumps([{"n_prompt": 8, "n_gen": 0, "n_depth": 0, "avg_ts": 2500,
                                 "model_type": "\u00fc", "cpu_info": "P", "isa": "avx2"}]))
    done = plot(path, "--title", "a\x01\x1b\udcffb")
    assert done.returncode == 0 and "a\ufffd\ufffd\ufffdb" in drawn(done.stdout)[0], done
    ascii_only = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    svg = program.scratch / "out.svg"
    for done in plot(path, **ascii_only), plot(path, "-o", svg, **ascii_only):
        assert done.returncode == 0 and done.stderr == b"", done.stderr
    assert "\u00fc" in drawn(svg.read_bytes())[0] and svg.read_bytes() == plot(path).stdout
    with open("/dev/full", "wb") as full:
        done = plot(path, stdout=full)
    assert done.returncode == 1, done
    assert done.stderr == b"plot: standard output: No space left on device\n", done.stderr


@case
def one_repetition_has_no_interval(program: Program):
    row, = measure(program, "-p", "4", "-n", "0", "-r", "1", "--no-warmup", "--no-pin")
    assert row["ci95_low_ts"] is None and row["stddev_ts"] == 0
    assert row["cpu_strict"] is False and row["cpu_mask"] == "0x0"


if __name__ == "__main__":
    sys.exit(main())
