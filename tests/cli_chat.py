#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Black-box tests of the program on a terminal: the chat, Ctrl-C.

usage: cli_chat.py PROGRAM FOLDER-OF-MODELS
"""

import os
import re
import signal
import sys
from pathlib import Path

from cli_harness import Program, Terminal, case, main

MODEL = "llama-trained-q8_0"
GREEDY = ["--temp", "0", "--system", "", "-q"]
LONG = "65536"  # a context that takes an answer long enough to be interrupted


def ask(terminal: Terminal, message: str) -> str:
    """The answer to a message, less the echo of it."""
    terminal.type(message + "\n")
    terminal.wait(message + "\r\n")
    return terminal.prompt().replace("\r\n", "\n")


def ids_of(program: Program, text: str) -> str:
    return program.succeeds("tokenize", program.model(MODEL), stdin=text.encode()).stdout.decode()


def frame(message: str) -> str:
    return f"<|im_start|>user\n{message}<|im_end|>\n<|im_start|>assistant\n"


def continue_ids(program: Program, ids: str, n: int, *options) -> str:
    return program.succeeds("run", program.model(MODEL), "--ids", ids, *GREEDY, "--print-ids",
                            "--ignore-eos", "-n", n, *options).stdout.decode()


@case
def turns_continue_the_conversation(program: Program):
    """A chat, which evaluates only what is new, answers like one run of the whole text."""
    first = frame("hello")
    answer_1 = continue_ids(program, ids_of(program, first), 6)
    second = ids_of(program, "<|im_end|>\n" + frame("and now"))
    answer_2 = continue_ids(program, " ".join([ids_of(program, first), answer_1, second]), 6)
    with Terminal(program, "run", program.model(MODEL), *GREEDY, "--print-ids", "--ignore-eos",
                  "-n", 6) as terminal:
        terminal.prompt()
        assert ask(terminal, "hello") == answer_1
        assert ask(terminal, "and now") == answer_2
        assert ask(terminal, "/regen") == answer_2
        assert ask(terminal, "/regen") == answer_2
        ask(terminal, "/clear")
        assert ask(terminal, "hello") == answer_1
        terminal.type("\x04")
        assert terminal.finish()[0] == 0


@case
def a_message_too_long_changes_nothing(program: Program):
    arguments = ["run", program.model(MODEL), *GREEDY, "--print-ids", "--ignore-eos", "-n", 4,
                 "-c", 128]
    with Terminal(program, *arguments, columns=300) as terminal:
        terminal.prompt()
        first = ask(terminal, "a")
        expected = ask(terminal, "b")
        ask(terminal, "/clear")
        assert ask(terminal, "a") == first
        assert "context holds 128" in ask(terminal, "x 1 " * 40)
        assert ask(terminal, "b") == expected
        terminal.type("/exit\n")
        assert terminal.finish()[0] == 0


@case
def ctrl_c_stops_the_answer_and_not_the_program(program: Program):
    """What was shown when it stopped is part of the conversation that goes on."""
    model = program.model(MODEL)
    with Terminal(program, "run", model, *GREEDY, "--print-ids", "--ignore-eos", "-c",
                  LONG) as terminal:
        terminal.prompt()
        terminal.type("hello\n")
        terminal.wait("hello\r\n")
        while terminal.shown.count(b" ") < 3:
            terminal.read()
        terminal.type("\x03")
        answer = terminal.wait("(stopped)").replace("^C", "")
        terminal.prompt()
        terminal.type("and now\n")
        terminal.wait("and now\r\n")
        while terminal.shown.count(b" ") < 6:
            terminal.read()
        terminal.type("\x03")
        shown = terminal.wait("(stopped)")
        terminal.prompt()
        terminal.type("/exit\n")
        assert terminal.finish()[0] == 0
    second = ids_of(program, "<|im_end|>\n" + frame("and now"))
    ids = ids_of(program, frame("hello")), answer, second
    expected = continue_ids(program, " ".join(ids), 5, "-c", LONG).split()
    assert shown.split()[:5] == expected


def gives_up_lines(program: Program, times: int, give_up) -> None:
    """What was typed is forgotten so many times, and the chat goes on."""
    with Terminal(program, "run", program.model(MODEL), *GREEDY, "-n", 1) as terminal:
        terminal.prompt()
        for _ in range(times):
            terminal.type("never sent")
            terminal.wait("never sent")
            give_up(terminal)
            terminal.prompt()
        ask(terminal, "sent")
        terminal.type("/exit\n")
        assert terminal.finish()[0] == 0
    history = (program.scratch / ".local/state/quern/history").read_text()
    assert "sent" in history.split("\n") and "never" not in history


@case
def ctrl_c_gives_up_a_line(program: Program):
    def give_up(terminal):
        terminal.type("\x03")
        terminal.wait("^C")

    gives_up_lines(program, 1, give_up)


@case
def a_signal_gives_up_a_line(program: Program):
    def give_up(terminal):
        terminal.settle()
        os.kill(terminal.process, signal.SIGINT)

    gives_up_lines(program, 2, give_up)


@case
def history_outlives_the_terminal(program: Program):
    for number, message in [(signal.SIGTERM, "first"), (signal.SIGHUP, "second")]:
        with Terminal(program, "run", program.model(MODEL), *GREEDY, "-n", 1) as terminal:
            terminal.prompt()
            ask(terminal, message)
            os.kill(terminal.process, number)
            assert terminal.finish()[0] == -number
    history = (program.scratch / ".local/state/quern/history").read_text().split("\n")
    assert "first" in history and "second" in history


@case
def history_comes_back(program: Program):
    program.environment["XDG_STATE_HOME"] = str(program.scratch / "state")
    for keys in ("first\n", "\x1b[A\n"):  # the second one: arrow up, return
        with Terminal(program, "run", program.model(MODEL), *GREEDY, "-n", 1) as terminal:
            terminal.prompt()
            terminal.type(keys)
            terminal.wait("first")
            terminal.prompt()
            terminal.type("\x04")
            assert terminal.finish()[0] == 0
    assert (program.scratch / "state/quern/history").stat().st_mode & 0o077 == 0


@case
def chats_at_once_keep_each_others_lines(program: Program):
    arguments = ["run", program.model(MODEL), *GREEDY, "-n", 1]
    folder = program.scratch / ".local/state/quern"
    folder.mkdir(parents=True)
    (program.scratch / "elsewhere").write_text("_HiStOrY_V2_\nolder\n")
    (folder / "history").symlink_to(program.scratch / "elsewhere")
    with Terminal(program, *arguments) as a, Terminal(program, *arguments) as b:
        a.prompt()
        b.prompt()
        for terminal, message in ((a, "one"), (b, "two"), (a, "three"), (b, "four")):
            ask(terminal, message)
        for terminal, message in ((a, "three"), (b, "four")):  # arrow up: its own last line
            terminal.type("\x1b[A")
            terminal.wait(message)
            terminal.type("\n")
            terminal.prompt()
        for terminal in (b, a):
            terminal.type("\x04")
            assert terminal.finish()[0] == 0
    assert (folder / "history").read_text().split("\n")[1:-1] == ["older", "one", "two", "three",
                                                                 "four", "three", "four"]
    assert (folder / "history").is_symlink()
    (folder / "history.lock").unlink()
    (folder / "history.lock").mkdir()
    arguments.remove("-q")
    with Terminal(program, *arguments) as terminal:
        terminal.prompt()
        ask(terminal, "five")
        terminal.type("\x04")
        assert "cannot save the history in" in terminal.finish()[1]


@case
def commands_are_known_or_suggested(program: Program):
    with Terminal(program, "run", program.model(MODEL), *GREEDY) as terminal:
        terminal.prompt()
        text = ask(terminal, "/help")
        for command in ("/regen", "/clear", "/help", "/exit", "Ctrl-C"):
            assert command in text
        assert "did you mean /clear?" in ask(terminal, "/claer")
        assert "/help lists them" in ask(terminal, "/frobnicate")
        assert "no answer" in ask(terminal, "/regen")
        terminal.type("/exit \n")
        assert terminal.finish()[0] == 0


@case
def lines_go_on_after_a_backslash(program: Program):
    expected = program.succeeds("run", program.model(MODEL), "one\ntwo", *GREEDY, "--print-ids",
                                "-n", 5).stdout.decode()
    arguments = ["run", program.model(MODEL), *GREEDY, "--print-ids", "-n", 5]
    with Terminal(program, *arguments) as terminal:
        terminal.prompt()
        terminal.type("one\\\n")
        terminal.prompt(". ")
        assert ask(terminal, "two") == expected
        terminal.type("\x04")
        assert terminal.finish()[0] == 0


@case
def letters_beyond_ascii_are_typed_in_any_locale(program: Program):
    program.environment["LC_ALL"] = "C"
    expected = program.succeeds("run", program.model(MODEL), "é 日本 🙂", *GREEDY, "--print-ids",
                                "-n", 5).stdout.decode()
    arguments = ["run", program.model(MODEL), *GREEDY, "--print-ids", "-n", 5]
    with Terminal(program, *arguments) as terminal:
        terminal.prompt()
        terminal.type("é 日本 🙂\n")
        terminal.wait("🙂")
        terminal.wait("\n")
        assert terminal.prompt().replace("\r\n", "\n") == expected
        terminal.type("\x04")
        assert terminal.finish()[0] == 0


@case
def a_greeting_sends_no_control_characters(program: Program):
    name = b"Quern test " + MODEL.encode()
    whole = Path(program.model(MODEL)).read_bytes()
    assert whole.count(name) == 1
    path = program.scratch / "name.gguf"
    path.write_bytes(whole.replace(name, b"\x1b[31m".ljust(len(name), b"x")))
    with Terminal(program, "run", path) as terminal:
        assert "\\x1b[31mxxx" in terminal.prompt()


@case
def a_chat_greets_and_reports(program: Program):
    arguments = ["run", program.model(MODEL), "-n", "3", "-s", "9"]
    with Terminal(program, *arguments, columns=40) as terminal:
        greeting = terminal.prompt()
        assert "seed 9" in greeting and "/help" in greeting and "context 256" in greeting
        ask(terminal, "hi")
        terminal.type("/exit\n")
        status, rest = terminal.finish()
        assert status == 0 and re.search(r"logits #[0-9a-f]{8}", rest)


@case
def a_chat_says_what_becomes_of_its_format(program: Program):
    for name, words in [(["--raw", program.model(MODEL)], "Without the chat format (--raw)"),
                        ([program.model("gptneox-f32")], "no ChatML format")]:
        with Terminal(program, "run", *name) as terminal:
            assert words in terminal.prompt()
            terminal.type("/exit\n")
            assert terminal.finish()[0] == 0


@case
def a_system_message_without_a_place_is_told(program: Program):
    model = program.model(MODEL)
    for other in (["--raw", "hi"], ["--ids", "1,2"]):
        program.fails(2, ["--system", other[0]], "run", model, "--system", "Be brief.", *other)
        program.succeeds("run", model, "--system", "", *other, "-n", "1")
    for name, told in ((MODEL, False), ("gptneox-f32", True)):
        arguments = ["run", program.model(name), "--system", "Be brief.", "-n", 1]
        done = program.succeeds(*arguments, "hi")
        assert (b"--system is left out" in done.stderr) is told, done
        assert b"--system" not in program.succeeds(*arguments, "hi", "-q").stderr
        with Terminal(program, *arguments) as terminal:
            assert ("--system is left out" in terminal.prompt()) is told
            terminal.type("/exit\n")
            assert terminal.finish()[0] == 0


@case
def ctrl_c_ends_a_single_answer(program: Program):
    with Terminal(program, "run", program.model(MODEL), "hi", "--ignore-eos", "--print-ids", "-c",
                  LONG) as terminal:
        terminal.wait("seed")
        terminal.wait("\n")
        while terminal.shown.count(b" ") < 3:  # the report counts tokens after the first
            terminal.read()
        os.kill(terminal.process, signal.SIGINT)
        status, rest = terminal.finish()
        assert status == 130 and re.search(r"decode \d+ tokens", rest)


if __name__ == "__main__":
    sys.exit(main())
