#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How a conversation becomes tokens, by the program's answers: the same as to the ids of the whole.

usage: cli_dialogue.py PROGRAM FOLDER-OF-MODELS
"""

import json
import re
import shutil
import sys
from pathlib import Path

from cli_harness import Program, Terminal, case, main

GREEDY = ["--temp", "0", "--print-ids", "--ignore-eos"]
FRAME = "<|im_start|>{}\n{}<|im_end|>\n"
ANSWER = "<|im_start|>assistant\n"


def folder_of(program: Program, chat_template: str) -> Path:
    """Mistral with ChatML's tokens in place of two others, and a mark at a text's start alone."""
    folder = program.scratch / "chat"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(program.models.parent / "hf" / "mistral", folder)
    path = folder / "tokenizer.json"
    file = json.loads(path.read_text())
    for old, new in (("{", "<|im_start|>"), ("}", "<|im_end|>")):
        id = file["model"]["vocab"].pop(old)
        file["model"]["vocab"][new] = id
        file["added_tokens"].append({"id": id, "content": new, "special": True, "normalized": False})
    file["normalizer"] = None
    file["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first",
                             "split": False}
    path.write_text(json.dumps(file))
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": chat_template}))
    return folder


def ids_of(program: Program, folder: Path, text: str, *options) -> list[str]:
    return program.succeeds("tokenize", folder, *options, stdin=text.encode()).stdout.decode().split()


def answer(program: Program, folder: Path, *arguments) -> tuple[list[str], str]:
    """Ids of the answer, and the hash of all logits."""
    done = program.succeeds("run", folder, *arguments, *GREEDY, "-n", 4)
    return done.stdout.decode().split(), re.search(r"logits #\w+", done.stderr.decode())[0]


@case
def frames_are_parts_of_one_text(program: Program):
    folder = folder_of(program, "<|im_start|>")
    for system in ("", "be kind"):
        text = FRAME.format("system", system) * (system != "") + FRAME.format("user", "hello") + ANSWER
        whole = ids_of(program, folder, text)
        asked = answer(program, folder, "hello", "--system", system)
        assert asked == answer(program, folder, "--ids", " ".join(whole)), system


@case
def plain_text_starts_once(program: Program):
    """The second message of a chat without frames goes on from the first answer."""
    folder = folder_of(program, "")
    first = ids_of(program, folder, "once")
    second = ids_of(program, folder, "<|im_end|>more", "--no-bos")[1:]
    assert first[1:] != ids_of(program, folder, "<|im_end|>once", "--no-bos")[1:], "no mark"
    answers = [answer(program, folder, "--ids", " ".join(first))[0]]
    answers.append(answer(program, folder, "--ids", " ".join(first + answers[0] + second))[0])
    with Terminal(program, "run", folder, "--raw", *GREEDY, "-q", "-n", "4") as terminal:
        terminal.prompt()
        for message, expected in zip(("once", "more"), answers):
            terminal.type(message + "\n")
            terminal.wait(message + "\r\n")
            assert terminal.prompt().split() == expected, message
        terminal.type("\x04")
        assert terminal.finish()[0] == 0


LITERAL = "{{{{ '<|im_start|>system\\n{}<|im_end|>\\n' }}}}"
# What is taken from a template.
TAKEN = {
    # Qwen2, SmolLM2
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}" +
    LITERAL.format("be kind") + "{% endif %}{{'<|im_start|>' + message['role']}}{% endfor %}":
        "be kind",
    # Qwen 2.5: tools come first, and then a frame of the user's own
    "{%- if tools %}" + LITERAL.format("tools") + "{%- else %}{%- if messages[0]['role'] == 'system' "
    "%}{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}{%- else %}" +
    LITERAL.format("you are") + "{%- endif %}{%- endif %}": "you are",
    "{% if documents %}" + LITERAL.format("read") + "{% elif x %}" + LITERAL.format("else") +
    "{% endif %}": "else",
    "{% if not tools %}" + LITERAL.format("none") + "{% else %}" + LITERAL.format("some") +
    "{% endif %}": "none",
    # Qwen3: nothing but with tools or a message of the user's own
    "{%- if tools %}{{- '<|im_start|>system\\n' }}{{- '# Tools<|im_end|>' }}{%- else %}{%- if "
    "messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content }}{%- endif %}"
    "{%- endif %}": "",
    "{% if not tools %}<|im_start|>{% elif x %}{% else %}" + LITERAL.format("some") + "{% endif %}": "",
    # escapes, and quotes and braces of the other kind
    LITERAL.format("don\\'t say \"(it)\".\\nor a\\\\b"): "don't say \"(it)\".\nor a\\b",
    "{{ \"<|im_start|>system\\nit's \\\"so\\\"<|im_end|>\" }}": "it's \"so\"",
    LITERAL.format("a{x}b"): "a{x}b",
    # text between tags, comments
    "{% if messages[0].role != \"system\" %}<|im_start|>system\nbe \\n plain<|im_end|>\n{% endif %}":
        "be \\n plain",
    "<|im_start|>{# " + LITERAL.format("no") + " #}{{ '%}' }}": "",
    # cut short
    "<|im_start|>{% if tools": "", "<|im_start|>{{ 'a\\": "", "<|im_start|>{": "",
}
# Messages that a program puts together (as SmolLM3's), with an escape that is not known, cut short.
MISSED = [
    "{{- \"<|im_start|>system\\n\" -}}{%- if messages[0].role == \"system\" -%}x{%- endif -%}{{- \"# \" + "
    "today -}}{{- \"<|im_end|>\\n\" -}}",
    "<|im_start|>system\n{{ today }}<|im_end|>",
    LITERAL.format("\\u0041"),
    "{{ '<|im_start|>system\\nbe",
]
NOTE = "the chat template puts its own system message together"


@case
def the_default_system_message_is_the_templates(program: Program):
    for chat_template, system in TAKEN.items():
        folder = folder_of(program, chat_template)
        assert answer(program, folder, "a") == answer(program, folder, "a", "--system", system), \
            chat_template
        assert NOTE not in program.succeeds("run", folder, "a", "-n", 1).stderr.decode(), chat_template


@case
def a_message_that_cannot_be_taken_is_noted(program: Program):
    for chat_template in MISSED:
        folder = folder_of(program, chat_template)
        assert program.succeeds("run", folder, "a", "-n", 1).stderr.decode().count(NOTE) == 1, \
            chat_template
        assert answer(program, folder, "a") == answer(program, folder, "a", "--system", "")
        for options in (["--system", "b"], ["-q"], ["--raw"]):
            done = program.succeeds("run", folder, "a", "-n", 1, *options)
            assert NOTE not in done.stderr.decode(), options


if __name__ == "__main__":
    sys.exit(main())
