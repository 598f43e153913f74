#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quern kbench from outside. No speed is asserted, only that numbers are there and add up.

usage: cli_kbench.py PROGRAM FOLDER-OF-MODELS FOLDER-OF-PLUGINS...
"""

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from cli_harness import SECONDS, Program, case, main

QUICK = ["--seconds", "0.005", "-r", "3", "--where", "l2"]
OPERATIONS = {"matmul", "matvec", "prepare", "norm", "softmax", "rope", "activation", "attention",
              "attention_merge", "kv_store", "add", "add_scaled", "softcap"}


def measure(program: Program, *arguments) -> list[dict]:
    return json.loads(program.succeeds("kbench", "-o", "json", *QUICK, *arguments).stdout)


@case
def every_operation_is_measured_and_right(program: Program):
    rows = measure(program, "--shape", "64x256", "-M", "1,3", "--heads", "2x2x32", "--context",
                   "70")
    assert {row["op"] for row in rows} == OPERATIONS
    for row in rows:
        assert row["right"] is True, row
        assert 0 <= row["error"] < 1, row  # relative; the bound that "right" means is derived
        assert 0 < row["us_min"] <= row["us_median"] <= row["us_p95"], row
        if row["samples"] < 6:  # as many as an interval of 95 % needs
            assert row["us_low"] is row["us_high"] is None, row
        else:
            assert row["us_low"] <= row["us_median"] <= row["us_high"], row
        seconds = 1e-6 * row["us_median"]
        assert abs(row["gop_s"] - 1e-9 * row["ops"] / seconds) <= 1e-6 * row["gop_s"], row
        assert abs(row["gb_s"] - 1e-9 * row["bytes"] / seconds) <= 1e-6 * row["gb_s"], row
        if row["op"] in ("matmul", "matvec"):
            assert row["ops"] == 2 * row["m"] * row["n"] * row["k"]
            assert (row["op"] == "matvec") == (row["m"] == 1)
        if row["peak_gop_s"] > 0:
            expected = 100 * row["gop_s"] / row["peak_gop_s"]
            assert abs(row["percent_of_peak"] - expected) <= 1e-6 * expected, row
            if row["percent_of_peak"] > 110:  # no failure: the machine may have been disturbed
                print(f"WARN {row['function']}: {row['percent_of_peak']:.0f} % of the peak")


@case
def rows_are_lists_and_ranges(program: Program):
    for text, expected in [("1,4", [1, 4]), ("1..6", [1, 2, 4, 6]), ("2..10+4", [2, 6, 10]),
                           ("3..3", [3]), ("4..9+2,1", [4, 6, 8, 1])]:
        rows = measure(program, "--filter", "norm/RMS", "--shape", "8x32", "-M", text)
        assert [row["m"] for row in rows] == expected, text


@case
def shapes_are_those_of_a_model(program: Program):
    rows = measure(program, "--filter", "ma*/F32", "-M", "1", "--shapes-from",
                   program.model("llama-f32"))
    shapes = [(row["n"], row["k"]) for row in rows]
    inspected = json.loads(program.succeeds(
        "inspect", "--json", program.model("llama-f32")).stdout)
    assert len(shapes) == len(set(shapes)) >= 3, shapes
    stored = {tuple(t["shape"][:2]) for t in inspected["tensors"] if len(t["shape"]) == 2}
    assert all((n, k) in stored or (k, n) in stored for n, k in shapes), (shapes, stored)


@case
def threads_and_levels_each_have_rows(program: Program):
    done = program.succeeds("kbench", "-o", "json", "--seconds", "0.005", "-r", "2", "--filter",
                            "matvec/Q8_0", "--shape", "64x256", "-M", "1", "-t", "1,2",
                            "--where", "l2,l3", "--no-pin")
    rows = json.loads(done.stdout)
    assert [(row["threads"], row["where"]) for row in rows] == \
        [(1, "L2"), (1, "L3"), (2, "L2"), (2, "L3")]
    assert rows[0]["copies"] == 1 < rows[1]["copies"]


@case
def forms_agree(program: Program):
    arguments = ["--filter", "add", "--shape", "8x64", "-M", "2"]
    keys = list(measure(program, *arguments)[0])
    text = program.succeeds("kbench", "-o", "csv", *QUICK, *arguments).stdout.decode()
    table = list(csv.reader(io.StringIO(text)))
    assert table[0] == keys and len(table) == 2 and len(table[1]) == len(keys)
    page = program.succeeds("kbench", *QUICK, *arguments).stdout.decode()
    assert all(len(line) <= 80 for line in page.splitlines()), page
    assert "|add " in page and "operands in L2" in page
    rows = program.succeeds("kbench", *QUICK, "--filter", "prepare", "--isa", "all", "--shape",
                            "8x256", "-M", "2", "-r", "1").stdout.decode().splitlines()
    ends = {tuple(i for i, c in enumerate(row) if c == "|") for row in rows if row.startswith("|")}
    assert len(ends) == 1, "names fit their column"
    cells = [row.split("|") for row in rows if row.startswith("|prep")]
    assert cells and all(row[5].strip() == "-" for row in cells), "one sample has no interval"
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program.path, "kbench", *QUICK, *arguments], stdout=full,
                              stderr=subprocess.PIPE, timeout=SECONDS, env=program.environment)
    assert done.returncode == 1 and os.strerror(errno.ENOSPC).encode() in done.stderr, done
    part = program.succeeds("kbench", "-o", "json", *QUICK, "--filter", "matmul/Q4_K", "--shape",
                            "8x32,8x256", "-M", "2")
    assert [row["k"] for row in json.loads(part.stdout)] == [256]
    assert b"quern: 1 case left out: K must be a multiple of 256\n" in part.stderr
    both = program.succeeds("kbench", "-o", "json", *QUICK, "--filter", "matmul/Q4_K", "--shape",
                            "8x32,8x256", "-M", "2", "-t", "1,2", "--no-pin")
    assert b"quern: 1 case left out: " in both.stderr, "a case is no other on more threads"


@case
def a_pipe_has_each_row_at_once(program: Program):
    """32 rows of 1000 samples, which take 0.3 ms or more each, and less than a pipe's buffer."""
    process = subprocess.Popen([program.path, "kbench", "--filter", "add", "--shape", "8x64", "-M",
                                "1..32+1", "--where", "l2", "--seconds", "60", "-r", "1000"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               env=program.environment)
    while not (line := process.stdout.readline()).startswith(b"|add "):
        assert line, "ended without a row"
    process.kill()
    rest = process.stdout.read().splitlines()
    process.wait()
    assert len(rest) < 31, "the first row came with the last"


@case
def results_end_where_the_run_does(program: Program):
    """A later case that fails, or Ctrl-C in it, leaves what was measured as a whole document."""
    failed = program.run("kbench", "-o", "json", *QUICK, "--filter", "matvec/F32", "--shape",
                         "8x64,1000000x1000000", "-M", "1")
    assert failed.returncode == 1 and b"GiB of memory are needed" in failed.stderr, failed
    assert [row["n"] for row in json.loads(failed.stdout)] == [8], failed
    status, out = program.interrupted(signal.SIGINT, b"}", "kbench", "-o", "json", "--seconds",
                                      "0.5", "-r", "1000", "--shape", "8x64", "-M", "1..512")
    assert status == 130 and json.loads(out), (status, out)


@case
def nothing_to_measure_is_wrong_usage(program: Program):
    for form in ("md", "csv", "json"):
        for rows, op, other in (("1", "matmul", "matvec"), ("2,8", "matvec", "matmul")):
            program.fails(2, ["nothing to measure", f"'{op}/Q8*'", f"-M {rows}", other], "kbench",
                          *QUICK, "-o", form, "--filter", f"{op}/Q8*", "-M", rows)
        program.fails(2, ["'matmul/Q4_K'", "K must be a multiple of 256"], "kbench", *QUICK, "-o",
                      form, "--filter", "matmul/Q4_K", "--shape", "8x32", "-M", "2")
        program.fails(2, ["'mat/*'", "--isa ref", "--list"], "kbench", *QUICK, "-o", form,
                      "--isa", "ref", "--filter", "mat/*")
    program.fails(2, ["'mat/*'", "--list"], "kbench", "--list", "--filter", "mat/*")


@case
def instruction_sets_are_chosen(program: Program):
    listed = program.succeeds("kbench", "--list", "--isa", "ref").stdout.decode().splitlines()
    assert len(listed) > 30 and all(line.startswith("ref ") for line in listed)
    some = program.succeeds("kbench", "--list", "--isa", "all", "--filter", "qn_norm_rms__*")
    assert all(b"norm" in line for line in some.stdout.splitlines())
    row, = measure(program, "--isa", "ref", "--filter", "softmax", "--shape", "16x32", "-M", "1")
    assert row["isa"] == "ref" and row["error"] == 0


def listed(program: Program, *arguments) -> set[tuple[str, str, str]]:
    lines = program.succeeds("kbench", "--list", *arguments).stdout.decode().splitlines()
    return {tuple(line.split()[:3]) for line in lines}


@case
def the_best_are_those_of_the_engine(program: Program):
    """Not the highest sets: some kernels are taken only where they are asked for."""
    doctor = json.loads(program.succeeds("doctor", "--json", "--no-measure").stdout)
    taken = {(k["isa"], k["op"], k["variant"] or "-") for k in doctor["kernels"]}
    assert listed(program) == listed(program, "--isa", "best") == taken
    every = listed(program, "--isa", "all")
    assert taken <= every
    for isa in {isa for isa, _, _ in every}:
        assert listed(program, "--isa", isa) == {k for k in every if k[0] == isa}, isa
    program.environment["QUERN_ISA"] = "ref"
    assert {isa for isa, _, _ in listed(program)} == {"ref"}
    assert listed(program, "--isa", "all") == every
    program.environment["QUERN_ISA"] = "mmx"
    program.fails(2, ["QUERN_ISA", "'mmx'"], "kbench", "--list")


@case
def libraries_run_or_say_why_not(program: Program):
    done = program.succeeds("kbench", "-o", "json", *QUICK, "--filter", "matmul/F32", "--shape",
                            "64x96", "-M", "4", "--against", "openblas,onednn")
    rows = json.loads(done.stdout)
    told = done.stderr.decode()
    for name in ["openblas", "onednn"]:
        found = [row for row in rows if row["function"] == name]
        assert (len(found) > 0) != (f"{name} is not installed" in told), (name, told)
        assert all(row["right"] for row in found), found
        assert all(row["error"] == 0 for row in found if row["variant"] == "INT8"), found
    program.fails(2, ["mkl", "openblas and onednn"], "kbench", "--against", "mkl")


def plugin(name: str) -> Path:
    return next(Path(folder) / f"{name}.so" for folder in sys.argv[3:]
                if (Path(folder) / f"{name}.so").exists())


@case
def a_kernel_of_ones_own_is_measured_and_checked(program: Program):
    rows = measure(program, "--plugin", plugin("my_kernel"), "--filter", "matmul/Q4_0", "--shape",
                   "44x96,64x256", "-M", "1,5")
    mine = [row for row in rows if row["function"] == "my_kernel"]
    assert [(row["m"], row["n"]) for row in mine] == [(1, 44), (5, 44), (1, 64), (5, 64)]
    assert all(row["right"] and row["error"] < 1e-5 for row in mine), mine
    assert any(row["function"].startswith("qn_matmul_q4_0") for row in rows)


@case
def a_broken_kernel_is_caught(program: Program):
    done = program.run("kbench", "-o", "json", *QUICK, "--plugin", plugin("my_broken_kernel"),
                       "--filter", "matmul/Q4_0", "--shape", "64x256", "-M", "5")
    assert done.returncode == 1
    by_name = {row["function"]: row["right"] for row in json.loads(done.stdout)}
    assert by_name.pop("my_kernel") is False and all(by_name.values()), by_name
    assert b"1 result is not what the reference and rounding explain" in done.stderr
    page = program.run("kbench", *QUICK, "--plugin", plugin("my_broken_kernel"), "--filter",
                       "none*", "--shape", "64x256", "-M", "5")
    assert page.returncode == 1 and b"WRONG" in page.stdout


@case
def a_kernel_that_crashes_ends_no_run(program: Program):
    done = program.run("kbench", "-o", "json", *QUICK, "--plugin", plugin("plugin_crash"),
                       "--filter", "add", "--shape", "8x64", "-M", "3")
    assert done.returncode == 1, done
    assert b"crash: ends the process on add 3x64" in done.stderr, done.stderr
    assert [row["right"] for row in json.loads(done.stdout)] == [True], "the others go on"


@case
def an_error_that_is_no_number_is_shown(program: Program):
    arguments = ["--plugin", plugin("plugin_nan"), "--filter", "add", "--shape", "8x64", "-M", "2"]
    rows = json.loads(program.run("kbench", "-o", "json", *QUICK, *arguments).stdout)
    error = {row["function"]: row["error"] for row in rows}
    assert error.pop("nan") is None and len(error) == 1, rows
    names, *table = csv.reader(io.StringIO(
        program.run("kbench", "-o", "csv", *QUICK, *arguments).stdout.decode()))
    assert all(len(row) == len(names) for row in table), (names, table)
    cells = {row[names.index("function")]: row[names.index("error")] for row in table}
    assert cells.pop("nan") == "" and {name: float(c) for name, c in cells.items()} == error, cells
    page = program.run("kbench", *QUICK, *arguments).stdout.decode()
    assert "|WRONG| nan" in page.replace("-nan", "nan"), page


@case
def plugins_that_are_none_are_told(program: Program):
    program.fails(1, ["/no/such.so", "cannot be loaded"], "kbench", "--plugin", "/no/such.so")
    program.fails(1, ["README", "cannot be loaded"], "kbench", "--plugin", "README")
    program.fails(1, ["cannot be loaded"], "kbench", "--plugin", "/no/" + 70 * "such")


@case
def words_have_any_length(program: Program):
    deep = program.scratch.joinpath(*["folder" * 20] * 3)
    deep.mkdir(parents=True)
    path = deep / "my_kernel.so"
    path.write_bytes(plugin("my_kernel").read_bytes())
    rows = measure(program, "--plugin", path, "--filter", "none*", "--shape", "44x96", "-M", "1")
    assert [row["function"] for row in rows] == ["my_kernel"], rows
    program.fails(2, ["--isa", "unknown", 300 * "x"], "kbench", "--isa", 300 * "x")


@case
def wrong_usage_is_told(program: Program):
    for arguments, words in [(["--shape", "12"], ["--shape", "'12'"]),
                             (["--shape", "0x5"], ["'0x5'"]),
                             (["-M", "5..2"], ["-M", "'5..2'"]), (["-M", "1,x"], ["'1,x'"]),
                             (["--where", "l9"], ["l2, l3, memory", "'l9'"]),
                             (["--heads", "2x2"], ["'2x2'"]), (["--isa", "mmx"], ["'mmx'"]),
                             # Modulo 2^32 these are numbers that would be measured.
                             (["-M", "4294967297"], ["up to 512", "'4294967297'"]),
                             (["-M", "1..5+2147483647"], ["'1..5+2147483647'"]),
                             (["-M", "1..513+1"], ["up to 512", "16777216", "'1..513+1'"]),
                             (["--shape", "4294967360x64"], ["16777216", "'4294967360x64'"]),
                             (["--shape", "64x18446744073709551680"], ["up to 64"]),
                             (["--shape", ",".join(f"8x{k}" for k in range(1, 66))], ["up to 64"]),
                             (["--heads", "4294967297x4x64"], ["4096", "'4294967297x4x64'"]),
                             (["--heads", "1x4x4294967360"], ["'1x4x4294967360'"])]:
        program.fails(2, words, "kbench", *arguments)


if __name__ == "__main__":
    sys.exit(main())
