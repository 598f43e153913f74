#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quern bench compare and quern bench --ab.

usage: cli_compare.py PROGRAM FOLDER-OF-MODELS
"""

import json
import sys

from cli_harness import Program, case, main


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
def equals_do_not_differ(program):
    a = result(program, "a", (512, 0, 1000000))
    found = json.loads(program.succeeds("bench", "compare", a, a, "--json").stdout)
    assert found[0]["change_percent"] == 0 and not found[0]["differs"]
    assert found[0]["change_percent_95"][0] < 0 < found[0]["change_percent_95"][1]


@case
def fails_above(program):
    a = result(program, "a", (512, 0, 1000000), (0, 8, 1000))
    b = result(program, "b", (512, 0, 1050000), (0, 8, 900))
    program.succeeds("bench", "compare", a, b, "--fail-above", 6)
    assert program.run("bench", "compare", a, b, "--fail-above", "4%").returncode == 1
    program.fails(2, ["--fail-above", "much"], "bench", "compare", a, b, "--fail-above", "much")
    program.succeeds("bench", "compare", b, a, "--fail-above", 15)


@case
def what_bench_writes_is_read(program):
    done = program.succeeds("bench", program.model("llama-f32"), "-p", 8, "-n", 4, "-r", 2, "-o",
                            "json")
    path = program.scratch / "result"
    path.write_bytes(done.stdout)
    found = json.loads(program.succeeds("bench", "compare", path, path, "--json").stdout)
    assert [t["test"] for t in found] == ["pp8", "tg4"]


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
    program.fails(2, ["two results"], "bench", "compare", a)


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
def commands_that_fail(program):
    program.fails(1, ["'exit 3' failed with exit status 3"], "bench", "--ab", "true", "exit 3")
    program.fails(1, ["ended by signal 9"], "bench", "--ab", "kill -9 $$", "true")
    program.fails(2, ["two commands"], "bench", "--ab", "true")


if __name__ == "__main__":
    sys.exit(main())
