#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files that the program writes: whole or not at all, and never over a model. And tools/quickstart,
which fetches one.

usage: cli_files.py PROGRAM FOLDER-OF-MODELS
"""

import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from cli_harness import SECONDS, Program, case, main

TRAINED = "llama-trained-q8_0"
IDS = "272,283,276,305,266"


def writers(model) -> dict[str, list]:
    """Commands that write a file, without its path at the end."""
    return {"npy": ["logits", model, "--ids", IDS, "-o"],
            "plan": ["plan", model, "--html"],
            "profile": ["profile", model, "-p", 4, "-n", 1, "-r", 1, "--json", "--html"],
            "trace": ["profile", model, "-p", 4, "-n", 1, "-r", 1, "--json", "--trace"],
            "verify": ["verify", model, "--stage", "weights", "--html"],
            "svg": ["doctor", "--no-measure", "--svg"]}


def limit_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))


@case
def a_model_is_not_written_over(program: Program):
    model = program.scratch / "model.gguf"
    shutil.copy(program.model(TRAINED), model)
    whole = model.read_bytes()
    for arguments in writers(model).values():
        done = program.run(*arguments, model)
        assert done.returncode == 1 and b"model.gguf: it is a model\n" in done.stderr, done
        assert model.read_bytes() == whole, arguments
    weights = program.scratch / "model.safetensors"
    weights.write_bytes(struct.pack("<Q", 2) + b"{}")
    program.fails(1, ["it is a model"], "logits", model, "--ids", IDS, "-o", weights)


@case
def older_files_stay_until_the_new_one_is_whole(program: Program):
    """What they write is longer than files may be."""
    folder = program.scratch / "written"
    folder.mkdir()
    for name, arguments in writers(program.model(TRAINED)).items():
        file = folder / name
        file.write_text("older")
        file.chmod(0o640)
        link = folder / "link"
        link.symlink_to(name)
        done = program.run(*arguments, link, preexec_fn=limit_files)
        where = (arguments, done.returncode, done.stderr)
        assert done.returncode == 1 and done.stderr.endswith(b"link: File too large\n"), where
        assert file.read_text() == "older" and set(folder.iterdir()) == {file, link}, where
        program.run(*arguments, link)
        assert link.is_symlink() and file.stat().st_mode & 0o777 == 0o640
        assert len(file.read_bytes()) > 100 and set(folder.iterdir()) == {file, link}, where
        file.unlink()
        link.unlink()
    new = folder / "new"
    program.succeeds("plan", program.model(TRAINED), "--html", new)
    mask = os.umask(0)
    os.umask(mask)
    assert new.stat().st_mode & 0o777 == 0o666 & ~mask


@case
def taps_that_cannot_be_written_do_not_stay(program: Program):
    """Five rows of 96 floats fit below the limit, two of 384 do not."""
    folder = program.scratch / "taps"
    arguments = ["logits", program.model(TRAINED), "--ids", IDS, "--tap", "embed,layers.1.out",
                 "-o"]
    for extra, whole in (([], {"embed.npy", "layers.1.out.npy"}), (["-ub", 2], set())):
        done = program.run(*arguments, folder, *extra, preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (2200, resource.RLIM_INFINITY)))
        assert done.returncode == 1, done
        assert done.stderr.endswith(b"taps/logits.npy: File too large\n"), done.stderr
        assert done.stderr.count(b"\n") == 1, done.stderr
        assert {file.name for file in folder.iterdir()} == whole
        shutil.rmtree(folder)
    program.succeeds(*arguments, folder)
    assert {file.name for file in folder.iterdir()} == {"embed.npy", "layers.1.out.npy",
                                                        "logits.npy"}


@case
def taps_of_nothing_write_nothing(program: Program):
    folder = program.scratch / "none"
    program.fails(1, ["layers.*.nosuch"], "logits", program.model(TRAINED), "--ids", IDS, "--tap",
                  "embed,layers.*.nosuch", "-o", folder)
    assert not folder.exists()


@case
def packed_weights_above_the_limit_are_told(program: Program):
    cache = program.scratch / "packed"
    done = program.run("run", program.model(TRAINED), "--ids", IDS, "-n", 1,
                       f"--pack-cache={cache}", preexec_fn=limit_files)
    assert b"packed weights cannot be kept: File too large\n" in done.stderr, done
    assert list(cache.iterdir()) == []


@case
def what_is_no_regular_file_is_written_in_place(program: Program):
    model, folder = program.model(TRAINED), program.scratch / "places"
    folder.mkdir()
    page = folder / "page"
    program.succeeds("plan", model, "--html", page)
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)
    program.succeeds("plan", model, "--html", pipe)
    assert reader.communicate(timeout=SECONDS)[0] == page.read_bytes() and pipe.is_fifo()
    program.succeeds("plan", model, "--html", "/dev/null")
    assert Path("/dev/null").is_char_device()
    rows = program.succeeds("logits", model, "--ids", IDS, "-o", "/dev/stdout").stdout
    file = folder / "rows"
    with open(file, "wb") as out:
        number = os.fstat(out.fileno()).st_ino
        subprocess.run([program.path, "logits", model, "--ids", IDS, "-o", "/dev/stdout"],
                       stdout=out, check=True, env=program.environment)
    assert file.stat().st_ino == number and file.read_bytes() == rows
    assert set(folder.iterdir()) == {page, pipe, file}


# Files beside a report: the command, the options that name them, and those that make the report a
# document of its own.
SIDES = [("profile", ["--html", "--trace", "--folded"], ["--json", "--csv"]),
         ("plan", ["--html"], ["--json"]), ("verify", ["--html"], ["--json"]),
         ("doctor", ["--svg"], ["--json"])]


@case
def what_cannot_be_written_is_told_before_anything_is_done(program: Program):
    """A model that is not there would be told too."""
    for command, options, documents in SIDES:
        model = [] if command == "doctor" else [program.scratch / "none.gguf"]
        for option in options:
            program.fails(1, ["cannot write /no/such/x: No such file"], command, *model, option,
                          "/no/such/x", *documents[:1])


@case
def two_documents_are_not_mixed(program: Program):
    out = program.scratch / "out"
    for command, options, documents in SIDES:
        model = [] if command == "doctor" else [program.scratch / "none.gguf"]
        for option in options:
            for document in documents:
                program.fails(2, [f"{document} and {option} both write to standard output"],
                              command, *model, option, "-", document)
                program.fails(2, [f"{document} and {option} both"], command, *model, option,
                              "/dev/stdout", document)
    profile = ["profile", program.scratch / "none.gguf"]
    os.symlink(".", program.scratch / "here")
    for other in (out, f"{program.scratch}/./out", program.scratch / "here" / "out"):
        program.fails(2, [f"--html and --trace name one file: {other}"], *profile, "--html", out,
                      "--trace", other)
    assert not out.exists()
    out.write_text("older")
    os.link(out, program.scratch / "link")
    program.fails(2, ["--trace and --folded name one file: "], *profile, "--trace", out,
                  "--folded", program.scratch / "link")
    program.fails(2, ["--html and --trace name one file: -"], *profile, "--html", "-", "--trace",
                  "-")
    assert out.read_text() == "older"
    model = program.model(TRAINED)
    both = program.succeeds("profile", model, "-p", 4, "-n", 1, "-r", 1, "--html", "-", "--trace",
                            "/dev/null", "--folded", "/dev/null").stdout
    assert 0 < both.index(b"Decode") < both.index(b"<html") < both.index(b"</html>")


def forgets_unnamed_files(folder: Path) -> bool:
    """Has this file system files that vanish with the process?"""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY))
    except OSError:
        return False
    return True


@case
def nothing_stays_of_a_file_that_was_interrupted(program: Program):
    folder = program.scratch / "interrupted"
    folder.mkdir()
    file = folder / "x.npy"
    ids = program.scratch / "ids"
    ids.write_text("5 " * 200000)  # for minutes
    for number in (signal.SIGINT, signal.SIGTERM):
        file.write_text("older")
        process = subprocess.Popen(
            [program.path, "logits", program.model(TRAINED), "--ids-file", ids, "-o", file],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=program.environment)
        time.sleep(1)
        process.send_signal(number)
        assert process.wait(timeout=SECONDS) == -number
        assert file.read_text() == "older"
        assert set(folder.iterdir()) == {file} or not forgets_unnamed_files(folder)


@case
def nothing_stays_of_taps_that_were_interrupted(program: Program):
    folder = program.scratch / "taps"
    ids = program.scratch / "ids"
    ids.write_text("5 " * 200000)  # for minutes
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = subprocess.Popen(
            [program.path, "logits", program.model(TRAINED), "--ids-file", ids, "--tap",
             "embed,layers.1.out", "-ub", "64", "-o", folder],
            stderr=subprocess.PIPE, env=program.environment,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
        end = time.monotonic() + SECONDS
        while not (folder / "logits.npy.part").exists():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        error = process.communicate(timeout=SECONDS)[1]
        assert process.returncode == -number and error == b"", (process.returncode, error)
        assert list(folder.iterdir()) == []


@case
def quickstart_takes_any_question_and_helps(program: Program):
    """In a copy with stand-ins for what installs and builds, each of which leaves a line."""
    source = Path(__file__).resolve().parent.parent / "tools"
    root, log = program.scratch / "copy", program.scratch / "log"
    model = program.scratch / ".cache" / "quern" / "models" / "smollm2-135m-instruct-q4_1.gguf"
    for folder in (root / "tools", root / "build" / "tools" / "quern", root / "bin", model.parent):
        folder.mkdir(parents=True)
    for name in ("quickstart", "packages.sh"):
        shutil.copy(source / name, root / "tools")
    for name in ("bin/dpkg-query", "bin/apt-get", "bin/meson"):
        (root / name).write_text(f"#!/bin/sh\necho {name} >> {log}\n")
        (root / name).chmod(0o755)
    (root / "tools" / "apt-packages.txt").touch()
    (root / "build" / "build.ninja").touch()
    (root / "build" / "tools" / "quern" / "quern").symlink_to(Path(program.path).resolve())
    model.symlink_to(Path(program.model(TRAINED)).resolve())

    def quickstart(*arguments):
        return subprocess.run([root / "tools" / "quickstart", *arguments], timeout=SECONDS,
                              capture_output=True, env=program.environment |
                              {"PATH": f"{root}/bin:{os.environ['PATH']}", "PIP_NO_INDEX": "1"})

    for word in ("--help", "-h"):
        done = quickstart(word)
        assert done.returncode == 0 and done.stdout.startswith(b"usage: tools/quickstart"), done
    assert quickstart("two", "words").returncode == 1 and not log.exists(), "nothing was done"
    for question in ("-1 + 1?", "--raw", "the"):
        done = quickstart(question)
        asked = program.succeeds("run", "--temp", 0, "--system", "", "-n", 256, "--", model,
                                 question)
        assert done.returncode == 0 and done.stdout == asked.stdout, (question, done)
    assert "bin/meson" in log.read_text()


if __name__ == "__main__":
    sys.exit(main())
