#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quern bench compare, quern bench --ab, and bench/compare with stand-ins for llama.cpp.

usage: cli_compare.py PROGRAM FOLDER-OF-MODELS
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from cli_harness import SECONDS, Program, case, main

SCRIPT = Path(__file__).resolve().parent.parent / "bench" / "compare"


def result(program: Program, name: str, *tests, **members):
    """A file as bench writes it: tests are (prompt, gen, nanoseconds of the fastest run)."""
    rows = [{"cpu_info": "P", "isa": "avx2", "n_prompt": prompt, "n_gen": gen, "n_depth": 0,
             "samples_ns": [ns + i * ns // 1000 for i in range(12)]} | members
            for prompt, gen, ns in tests]
    path = program.scratch / name
    path.write_text(json.dumps(rows))
    return path


@case
def tests_are_matched(program):
    a = result(program, "a", (512, 0, 1000000), (0, 128, 2000000), (64, 0, 5))
    b = result(program, "b", (0, 128, 1000000), (512, 0, 1250000), isa="avx512")
    found = json.loads(program.succeeds("bench", "compare", a, b, "--json").stdout)
    assert [(t["test"], round(t["change_percent"]), t["differs"]) for t in found] == [
        ("pp512", -20, True), ("tg128", 100, True)], found
    text = program.succeeds("bench", "compare", a, b).stdout.decode()
    assert 'differs in isa: "avx2" and "avx512"' in text and "tg128" in text
    assert max(map(len, text.splitlines())) <= 80, text


@case
def tests_of_the_same_settings_are_paired_first(program):
    """Whatever stands before them; what then is left is paired all the same, and says so."""
    changes = {"n_threads": (2, 1), "n_batch": (512, 64), "n_ubatch": (512, 64),
               "type_k": ("f16", "q8_0"), "type_v": ("f16", "q8_0"), "isa": ("avx512", "ref"),
               "model_type": ("llama 1B Q8_0", "llama 1B Q4_0")}
    for member, (value, other) in changes.items():
        a = result(program, "a", (512, 0, 1000000), **{member: value})
        b = result(program, "b", (512, 0, 3000000), **{member: other})
        rows = json.loads(b.read_text()) + json.loads(a.read_text())
        b.write_text(json.dumps(rows))
        done = program.succeeds("bench", "compare", a, b, "--json")
        row, = json.loads(done.stdout)
        assert row["change_percent"] == 0 and row["differs_in"] == {}, (member, row)
        # The other order of both, and one row left of each: the pair that differs says in what.
        more = program.scratch / "more"
        more.write_text(json.dumps(json.loads(a.read_text()) * 2))
        rows = json.loads(program.succeeds("bench", "compare", more, b, "--json").stdout)
        assert [row["differs_in"] for row in rows] == [{}, {member: [value, other]}], rows
        text = program.succeeds("bench", "compare", more, b).stdout.decode().splitlines()
        note, = [i for i, line in enumerate(text) if f"differs in {member}: " in line]
        assert "pp512" in text[note - 1] and "pp512" in text[note - 2], text


@case
def equals_do_not_differ(program):
    a = result(program, "a", (512, 0, 1000000))
    found = json.loads(program.succeeds("bench", "compare", a, a, "--json").stdout)
    assert found[0]["change_percent"] == 0 and not found[0]["differs"]
    assert found[0]["change_percent_95"][0] < 0 < found[0]["change_percent_95"][1]


@case
def of_few_samples_there_is_no_interval(program):
    paths = [result(program, name, (512, 0, ns), samples_ns=[ns] * 3)
             for name, ns in [("a", 1000), ("b", 1100)]]
    found = json.loads(program.succeeds("bench", "compare", *paths, "--json").stdout)
    assert found[0]["change_percent_95"] is None and not found[0]["differs"], found
    text = program.succeeds("bench", "compare", *paths).stdout.decode()
    assert " to " not in text and "too few runs for an interval" in text, text
    # Options may stand before --ab.
    found = json.loads(program.succeeds("bench", "-r", 2, "--ab", "true", "true", "--json").stdout)
    assert found["ratio_95"] is None and not found["differs"], found
    text = program.succeeds("bench", "-r", 2, "--ab", "true", "true").stdout.decode()
    assert "(too few runs for an interval)" in text, text


@case
def fails_above(program):
    a = result(program, "a", (512, 0, 1000000), (0, 8, 1000))
    b = result(program, "b", (512, 0, 1050000), (0, 8, 900))
    program.succeeds("bench", "compare", a, b, "--fail-above", 6)
    assert program.run("bench", "compare", a, b, "--fail-above", "4%").returncode == 1
    program.fails(2, ["--fail-above", "much"], "bench", "compare", a, b, "--fail-above", "much")
    program.succeeds("bench", "compare", b, a, "--fail-above", 15)
    one = result(program, "one", (512, 0, 1000000))
    for pair in [(a, one), (one, a)]:  # what one side lacks is named, and no success
        done = program.succeeds("bench", "compare", *pair)
        assert done.stderr.decode().startswith(f"quern: tg8 is in {a} alone"), done.stderr
        assert program.run("bench", "compare", *pair, "--fail-above", 6).returncode == 1


@case
def what_bench_writes_is_read(program):
    done = program.succeeds("bench", program.model("llama-f32"), "-p", 8, "-n", 4, "-r", 2, "-o",
                            "json")
    path = program.scratch / "result"
    path.write_bytes(done.stdout)
    found = json.loads(program.succeeds("bench", "compare", path, path, "--json").stdout)
    assert [t["test"] for t in found] == ["pp8", "tg4"]
    lines, twice = program.scratch / "lines", program.scratch / "twice"
    lines.write_bytes(program.succeeds("bench", program.model("llama-f32"), "-p", 8, "-n", 4, "-r",
                                       2, "-o", "jsonl").stdout)
    twice.write_bytes(2 * done.stdout)
    for a, b, tests in ((lines, path, 2), (path, lines, 2), (twice, twice, 4), (twice, path, 2)):
        found = json.loads(program.succeeds("bench", "compare", a, b, "--json").stdout)
        assert [t["test"] for t in found] == (["pp8", "tg4"] * 2)[:tests], (a, b, found)
    lines.write_bytes(done.stdout + b"{}\n")
    program.fails(1, ["lines is not what bench"], "bench", "compare", lines, path)


@case
def refuses_what_cannot_be_compared(program):
    a = result(program, "a", (512, 0, 1000000))
    other = result(program, "other", (512, 0, 1000000), cpu_info="Q")
    program.fails(1, ["not comparable", "P", "Q"], "bench", "compare", a, other)
    program.succeeds("bench", "compare", a, other, "--anyway")
    program.fails(1, ["no test in common"], "bench", "compare", a,
                  result(program, "c", (99, 0, 1000)))
    (program.scratch / "no").write_text("{}")
    program.fails(1, ["no is not what bench"], "bench", "compare", program.scratch / "no", a)
    (program.scratch / "bad").write_text("[")
    program.fails(1, ["bad: line 1"], "bench", "compare", program.scratch / "bad", a)
    for command in ["bench", "compare"], ["profile", "diff"]:
        program.fails(1, [f"{program.scratch}: cannot be read: Is a directory"], *command,
                      program.scratch, a)
    program.fails(2, ["two results"], "bench", "compare", a)


def runs(pid: str) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@case
def a_signal_ends_the_command_too(program):
    """Processes that a shell started, too; and nohup's signal stays ignored."""
    pids = program.scratch / "pids"
    command = f"sleep 1000 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait"
    default = lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process = subprocess.Popen([program.path, "bench", "--ab", command, "true"],
                                   stderr=subprocess.PIPE, env=program.environment,
                                   preexec_fn=default)
        end = time.monotonic() + SECONDS
        while not pids.exists():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.communicate(timeout=SECONDS)[1] == b"" and process.returncode == -number
        if number == signal.SIGINT:  # which a shell's processes in the background ignore
            os.kill(int(pids.read_text().split()[0]), signal.SIGTERM)
        for pid in pids.read_text().split():
            while runs(pid):
                assert time.monotonic() < end, f"{pid} still runs"
                time.sleep(0.01)
        pids.unlink()
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    done = program.run("bench", "--ab", "kill -HUP $PPID", "true", "-r", 2, preexec_fn=ignore)
    assert done.returncode == 0, done


@case
def commands_run_in_turn(program):
    log = program.scratch / "log"
    program.succeeds("bench", "--ab", f"echo a >> {log}; sleep 0.01",
                     f"echo b >> {log}; sleep 0.2", "-r", 4, "--warm-up", 1)
    assert log.read_text().split() == ["a", "b"] + ["a", "b", "b", "a"] * 2
    log.unlink()
    found = json.loads(program.succeeds("bench", "--ab", "sleep 0.01", "sleep 0.2", "-r", 4,
                                        "--json").stdout)
    # Seconds of sleep are the least that a command takes; four fast runs all below four slow ones
    # means that they differ.
    a, b = (command["seconds"] for command in found["commands"])
    assert min(a) >= 0.01 and min(b) >= 0.2 and len(a) == len(b) == 4
    assert found["differs"] == (max(a) < min(b))


@case
def commands_need_not_be_text(program):
    done = program.succeeds("bench", "--ab", "echo \udcff", "true", "-r", 2, "--json")
    found = json.loads(done.stdout)["commands"]
    assert [c["command"] for c in found] == ["echo \ufffd", "true"]
    assert [len(c["seconds"]) for c in found] == [2, 2]


@case
def commands_that_fail(program):
    program.fails(1, ["'exit 3' failed with exit status 3"], "bench", "--ab", "true", "exit 3")
    program.fails(1, ["ended by signal 9"], "bench", "--ab", "kill -9 $$", "true")
    program.fails(2, ["two commands"], "bench", "--ab", "true")


def stand_in(path: Path, log: Path, text: str) -> Path:
    """A program that appends its name and arguments to the log and prints the text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho \"$(basename $0) $*\" >> {log}\ncat << 'END'\n{text}\nEND\n")
    path.chmod(0o755)
    return path


def engines(program: Program, *arguments, **environment):
    done = subprocess.run([sys.executable, SCRIPT, program.model("llama-f32"), "-r", "1",
                           *map(str, arguments)], capture_output=True, timeout=SECONDS,
                          env=program.environment | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@case
def engines_are_compared(program):
    log = program.scratch / "engines"
    theirs = stand_in(program.scratch / "llama-bench", log, '[{"avg_ts": 0.5}]')
    ours = {**program.environment, "XDG_CACHE_HOME": str(program.scratch / "roof")}
    path = program.scratch / "samples.json"
    text = engines(program, "-p", 8, "-n", 2, "-t", 1, "--quern", program.path, "--llama-bench",
                   theirs, "-o", path, **ours)
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| llama-f32")]
    assert [row[2].strip() for row in rows] == ["pp8", "tg2"], text
    assert all(row[6].split()[1] == unit and row[6].endswith("% ")
               for row, unit in zip(rows, ["GOP/s", "GB/s"])), text
    assert all(s["ratio"] == s["quern"][0] / 0.5 for s in json.loads(path.read_text())["samples"])
    assert len(log.read_text().splitlines()) == 4  # with repacking and without, of two tests


@case
def rates_are_of_the_median_round(program):
    log = program.scratch / "rounds"
    theirs = stand_in(program.scratch / "theirs-too", log, '[{"avg_ts": 0.5}]')
    ours = program.scratch / "ours"
    row = '{"avg_ts": %s, "isa": "avx2", "n_prompt": 0, "gb_per_s": %s, "percent_of_roofline": 50}'
    ours.write_text(f"#!/bin/sh\necho quern >> {log}\ncase $(grep -c quern {log}) in\n" +
                    "".join(f"{i}) echo '[{row % (ts, ts + 0.5)}]' ;;\n"
                            for i, ts in enumerate((2, 3, 1), 1)) + "esac\n")
    ours.chmod(0o755)
    for rounds, speed, rate in [(3, "2.0 (1-3)", "2.5 GB/s 50 %"), (2, "2.5 (2-3)", "3.0 GB/s")]:
        text = engines(program, "-p", 0, "-n", 2, "-r", rounds, "--quern", ours, "--llama-bench",
                       theirs)
        assert speed in text and rate in text, text
        log.unlink()


@case
def instruction_sets_hold_for_both_engines(program):
    home, log = program.scratch / "peers", program.scratch / "sets"
    peers = home / "quern" / "peers"
    row = {"avg_ts": 2.0, "isa": "avx2", "n_prompt": 0, "gb_per_s": 1.5, "gop_per_s": 9,
           "percent_of_roofline": 51.2}
    ours = stand_in(program.scratch / "quern", log, json.dumps([row]))
    arguments = ["-p", 0, "-n", 2, "--isa", "avx2", "--quern", ours]
    # Where it is not there yet it is built, in a folder of its own.
    source = SCRIPT.read_text().split("PACKAGE = '")[1].split("'")[0].replace("==", "-")
    folder = peers / source / "avx2"
    (peers / source / "x" / "vendor" / "llama.cpp").mkdir(parents=True)
    tools = program.scratch / "tools"
    stand_in(tools / "cmake", log, "")
    ninja = stand_in(tools / "ninja", log, "")
    theirs = stand_in(program.scratch / "theirs", log, '[{"avg_ts": 0.5}]')
    with ninja.open("a") as file:
        file.write(f"mkdir -p {folder}/bin && cp {theirs} {folder}/bin/llama-bench\n")
    environment = {"XDG_CACHE_HOME": str(home), "PATH": f"{tools}:{os.environ['PATH']}"}
    text = engines(program, *arguments, **environment)
    assert "nothing above avx2" in text and "1.5 GB/s 51 %" in text, text
    cmake, _, *runs = log.read_text().splitlines()
    chosen = {option.split("=")[0][7:]: option.split("=")[1] for option in cmake.split()
              if option.startswith("-DGGML_")}
    assert {name for name, value in chosen.items() if value == "ON"} == {
        "AVX", "AVX2", "FMA", "F16C", "BMI2"}, cmake
    assert chosen["NATIVE"] == chosen["AVX512"] == chosen["AVX_VNNI"] == "OFF", cmake
    assert [line.split()[0] for line in runs] == ["quern", "llama-bench", "llama-bench"], runs
    assert "--isa avx2" in runs[0] and "--isa" not in runs[1], runs
    log.unlink()
    engines(program, *arguments, **environment)
    assert [line.split()[0] for line in log.read_text().splitlines()] == [
        "quern", "llama-bench", "llama-bench"], "built once"


@case
def engines_that_cannot_be_compared_are_told(program):
    """Before anything is measured, where that can be known."""
    log = program.scratch / "untouched"
    theirs = stand_in(program.scratch / "llama-bench", log, '[{"avg_ts": 0.5}]')
    row = {"avg_ts": 2.0, "isa": "avx2", "n_prompt": 0, "gb_per_s": 1.5}
    ours = stand_in(program.scratch / "quern", log, json.dumps([row]))

    def told(*arguments, **environment):
        done = subprocess.run([sys.executable, SCRIPT, "model", "--quern", ours, *arguments],
                              capture_output=True, timeout=SECONDS,
                              env=program.environment | environment)
        assert b"Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stderr.decode()

    with_theirs = ["--llama-bench", theirs, "-n", "2"]
    for arguments, words in [(["-r", "0"], "0 is below 1"), (["-p", "-5"], "-5 is below 0"),
                             (["-n", "-1"], "-1 is below 0"), (["-t", "0"], "0 is below 1"),
                             (["-d", "-1"], "-1 is below 0"), (["-r", "x"], "'x'"),
                             (["--parallel", "0"], "0 is below 1"),
                             (["-p", "0", "-n", "0"], "nothing to measure"),
                             (["-n", "0", "--parallel", "2", "-d", "8"], "nothing to measure")]:
        status, text = told(*with_theirs, *arguments)
        assert status == 2 and words in text, (arguments, status, text)
    missing = program.scratch / "none" / "samples.json"
    status, text = told(*with_theirs, "-o", missing)
    assert status == 1 and text == f"compare: {missing}: No such file or directory\n", text
    assert not log.exists(), "nothing was run"
    status, text = told("-n", "2", "--llama-bench", "/bin/true")
    assert status == 1 and text.startswith("compare: /bin/true -p"), text
    assert text.endswith("printed no result as JSON: ''\n"), text
    status, text = told("-n", "2", "--llama-bench", "/no/llama-bench")
    assert status == 1 and text == "compare: /no/llama-bench: No such file or directory\n", text
    status, text = told(*with_theirs, "-p", "0", "-r", "1", "-o", "/dev/full")
    assert status == 1 and text == "compare: /dev/full: No space left on device\n", text
    kept = program.scratch / "kept"  # a run that fails takes nothing away
    kept.write_text("before")
    assert told("-n", "2", "--llama-bench", "/bin/true", "-o", kept)[0] == 1
    assert kept.read_text() == "before"
    assert told(*with_theirs, "-p", "0", "-r", "1", "-o", kept)[0] == 0
    assert json.loads(kept.read_text())["samples"]


@case
def a_relative_cache_does_not_count(program):
    """llama.cpp's build lies below the home then, and is found there."""
    log = program.scratch / "home"
    package = SCRIPT.read_text().split("PACKAGE = '")[1].split("'")[0].replace("==", "-")
    stand_in(program.scratch / ".cache" / "quern" / "peers" / package / "native" / "bin" /
             "llama-bench", log, '[{"avg_ts": 0.5}]')
    row = {"avg_ts": 2.0, "isa": "avx2", "n_prompt": 0, "gb_per_s": 1.5}
    ours = stand_in(program.scratch / "quern", log, json.dumps([row]))
    engines(program, "-p", 0, "-n", 2, "--quern", ours, PIP_NO_INDEX="1",
            XDG_CACHE_HOME=os.path.relpath(program.scratch / "other"))
    assert "llama-bench" in log.read_text()


if __name__ == "__main__":
    sys.exit(main())
