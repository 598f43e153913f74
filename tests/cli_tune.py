#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quern tune from outside: what is kept, what is used afterwards, and what is not. No speed is
asserted: settings that no search would find are put into the file by hand.

usage: cli_tune.py PROGRAM FOLDER-OF-MODELS
"""

import json
import math
import os
import re
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from cli_harness import SECONDS, Program, Terminal, case, main

MODEL, OTHER = "llama-trained-q8_0", "llama-f32"
SETTINGS = {"threads", "threads_batch", "ubatch", "spin_us"}


def tune(program: Program, *arguments) -> dict:
    done = program.succeeds("tune", "--json", "--seconds", "0.5", *arguments)
    return json.loads(done.stdout)


def show(program: Program, *arguments) -> dict | None:
    return json.loads(program.succeeds("tune", "--show", "--json", *arguments).stdout)


def kept(program: Program) -> Path:
    file, = Path(program.scratch, ".cache/quern").glob("tune-*.json")
    return file


def change(program: Program, **settings) -> None:
    """Settings that are told apart from what the engine chooses by itself."""
    file = kept(program)
    content = json.loads(file.read_text())
    for model in content["models"].values():
        model.update(settings)
    file.write_text(json.dumps(content))


def used(program: Program, *arguments) -> str | None:
    """The line that says which settings are in use."""
    text = program.succeeds(*arguments).stderr.decode()
    lines = [line for line in text.splitlines() if line.startswith("tuned: ")]
    assert len(lines) <= 1, text
    return lines[0] if lines else None


def run(program: Program, *arguments) -> str | None:
    return used(program, "run", program.model(MODEL), "--ids", "272", "-n", "2", "--temp", "0",
                *arguments)


@case
def a_search_is_shown_and_kept(program: Program):
    report = tune(program, program.model(MODEL))
    assert {"threads", "threads_batch"} <= set(report["searches"]), report
    for name, search in report["searches"].items():
        values = [point["value"] for point in search["points"]]
        assert search["usual"] in values and search["chosen"] in values, search
        if search["chosen"] != search["usual"]:
            assert search["gain"] > search["noise"] >= 0.03, search
        if search["complete"]:
            assert all(p["tokens_per_second"] > 0 and p["samples"] >= 3
                       for p in search["points"]), search
        assert report["settings"].get(name) == search["chosen"], report
        for point in search["points"]:
            assert (point["joules_per_token"] is None) == (report["no_joules"] is not None)
    assert {k: v for k, v in show(program, program.model(MODEL)).items() if k in SETTINGS} == \
        {k: v for k, v in report["settings"].items() if k in SETTINGS}
    assert kept(program).stat().st_mode & 0o777 == 0o600
    stored, = json.loads(kept(program).read_text())["models"].values()
    shown = show(program, program.model(MODEL))
    for name in ("prefill", "decode"):
        rate = shown[f"{name}_tokens_per_second"]
        assert rate is None if stored[name] == 0 else math.isclose(rate, stored[name],
                                                                   rel_tol=1e-6), (shown, stored)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown["measured_at"]), shown
    assert datetime.fromisoformat(shown["measured_at"].replace("Z", "+00:00")).timestamp() == \
        stored["measured_at"]


@case
def a_page_is_legible(program: Program):
    done = program.succeeds("tune", "--seconds", "0.5", "--kv", program.model(MODEL))
    page = done.stdout.decode()
    assert all(len(line) <= 80 for line in page.splitlines()), page
    for word in ["Decode: threads", "Prefill: threads", "KV cache", "t/s", "Settings"]:
        assert word in page, page
    assert ("No joules: " in page) != ("J/token" in page), page
    assert "measuring: Decode: threads" in done.stderr.decode()
    shown = program.succeeds("tune", "--show", program.model(MODEL)).stdout.decode()
    assert page.endswith(shown), (page, shown)
    assert done.stderr.endswith(b"kept for this model on this machine (--reset: forget)\n")


@case
def what_is_not_searched_has_its_reason(program: Program):
    """A context of 256 has no room for prompts that ubatches would divide, and only shorter ones are
    for want of time; one thread spins for nobody; and of a search without time there is no empty
    table."""
    page = program.succeeds("tune", "--seconds", "1", "--dry-run", program.model(MODEL))
    assert b"kept" not in page.stderr
    words = " ".join(page.stdout.decode().split())
    # On a busy machine slow kernels have no time for the longest prompts either.
    reason = re.search(r"Prefill: ubatch 512 stays: (prompts have 128 tokens at the most, half the "
                       r"model's context|prompts of more than (\d+) tokens need more time)", words)
    assert reason and int(reason[2] or 0) < 128, words
    cpu = min(os.sched_getaffinity(0))
    done = subprocess.run(["taskset", "-c", str(cpu), program.path, "tune", "--seconds", "0.5",
                           "--dry-run", program.model(MODEL)], capture_output=True, timeout=SECONDS,
                          env=program.environment)
    assert b"usual stays: a thread that decodes alone waits for nobody" in done.stdout, done
    page = program.succeeds("tune", "--seconds", "0", "--dry-run", program.model(MODEL)).stdout
    assert page.count(b"stays: time was over before the search was (--seconds)") >= 2, page
    assert b"t/s  " not in page, page


@case
def a_narrow_terminal_is_not_overrun(program: Program):
    with Terminal(program, "tune", "--seconds", "0.5", "--dry-run", program.model(MODEL),
                  columns=40) as terminal:
        status, shown = terminal.finish()
    page = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    lines = page.split("\r\nDecode: threads\r\n")[1].splitlines()
    assert status == 0 and len(lines) > 15 and all(len(line) <= 40 for line in lines), page


@case
def what_is_kept_is_used_and_flags_win(program: Program):
    assert run(program) is None
    tune(program, program.model(MODEL))
    change(program, threads=3, threads_batch=5, ubatch=64, spin_us=10)
    assert run(program) == \
        "tuned: 3 threads, 5 for the prompt, ubatch 64, spin 10 us (--no-tune: without)"
    assert run(program, "--no-tune") is None
    assert run(program, "-q") is None
    assert run(program, "-t", "2", "--spin", "7", "-ub", "32") is None
    assert "2 threads, 2 for the prompt, ubatch 64" in run(program, "-t", "2")
    assert "3 threads, 4 for the prompt" in run(program, "-tb", "4")
    assert "ubatch 32," in run(program, "-ub", "32")
    assert "spin 99 us" in run(program, "--spin", "99")


@case
def a_model_that_is_missing_is_told_once(program: Program):
    tune(program, program.model(MODEL))
    program.fails(1, ["smollm2 is not at"], "run", "smollm2", "hi")


@case
def other_subcommands_use_it(program: Program):
    model = program.model(MODEL)
    plain = program.succeeds("logits", model, "--ids", "272,283,276", "-o", "-")
    tune(program, model)
    change(program, threads=3, threads_batch=2, ubatch=2, spin_us=10)
    tuned = program.succeeds("logits", model, "--ids", "272,283,276", "-o", "-")
    assert tuned.stderr.startswith(b"tuned: 3 threads, 2 for the prompt, ubatch 2")
    assert tuned.stdout == plain.stdout, "bits differ"
    bench = ["bench", model, "-p", "8", "-n", "2", "-r", "1", "-o", "json"]
    done = program.succeeds(*bench)
    assert done.stderr.startswith(b"tuned: 3 threads")
    assert {(row["n_threads"], row["n_ubatch"]) for row in json.loads(done.stdout)} == {(3, 2)}
    done = program.succeeds(*bench, "-t", "1,2")
    assert b"tuned" not in done.stderr
    assert {(row["n_threads"], row["n_ubatch"]) for row in json.loads(done.stdout)} == \
        {(1, 512), (2, 512)}
    done = program.succeeds(*bench, "-ub", "4")
    assert {(row["n_threads"], row["n_ubatch"]) for row in json.loads(done.stdout)} == {(3, 4)}
    done = program.succeeds(*bench, "--no-tune")
    assert b"tuned" not in done.stderr


@case
def it_belongs_to_the_model_and_not_its_place(program: Program):
    copy = Path(program.scratch, "elsewhere.gguf")
    copy.write_bytes(Path(program.model(MODEL)).read_bytes())
    tune(program, program.model(MODEL))
    assert show(program, copy) is not None
    assert show(program, program.model(OTHER)) is None
    mine = program.environment.get("QUERN_ISA", program.default_set())
    for other in program.instruction_sets()[1] - {mine}:
        assert show(program, program.model(MODEL), "--isa", other) is None, "another key"
    tune(program, program.model(OTHER))
    assert len(json.loads(kept(program).read_text())["models"]) == 2


@case
def another_machine_has_its_own(program: Program):
    tune(program, program.model(MODEL))
    file = kept(program)
    content = json.loads(file.read_text())
    content["cpu"] = "another"
    file.write_text(json.dumps(content))
    assert show(program, program.model(MODEL)) is None
    assert run(program) is None


@case
def it_is_forgotten(program: Program):
    model = program.model(MODEL)
    nothing = b"nothing is kept for this model on this machine\n"
    assert program.succeeds("tune", "--show", model).stdout == nothing
    assert program.succeeds("tune", "--reset", model).stdout == nothing
    tune(program, model)
    assert program.succeeds("tune", "--reset", model).stdout == b"forgotten\n"
    assert show(program, model) is None and run(program) is None
    tune(program, "--dry-run", model)
    assert show(program, model) is None


@case
def a_broken_file_is_no_obstacle(program: Program):
    model = program.model(MODEL)
    tune(program, model)
    whole = kept(program).read_bytes()
    for broken in [b"", b"{", b"[]", b"\x00\xff", whole[:len(whole) // 2], b'{"models": 3}',
                   re.sub(rb'"threads": \d+', b'"threads": -4', whole),
                   re.sub(rb'"ubatch": \d+', b'"ubatch": "many"', whole)]:
        kept(program).write_bytes(broken)
        assert show(program, model) is None, broken
        assert run(program) is None, broken
    tune(program, model)
    assert show(program, model) is not None


@case
def a_folder_that_cannot_be_written_is_told(program: Program):
    Path(program.scratch, ".cache").write_text("not a folder")
    program.fails(1, ["cannot be kept"], "tune", program.model(MODEL))  # before it measures
    program.environment["XDG_CACHE_HOME"] = "/" + "x" * 5000
    program.fails(1, ["too long"], "tune", "--show", program.model(MODEL))
    del program.environment["XDG_CACHE_HOME"]
    program.succeeds("tune", "--json", "--seconds", "0.2", "--dry-run", program.model(MODEL))


@case
def without_time_what_was_kept_stays(program: Program):
    model = program.model(MODEL)
    done = program.run("tune", "--seconds", "0", model)
    assert done.returncode == 1 and b"nothing is kept: time was over" in done.stderr, done
    assert b"prefill not measured, decode not measured" in done.stdout, done
    assert show(program, model) is None
    tune(program, model)
    before = kept(program).read_bytes()
    assert program.run("tune", "--seconds", "0", model).returncode == 1
    assert kept(program).read_bytes() == before


@case
def wrong_usage_is_told(program: Program):
    program.fails(2, ["--show", "--reset"], "tune", "--show", "--reset", program.model(MODEL))
    program.fails(2, ["no model"], "tune")
    program.fails(1, ["/no/such.gguf"], "tune", "/no/such.gguf")
    program.fails(2, ["-tb", "0"], "run", "-tb", "0", program.model(MODEL))


@case
def ctrl_c_keeps_nothing(program: Program):
    with subprocess.Popen([program.path, "tune", program.model(MODEL), "--seconds", "1000"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=program.environment) as process:
        while b"measuring: " not in (line := process.stderr.readline()):
            assert line, "ended before anything was measured"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130 and out == b"", (process.returncode, out)
    assert show(program, program.model(MODEL)) is None
    assert " 130 " in program.succeeds("--help").stdout.decode()


if __name__ == "__main__":
    sys.exit(main())
