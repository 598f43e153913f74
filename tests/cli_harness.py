# SPDX-License-Identifier: Apache-2.0
"""Runs the program as a user does: with arguments, pipes and terminals. Cases are functions with
the decorator @case; the last line of a run is "N passed, N failed".
"""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import traceback
from pathlib import Path

CASES = []
SECONDS = 60  # of one run of the program, under sanitizers on a busy machine


def case(function):
    CASES.append(function)
    return function


class Program:
    """The program, a folder of models, and a scratch folder that is also the user's home."""

    def __init__(self, path: str, models: str, scratch: str):
        self.path, self.models, self.scratch = path, Path(models), Path(scratch)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
        self.environment.update(HOME=scratch, LC_ALL="C.UTF-8", TERM="xterm")
        # libedit keeps the names of functions that were added to it, which it copies by wcsdup;
        # no code of ours does.
        known = self.scratch / "known-leaks"
        known.write_text("leak:wcsdup\n")
        self.environment["LSAN_OPTIONS"] = ":".join(
            [os.environ.get("LSAN_OPTIONS", ""), f"suppressions={known}", "print_suppressions=0"])

    def model(self, name: str) -> str:
        return str(self.models / f"{name}.gguf")

    def run(self, *arguments, stdin=b"", **options) -> subprocess.CompletedProcess:
        return subprocess.run([self.path, *map(str, arguments)], input=stdin, timeout=SECONDS,
                              capture_output=True, env=self.environment, **options)

    def succeeds(self, *arguments, stdin=b"") -> subprocess.CompletedProcess:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"{arguments}: status {done.returncode}: {done.stderr!r}"
        return done

    def fails(self, status: int, words: list[str], *arguments, stdin=b"", **options) -> None:
        """One sentence with these words, this status, and no data."""
        done = self.run(*arguments, stdin=stdin, **options)
        text = done.stderr.decode()
        where = f"{arguments}: status {done.returncode}, {text!r}"
        assert done.returncode == status, where
        assert done.stdout == b"", where
        assert text.startswith("quern: ") and text.count("\n") == 1 and text.endswith("\n"), where
        for word in words:
            assert word in text, f"{where}: no '{word}'"

    def disturbed(self, wanted: bytes, disturb, *arguments) -> subprocess.CompletedProcess:
        """A run in which disturb(process) is called as soon as it has printed these bytes."""
        with subprocess.Popen([self.path, *map(str, arguments)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=self.environment) as process:
            try:
                out = b""
                while wanted not in out:
                    data = os.read(process.stdout.fileno(), 65536)
                    assert data, f"{arguments}: ended without {wanted!r}: {out!r}"
                    out += data
                disturb(process)
                rest, error = process.communicate(timeout=SECONDS)
            finally:
                process.kill()
        return subprocess.CompletedProcess(arguments, process.returncode, out + rest, error)

    def interrupted(self, number: signal.Signals, wanted: bytes, *arguments) -> tuple[int, bytes]:
        """Status and output of a run that gets the signal when it has printed these bytes."""
        done = self.disturbed(wanted, lambda process: process.send_signal(number), *arguments)
        return done.returncode, done.stdout

    def instruction_sets(self) -> tuple[set[str], set[str]]:
        """Those that this build has kernels for, and of them those that this machine can run."""
        report = json.loads(self.succeeds("doctor", "--json", "--no-measure").stdout)
        found, compiled = ({"ref", *finding["value"].split()} - {"none"}
                           for key in ("isa_found", "isa_compiled")
                           for finding in report["findings"] if finding["key"] == key)
        return compiled, compiled & found

    def default_set(self) -> str:
        """The one that the engine names its choice by, without options and QUERN_ISA."""
        environment = {k: v for k, v in self.environment.items() if k != "QUERN_ISA"}
        done = subprocess.run([self.path, "doctor", "--json", "--no-measure"], timeout=SECONDS,
                              capture_output=True, check=True, env=environment)
        return json.loads(done.stdout)["isa"]


class Terminal:
    """The program on a pseudo-terminal: type, and wait for what it shows."""

    def __init__(self, program: Program, *arguments, columns=80):
        self.shown = b""
        self.process, self.file = pty.fork()
        if self.process == 0:
            try:
                signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup's would be inherited
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
                os.execve(program.path, [program.path, *map(str, arguments)], program.environment)
            finally:  # no program: this copy of the tests must not run them a second time
                os._exit(127)

    def type(self, text) -> None:
        os.write(self.file, text.encode() if isinstance(text, str) else text)

    def read(self) -> bool:
        """False at the end."""
        if not select.select([self.file], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self.file, 65536)
        except OSError:  # the program has closed the terminal
            return False
        self.shown += data
        return bool(data)

    def wait(self, text: str) -> str:
        """What was shown up to and with the text, since the last wait."""
        end = time.monotonic() + SECONDS
        wanted = text.encode()
        while wanted not in self.shown:
            alive = self.read()
            assert alive or wanted in self.shown, f"ended without '{text}': {self.shown!r}"
            assert time.monotonic() < end, f"no '{text}' in {self.shown!r}"
        before, _, self.shown = self.shown.partition(wanted)
        return before.decode()

    def prompt(self, text: str = "> ") -> str:
        """What was shown up to the next prompt, when keys go to the line editor.

        It shows the prompt first and turns the terminal's own echo off after: a key between the
        two would be shown twice.
        """
        before = self.wait(text)
        end = time.monotonic() + SECONDS
        while termios.tcgetattr(self.file)[3] & termios.ICANON:
            assert time.monotonic() < end, "the line editor does not read"
            time.sleep(0.001)
        return before

    def settle(self) -> None:
        """Until the program waits for a key: its main thread sleeps.

        The line editor does not notice a signal that comes between a key and the read of the next.
        """
        end = time.monotonic() + SECONDS
        stat = Path(f"/proc/{self.process}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < end, "the program does not wait for a key"
            time.sleep(0.001)

    def finish(self) -> tuple[int, str]:
        """Exit status and the rest that was shown."""
        end = time.monotonic() + SECONDS
        while self.read():
            assert time.monotonic() < end, f"still running: {self.shown!r}"
        _, status = os.waitpid(self.process, 0)
        os.close(self.file)
        self.process = 0
        return os.waitstatus_to_exitcode(status), self.shown.decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
            os.close(self.file)


def main() -> int:
    """usage: FILE PROGRAM FOLDER-OF-MODELS"""
    failed = 0
    for function in CASES:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                function(Program(sys.argv[1], sys.argv[2], scratch))
            except Exception:  # whatever it was: the case has failed, the others still run
                failed += 1
                print(f"{function.__name__} FAILED")
                traceback.print_exc(file=sys.stdout)
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0
