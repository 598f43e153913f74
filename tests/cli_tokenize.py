#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""quern tokenize from outside: ids of a text, and back.

usage: cli_tokenize.py PROGRAM FOLDER-OF-MODELS
"""

import json
import shutil
import sys
from pathlib import Path

from cli_harness import Program, case, main

TRAINED = "llama-trained-q8_0"
IDS = "272 283 276 305 266"  # "The capital of France is" in that model's vocabulary


@case
def tokenize_writes_one_line_of_ids(program: Program):
    model = program.model(TRAINED)
    done = program.succeeds("tokenize", model, stdin=b"The capital of France is")
    assert done.stdout == IDS.encode() + b"\n" and done.stderr == b""
    assert program.succeeds("tokenize", model).stdout == b"\n"
    assert program.succeeds("tokenize", model, stdin=b"<|im_end|>").stdout == b"2\n"
    plain = program.succeeds("tokenize", "--no-parse-special", model, stdin=b"<|im_end|>").stdout
    assert len(plain.split()) > 1


@case
def tokenize_needs_no_weights(program: Program):
    """A Hugging Face folder may hold a vocabulary alone."""
    folder = str(program.models.parent / "text" / "hf" / "llama3")
    ids = program.succeeds("tokenize", folder, stdin=b"the cat<|eot_id|>").stdout
    text = program.succeeds("tokenize", "--decode", folder, stdin=ids).stdout
    assert len(ids.split()) > 3 and text == b"the cat<|eot_id|>", (ids, text)


@case
def tokenize_adds_bos_where_the_model_asks(program: Program):
    model = program.model("llama-spm-f16")
    with_bos = program.succeeds("tokenize", model, stdin=b"hello").stdout.split()
    without = program.succeeds("tokenize", "--no-bos", model, stdin=b"hello").stdout.split()
    assert with_bos == [b"1"] + without and without


def tokenized(program: Program, name: str, text: str, settings: dict, tokenizer=None) -> list[int]:
    """Ids by a folder's vocabulary with other settings, and with a changed tokenizer.json."""
    folder = program.scratch / "settings"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(program.models.parent / "hf" / name, folder,
                    ignore=shutil.ignore_patterns("*.safetensors*"))
    for file, change in (("tokenizer_config.json", settings), ("tokenizer.json", tokenizer)):
        if change is not None:
            path = folder / file
            path.write_text(json.dumps(json.loads(path.read_text()) | change))
    return list(map(int, program.succeeds("tokenize", folder, stdin=text.encode()).stdout.split()))


@case
def settings_beside_a_tokenizer_json_count_as_in_transformers(program: Program):
    """What transformers 5.23.0 gives for the same folders."""
    words = [320, 259, 280, 325, 265, 292, 330, 336]
    for settings in ({"add_bos_token": False}, {"add_eos_token": True}):
        assert tokenized(program, "mistral", "hello world", settings) == [1] + words, settings
        assert tokenized(program, "mistral", "hello world", settings,
                         {"post_processor": None}) == words
        assert tokenized(program, "qwen2", "hello,world", settings | {"add_bos_token": True}) == \
            [256, 338, 11, 86, 287, 75, 67]
    # A ByteLevel behind another splitter puts a space before each part.
    spaced = {"add_prefix_space": True}
    assert tokenized(program, "gpt2", "hello,world", spaced) == [357, 341, 11, 86, 289, 75, 67]
    assert tokenized(program, "qwen2", "hello,world", spaced) == [352, 338, 220, 11, 86, 287, 75, 67]
    llama = [256, 338, 11, 86, 287, 75, 67]
    assert tokenized(program, "llama3", "hello,world", spaced) == [381] + llama
    assert tokenized(program, "llama3", "hello,world",
                     spaced | {"tokenizer_class": "Qwen2TokenizerFast"}) == \
        [381, 352, 338, 220] + llama[2:]
    plain = {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}}
    assert tokenized(program, "gpt2", "hello,world", {}, plain)[0] == 256


@case
def special_tokens_may_have_names(program: Program):
    """As models of images name theirs."""
    assert tokenized(program, "qwen2", "hello", {}) == [256, 338]
    for extra in (["e"], {"image_token": "e"},
                  {"image_token": {"__type": "AddedToken", "content": "e"}}):
        found = tokenized(program, "qwen2", "hello", {"extra_special_tokens": extra})
        assert found == [71, 68, 338], extra


@case
def decoding_gives_the_text_back(program: Program):
    texts = ["hello  world\n\n x", "naïve café — 日本語 🙂\t\r\n", "<|im_start|>user", "\0a\0", ""]
    for name in (TRAINED, "llama-spm-f16", "llama-tied-f32"):
        for flags in ([], ["--no-bos"], ["--no-parse-special"]):
            for text in texts:
                ids = program.succeeds("tokenize", *flags, program.model(name),
                                       stdin=text.encode()).stdout
                back = program.succeeds("tokenize", "--decode", *flags, program.model(name),
                                        stdin=ids).stdout
                assert back == text.encode(), f"{name} {flags}: {text!r} became {back!r}"


@case
def tokens_of_any_length_are_written(program: Program):
    """Each byte of a token may need three in the text, so no fixed buffer is long enough."""
    folder = program.scratch / "long"
    shutil.copytree(program.models.parent / "hf" / "mistral", folder)
    answer = ["run", folder, "--ids", "1,100,101", "--temp", 0, "-n", 1, "-q"]
    chosen = int(program.succeeds(*answer, "--print-ids").stdout)
    path = folder / "tokenizer.json"
    vocabulary = json.loads(path.read_text())
    tokens = vocabulary["model"]["vocab"]
    tokens[400 * "="] = tokens.pop(next(name for name, id in tokens.items() if id == chosen))
    vocabulary["added_tokens"].append({"id": chosen, "content": 400 * "=", "special": False,
                                       "single_word": False, "lstrip": False, "rstrip": False,
                                       "normalized": False})
    path.write_text(json.dumps(vocabulary))
    text = b"a" + 400 * b"=" + b"b"
    ids = program.succeeds("tokenize", folder, stdin=text).stdout
    assert ids.split().count(b"%d" % chosen) == 1, ids
    back = program.succeeds("tokenize", "--decode", folder, stdin=ids).stdout
    assert back.replace(b" ", b"") == text, back
    assert program.succeeds(*answer).stdout == 400 * b"=" + b"\n"


@case
def decoding_takes_away_what_encoding_put_around(program: Program):
    """The token that closes a text counts at its end alone, though a text may start with one."""
    whole = Path(program.model("llama-spm-f16")).read_bytes()
    keys = {name: name.encode() + b"\x07\0\0\0" for name in ("add_bos_token", "add_eos_token")}
    for bos in (0, 1):
        data = whole
        for name, value in (("add_bos_token", bos), ("add_eos_token", 1)):
            at = data.index(keys[name]) + len(keys[name])
            data = data[:at] + bytes([value]) + data[at + 1:]
        path = program.scratch / "eos.gguf"
        path.write_bytes(data)
        for text in (b"hello world", b"</s>hello", b"hello</s>", b"</s>", b"<s>hello", b""):
            ids = program.succeeds("tokenize", path, stdin=text).stdout
            assert ids.split()[-1] == b"2" and (ids.split()[0] == b"1") >= bos, ids
            back = program.succeeds("tokenize", "--decode", path, stdin=ids).stdout
            # A space goes before the text behind a control token; it does not come back as it was.
            assert back.replace(b" ", b"") == text.replace(b" ", b""), (bos, text, ids, back)
        part = program.succeeds("tokenize", "--no-bos", path, stdin=b"hello").stdout
        assert program.succeeds("tokenize", "--decode", path, stdin=part).stdout == b"hello"


if __name__ == "__main__":
    sys.exit(main())
