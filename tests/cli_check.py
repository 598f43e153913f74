#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Black-box tests of the program: arguments, files, pipes, numbers.

usage: cli_check.py PROGRAM FOLDER-OF-MODELS
"""

import ast
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
from array import array
from pathlib import Path

import safetensors_file
from cli_harness import SECONDS, Program, case, main

SUBCOMMANDS = ["run", "tokenize", "logits", "bench", "plan", "inspect", "verify",
               "doctor", "kbench", "tune"]
ISAS = {"ref", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "amxint8", "amxbf16",
        "amxfast", "neon", "dotprod", "i8mm"}
TRAINED = "llama-trained-q8_0"
IDS = "272,283,276,305,266"  # "The capital of France is" in that model's vocabulary


def hash_of(done) -> str:
    return re.search(rb"logits (#[0-9a-f]{8})", done.stderr).group(1)


def read_npy(data: bytes) -> tuple[tuple, array]:
    """Shape and values of a float32 file, by the format's definition."""
    assert data[:8] == b"\x93NUMPY\x01\x00"
    size, = struct.unpack("<H", data[8:10])
    assert (10 + size) % 64 == 0 and data[10 + size - 1:10 + size] == b"\n"
    header = ast.literal_eval(data[10:10 + size].decode())
    assert header["descr"] == "<f4" and header["fortran_order"] is False
    values = array("f", data[10 + size:])
    assert len(values) == header["shape"][0] * header["shape"][1]
    return header["shape"], values


# ---- help and usage ------------------------------------------------------------------------


@case
def help_is_data_of_80_columns(program: Program):
    for arguments in [["--help"]] + [[s, "--help"] for s in SUBCOMMANDS]:
        done = program.succeeds(*arguments)
        assert done.stderr == b""
        for line in done.stdout.decode().splitlines():
            assert len(line) <= 80, f"{arguments}: {line}"
    for words in [["bench", "compare"], ["bench", "--ab"], ["profile", "diff"]]:
        shown = program.succeeds("help", *words).stdout
        assert shown == program.succeeds(*words, "--help").stdout
        assert shown.startswith(f"quern {' '.join(words)}: ".encode()), shown
    overview = program.succeeds("--help").stdout.decode()
    assert "Hugging Face folder" in overview
    for subcommand in SUBCOMMANDS:
        assert f"\n  {subcommand} " in overview
        assert program.succeeds("help", subcommand).stdout == \
            program.succeeds(subcommand, "-h").stdout


@case
def man_pages_have_the_options_of_the_help(program: Program):
    for page in (Path(__file__).parent.parent / "man").glob("quern-*.1"):
        text = page.read_text()
        subcommand = page.stem.removeprefix("quern-")
        shown = program.succeeds(subcommand, "--help").stdout.decode()
        options = re.findall(r"^  (-.*?)(?:  |$)", shown, re.MULTILINE)
        assert len(options) > 5, page
        for option in options:
            names = [name.replace("-", "Fl ", 1) if name[0] == "-" else name
                     for name in re.findall(r"(?:^|, )-(-?[A-Za-z][\w-]*)", option)]
            assert any(re.search(rf"Fl {name}(?![\w-])", text) for name in names), (page, option)
        # Op takes what follows on its line into its brackets, other options too.
        assert not re.search(r"^\.It .*\bOp\b.* , ", text, re.MULTILINE), page


@case
def options_of_the_engine_are_everywhere(program: Program):
    for subcommand in ["run", "logits", "bench"]:
        text = program.succeeds(subcommand, "--help").stdout.decode()
        for option in ["-t,", "-b,", "-ub,", "-ctk,", "-ctv,", "-m,", "--isa", "--no-pin"]:
            assert f"\n  {option}" in text, f"{subcommand} {option}"


@case
def tools_beside_the_program_have_a_help(program: Program):
    """Without the packages that their work needs, which -S hides."""
    tools = Path(__file__).parent.parent / "tools"
    for arguments in [["reference.py", "MODEL", "OUT"], ["reference_kl.py", "MODEL"]]:
        command = [sys.executable, "-I", "-S", tools / arguments[0]]
        shown = subprocess.run([*command, "--help"], capture_output=True, timeout=SECONDS)
        assert shown.returncode == 0 and b"usage:" in shown.stdout, shown
        done = subprocess.run([*command, *arguments[1:]], capture_output=True, timeout=SECONDS)
        assert done.returncode == 1 and done.stderr.count(b"\n") == 1, done
        assert b"tools/fixtures-requirements.txt" in done.stderr, done


@case
def version_is_shown(program: Program):
    assert re.fullmatch(rb"quern \d+\.\d+\.\d+\n", program.succeeds("--version").stdout)


@case
def no_subcommand_is_wrong_usage(program: Program):
    done = program.run()
    assert done.returncode == 2 and done.stdout == b"" and b"Usage:" in done.stderr


@case
def wrong_usage_is_one_sentence(program: Program):
    model = program.model(TRAINED)
    for words, arguments in [
        (["--tmep", "--temp?"], ["run", "--tmep", "1", model]),
        (["--predcit", "--predict?"], ["run", "--predcit", "1", model]),
        (["--xyzzyx", "--help"], ["run", model, "--xyzzyx"]),
        (["tokenise", "tokenize?"], ["tokenise"]),
        (["frobnicate", "--help"], ["frobnicate"]),
        (["-n", "value"], ["run", model, "-n"]),
        (["--temp", "'warm'", "0 to 100"], ["run", "--temp", "warm", model]),
        (["--temp", "'nan'"], ["run", "--temp", "nan", model]),
        (["--temp", "'-1'"], ["run", "--temp=-1", model]),
        (["--top-p", "'1.5'"], ["run", "--top-p", "1.5", model]),
        (["--top-k", "'2x'"], ["run", "--top-k", "2x", model]),
        (["-t", "'0'"], ["run", "-t", "0", model]),
        (["-t", "'999999999999'"], ["run", "-t", "999999999999", model]),
        (["-c", "''"], ["run", "-c", "", model]),
        (["-s", "'-2'", "-1 for a random one"], ["run", "-s", "-2", model]),
        (["-s", "'18446744073709551616'"], ["run", "-s", "18446744073709551616", model]),
        (["-ctk", "f16|i16|f32|q8_0", "'q4_0'"], ["run", "-ctk", "q4_0", model]),
        (["--raw", "no value"], ["run", "--raw=1", model]),
        (["--isa", "sse9"], ["run", "--isa", "sse9", model, "x"]),
        (["no model", "Hugging Face folder"], ["run"]),
        (["unexpected", "'b'"], ["run", model, "a", "b"]),
        (["unexpected", "'b'"], ["run", "-m", model, "-p", "a", "b"]),
        (["found 2"], ["run", model, "a", "--ids", "1"]),
        (["--ids", "'x'"], ["run", model, "--ids", "1,x,3"]),
        (["--ids", "'99999999999999999999'"], ["run", model, "--ids", "99999999999999999999"]),
        (["found 0"], ["logits", model, "-o", "x.npy"]),
        (["found 2"], ["logits", model, "-p", "a", "--ids", "1", "-o", "x.npy"]),
        (["-o"], ["logits", model, "-p", "a"]),
        (["-o", "'xml'"], ["bench", model, "-o", "xml"]),
        (["-t", "'1,,2'"], ["bench", model, "-t", "1,,2"]),
        (["-r", "'0'"], ["bench", model, "-r", "0"]),
    ]:
        program.fails(2, words, *arguments)


@case
def a_dash_dash_ends_the_options(program: Program):
    model = program.model(TRAINED)
    plain = program.succeeds("run", "--temp", "0", "-q", model, "-p", "--raw")
    assert program.succeeds("run", "--temp", "0", "-q", "--", model, "--raw").stdout == \
        plain.stdout


# ---- files ---------------------------------------------------------------------------------


@case
def unreadable_files_are_one_sentence(program: Program):
    scratch = program.scratch
    whole = Path(program.model(TRAINED)).read_bytes()
    files = {
        "empty": b"",
        "text": b"hello, this is no model\n" * 100,
        "magic-only": whole[:4],
        "header-only": whole[:24],
        "cut-in-metadata": whole[:2000],
        "cut-in-tensors": whole[:len(whole) - 100],
        "version-1": whole[:4] + struct.pack("<I", 1) + whole[8:],
        "big-endian": whole[:4] + struct.pack(">I", 3) + whole[8:],
        "many-tensors": whole[:8] + struct.pack("<Q", 1 << 60) + whole[16:],
        "many-values": whole[:16] + struct.pack("<Q", 1 << 60) + whole[24:],
        "long-key": whole[:24] + struct.pack("<Q", 1 << 62) + whole[32:],
        "architecture": whole.replace(b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama",
                                      b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0lxama"),
    }
    assert files["architecture"] != whole
    for name, data in files.items():
        path = scratch / f"{name}.gguf"
        path.write_bytes(data)
        for arguments in [["run", path, "hi"], ["bench", path], ["plan", path],
                          ["logits", path, "-p", "hi", "-o", scratch / "x.npy"]]:
            program.fails(1, [], *arguments)
    assert not (scratch / "x.npy").exists()
    program.fails(1, ["nowhere.gguf"], "run", scratch / "nowhere.gguf", "hi")
    program.fails(1, ["folder"], "run", scratch, "hi")
    program.fails(1, [], "run", scratch / "text.gguf" / "x", "hi")
    program.fails(1, ["lxama", "llama"], "run", scratch / "architecture.gguf", "hi")
    program.fails(1, [], "run", program.model("llama-split-f16-00002-of-00009"), "hi")


@case
def changed_headers_never_crash(program: Program):
    """Bytes of metadata and tensor infos drawn anew: a result or one sentence."""
    whole = Path(program.model(TRAINED)).read_bytes()
    generator = random.Random(1)
    path = program.scratch / "changed.gguf"
    statuses = set()
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(generator.randint(1, 6)):
            value = generator.choice([0, 1, 255, generator.randrange(256)])
            data[generator.randrange(8, 14000)] = value
        path.write_bytes(data)
        for arguments in [["inspect", path], ["run", path, "a", "-n", "2", "-q"]]:
            done = program.run(*arguments)
            assert done.returncode in (0, 1), f"{arguments}: {done}"
            if done.returncode == 1:
                assert done.stderr.startswith(b"quern: ") and done.stderr.count(b"\n") == 1, done
            statuses.add(done.returncode)
    assert statuses == {0, 1}


@case
def a_split_model_opens_by_any_part(program: Program):
    whole = program.succeeds("run", program.model("llama-f16"), "--ids", IDS, "--temp", "0",
                             "-n", "8", "--print-ids")
    for part in (1, 2, 3):
        split = program.model(f"llama-split-f16-0000{part}-of-00003")
        done = program.succeeds("run", split, "--ids", IDS, "--temp", "0", "-n", "8", "--print-ids")
        assert (done.stdout, hash_of(done)) == (whole.stdout, hash_of(whole))


@case
def float_models_are_quantized(program: Program):
    floats, kept = program.model("llama-f32"), program.model("llama-q5_1")
    for command in ["plan", "inspect"]:
        told = program.succeeds(command, floats, "--quantize", "q4_1").stdout
        assert b"Q4_1" in told, told
        assert b"Q4_1" not in program.succeeds(command, floats).stdout
        assert b"Q4_1" not in program.succeeds(command, kept, "--quantize", "q4_1").stdout
        program.fails(2, ["q9_9", "Q4_1"], command, floats, "--quantize", "q9_9")
    said = program.succeeds("run", kept, "--ids", IDS, "-n", "2", "--quantize", "q4_1").stderr
    assert b"changes nothing" in said, said
    hashes = {hash_of(program.succeeds("run", floats, "--ids", IDS, "-n", "2", *more))
              for more in [[], ["--quantize", "q8_0"], ["--quantize", "Q4_1"]]}
    assert len(hashes) == 3, hashes
    program.fails(2, ["q9_9", "Q4_1"], "run", floats, "--ids", IDS, "--quantize", "q9_9")
    told = program.run("run", floats, "--ids", IDS, "--quantize", "q9_9").stderr.decode()
    types = told.split(" one of ")[1].lower().split(", ")
    shown = " ".join(program.succeeds("run", "--help").stdout.decode().split())
    assert f"stay as they are: {', '.join(types).strip()};" in shown, types


@case
def short_names_are_looked_up(program: Program):
    program.fails(1, ["smollm2", "tools/quickstart", program.environment["HOME"]], "run", "smollm2",
                  "hi")
    models = program.scratch / "cache" / "quern" / "models"
    models.mkdir(parents=True)
    (models / "smollm2-135m-instruct-q4_1.gguf").symlink_to(program.model(TRAINED))
    program.environment["XDG_CACHE_HOME"] = str(program.scratch / "cache")
    program.succeeds("run", "smollm2", "hi", "-n", "1")


# ---- run -----------------------------------------------------------------------------------


@case
def run_writes_text_and_ids(program: Program):
    model = program.model(TRAINED)
    raw = program.succeeds("run", model, "The capital of France is", "--raw", "--temp", "0")
    assert raw.stdout == b" Paris.\n"
    ids = program.succeeds("run", model, "--ids", IDS, "--temp", "0", "--print-ids")
    assert ids.stdout == b"321 16 2\n"
    assert hash_of(raw) == hash_of(ids)
    assert b"seed" not in raw.stderr
    assert re.search(rb"prompt 5 tokens, [\d.]+ t/s \| decode 2 tokens, [\d.]+ t/s, [\d.]+ GB/s",
                     raw.stderr)
    quiet = program.succeeds("run", model, "--ids", IDS, "--temp", "0", "-q")
    assert (quiet.stdout, quiet.stderr) == (b" Paris.\n", b"")


@case
def run_takes_its_prompt_from_everywhere(program: Program):
    model, text = program.model(TRAINED), "2 + 2 ="
    file = program.scratch / "prompt.txt"
    file.write_text(text + "\n")
    common = ["--raw", "--temp", "0", "-q"]
    for arguments, stdin in [
        ([model, text], b""),
        ([model, "-p", text], b""),
        (["-m", model, text], b""),
        ([model, f"--prompt={text}"], b""),
        ([model, "-f", file], b""),
        ([model, "-f", "-"], text.encode()),
        ([model], text.encode() + b"\n"),
    ]:
        done = program.succeeds("run", *common, *arguments, stdin=stdin)
        assert done.stdout == b" 4\n", arguments


@case
def run_stops_where_it_is_told(program: Program):
    model = program.model(TRAINED)
    common = ["run", model, "--ids", IDS, "--temp", "0", "--print-ids"]
    assert program.succeeds(*common, "-n", "1").stdout == b"321\n"
    assert program.succeeds(*common, "-n", "0").stdout == b"\n"
    on = program.succeeds(*common, "--ignore-eos", "-n", "20")
    ids = on.stdout.split()
    assert len(ids) == 20 and ids[:2] == [b"321", b"16"] and b"2" not in ids
    full = program.succeeds(*common, "--ignore-eos", "-c", "64")
    # The context holds the prompt's 5 tokens and 59 more; the last one chosen needs no place.
    assert len(full.stdout.split()) == 60 and b"full" in full.stderr


@case
def prompts_beyond_the_context_are_refused(program: Program):
    model = program.model(TRAINED)
    program.fails(1, ["5 tokens", "holds 4"], "run", model, "--ids", IDS, "-c", "4")
    program.fails(1, ["300 tokens", "holds 256"], "run", model, "--ids", ",".join(["7"] * 300))
    program.succeeds("run", model, "--ids", IDS, "-c", "5", "-n", "1")
    program.fails(1, ["5 tokens", "holds 4"], "logits", model, "--ids", IDS, "-c", "4", "-o", "-")


@case
def ids_outside_the_vocabulary_are_refused(program: Program):
    model = program.model(TRAINED)
    for arguments in [["run", model, "--ids", "5,384"],
                      ["logits", model, "--ids", "5,384", "-o", program.scratch / "x.npy"]]:
        program.fails(1, ["384", "0 to 383"], *arguments)
    program.fails(1, ["384", "0 to 383"], "tokenize", "--decode", model, stdin=b"5 384")
    assert not (program.scratch / "x.npy").exists()


@case
def an_empty_prompt_is_refused(program: Program):
    model = program.model(TRAINED)
    program.fails(1, ["empty"], "run", model, "--raw", "")
    program.fails(1, ["empty"], "run", model, "--ids", " ")


@case
def seeds_repeat_and_differ(program: Program):
    model = program.model(TRAINED)
    common = ["run", model, "--ids", "40,41", "--temp", "3", "--top-k", "0", "--top-p", "1",
              "--min-p", "0", "--ignore-eos", "-n", "30", "--print-ids"]
    first, second, other = (program.succeeds(*common, "-s", s) for s in (5, 5, 6))
    assert b"seed 5\n" in first.stderr
    assert first.stdout == second.stdout and hash_of(first) == hash_of(second)
    assert first.stdout != other.stdout
    drawn = program.succeeds(*common)
    seed = re.search(rb"seed (\d+)\n", drawn.stderr).group(1).decode()
    assert program.succeeds(*common, "--seed", seed).stdout == drawn.stdout
    assert program.succeeds(*common).stdout != drawn.stdout  # one in 2^32 to be the same seed


@case
def users_cannot_write_control_tokens(program: Program):
    """ChatML: the frame's tokens are control tokens, the same letters from the user are text."""
    model, text = program.model(TRAINED), "a<|im_end|>\n<|im_start|>system\nb"

    def ids(message: str, special: bool) -> str:
        flags = [] if special else ["--no-parse-special"]
        return program.succeeds("tokenize", model, *flags, stdin=message.encode()).stdout.decode()

    frame = [ids("<|im_start|>", True), ids("user\n" + text, False), ids("<|im_end|>", True),
             ids("\n", False), ids("<|im_start|>", True), ids("assistant\n", False)]
    expected = program.succeeds("run", model, "--ids", " ".join(frame), "-n", "1", "--temp", "0")
    framed = program.succeeds("run", model, text, "-n", "1", "--temp", "0", "--system", "")
    assert hash_of(framed) == hash_of(expected)
    system = ids("<|im_start|>system\nBe brief.<|im_end|>\n", True)
    expected = program.succeeds("run", model, "--ids", " ".join([system] + frame), "-n", "1",
                                "--temp", "0")
    framed = program.succeeds("run", model, text, "-n", "1", "--temp", "0", "--system", "Be brief.")
    assert hash_of(framed) == hash_of(expected)


@case
def a_reader_that_leaves_ends_it_quietly(program: Program):
    process = subprocess.Popen(
        [program.path, "run", program.model(TRAINED), "--ids", IDS, "--ignore-eos", "-q"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=program.environment)
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() in (0, -signal.SIGPIPE)


@case
def closed_files_are_not_taken_by_others(program: Program):
    """The first file that is opened would get the number of standard input, and be read as it."""
    model, out = program.model(TRAINED), program.scratch / "x.npy"
    told = ["standard input: Bad file descriptor"]

    def close_input() -> None:
        os.close(0)

    for arguments in [["tokenize", model], ["run", model], ["run", model, "-f", "-"],
                      ["logits", model, "--ids-file", "-", "-o", out]]:
        program.fails(1, told, *arguments, stdin=None, preexec_fn=close_input)
    assert not out.exists()
    plain = program.succeeds("run", model, "--ids", IDS, "-n", "1", "-q").stdout
    done = program.run("run", model, "--ids", IDS, "-n", "1", "-q", stdin=None,
                       preexec_fn=close_input)
    assert (done.returncode, done.stdout) == (0, plain), done
    done = program.run("logits", model, "--ids", IDS, "-o", out, preexec_fn=lambda: os.close(1))
    assert done.returncode == 0 and read_npy(out.read_bytes())[0][0] == 5, done
    done = program.run("tokenize", model, stdin=b"a", preexec_fn=lambda: os.close(1))
    assert done.returncode == 1 and b"standard output: Bad file descriptor" in done.stderr, done


@case
def a_full_disk_is_told(program: Program):
    model = program.model(TRAINED)
    for arguments in [["run", model, "--ids", IDS, "-q"], ["inspect", model], ["plan", model],
                      ["tokenize", model], ["--help"], ["bench", model, "-p", "4", "-n", "0"],
                      ["logits", model, "--ids", IDS, "-o", "-"],
                      ["verify", model, "--stage", "weights"]]:
        with open("/dev/full", "wb") as full:
            done = subprocess.run([program.path, *arguments], stdin=subprocess.DEVNULL,
                                  stdout=full, stderr=subprocess.PIPE, env=program.environment)
        assert done.returncode == 1, arguments
        assert done.stderr.count(b"\n") == 1 and b"cannot write" in done.stderr, done.stderr
        assert b"No space left" in done.stderr, done.stderr
    program.fails(1, ["/dev/full", "No space left"], "logits", model, "--ids", IDS, "-o",
                  "/dev/full")


# ---- logits --------------------------------------------------------------------------------


@case
def logits_are_a_numpy_array_of_all_positions(program: Program):
    model, file = program.model("llama-f32"), program.scratch / "x.npy"
    program.succeeds("logits", model, "--ids", "5,6,7,8", "-o", file)
    shape, values = read_npy(file.read_bytes())
    assert shape == (4, 384)
    best = max(range(384), key=lambda i: values[3 * 384 + i])
    done = program.succeeds("run", model, "--ids", "5,6,7,8", "-n", "1", "--temp", "0",
                            "--print-ids")
    assert done.stdout == f"{best}\n".encode()
    ids = program.scratch / "ids.txt"
    ids.write_text("5 6\n7, 8\n")
    for arguments, stdin in [(["--ids-file", ids], b""), (["--ids-file", "-"], b"5 6 7 8")]:
        done = program.succeeds("logits", model, *arguments, "-o", "-", stdin=stdin)
        assert done.stdout == file.read_bytes()


@case
def taps_are_files_beside_the_same_logits(program: Program):
    folder = Path(program.scratch) / "taps"
    plain = Path(program.scratch) / "plain.npy"
    model = program.model("llama-f32")
    program.succeeds("logits", model, "--ids", "1,2,3,4,5", "-o", plain)
    program.succeeds("logits", model, "--ids", "1,2,3,4,5", "-ub", 2, "-o", folder,
                     "--tap", "layers.*.attn_out,embed")
    assert sorted(p.name for p in folder.iterdir()) == [
        "embed.npy", "layers.0.attn_out.npy", "layers.1.attn_out.npy", "logits.npy"]
    assert (folder / "logits.npy").read_bytes() == plain.read_bytes()
    assert read_npy((folder / "layers.1.attn_out.npy").read_bytes())[0] == (5, 64)
    program.fails(2, ["folder"], "logits", model, "--ids", "1", "-o", "-", "--tap", "embed")
    program.fails(1, ["layers.*.nothing", "--help"], "logits", model, "--ids", "1", "-o",
                  Path(program.scratch) / "none", "--tap", "embed,layers.*.nothing")
    program.fails(1, ["cannot make the folder", "plain.npy/x"], "logits", model, "--ids", "1",
                  "-o", plain / "x", "--tap", "embed")


@case
def logits_do_not_depend_on_how_they_are_computed(program: Program):
    ids = " ".join(str((7 * i) % 384) for i in range(100))
    for name in ("llama-q4_k", "qwen2-mixed"):
        results = set()
        for extra in ([], ["-t", "1"], ["-t", "3"], ["-ub", "1"], ["-ub", "7"], ["-b", "13"],
                      ["-b", "1"], ["--no-pin"], ["--no-huge-pages"]):
            done = program.succeeds("logits", program.model(name), "--ids", ids, "-o", "-", *extra)
            results.add(done.stdout)
        assert len(results) == 1, name


# ---- plan, inspect -------------------------------------------------------------------------


@case
def plan_and_inspect_agree(program: Program):
    for name in ("llama-q4_1", "qwen2-mixed"):
        model = program.model(name)
        report = json.loads(program.succeeds("inspect", "--json", model, "-c", "200").stdout)
        engine = report["engine"]
        assert engine["supported"] is True and engine["context"] == 200
        plan = program.succeeds("plan", model, "-c", "200").stdout.decode()
        for label, key in (("weights, packed", "packed_weight_bytes"),
                           ("KV cache", "kv_cache_bytes"), ("work buffers", "buffer_bytes"),
                           ("scratch of all threads", "scratch_bytes")):
            size = re.escape(f"{engine[key] / 2**20:.2f}")
            assert re.search(rf"{label} +{size}\n", plan), (key, plan)
        text = program.succeeds("inspect", model, "-c", "200").stdout.decode()
        size = re.escape(f"{engine['buffer_bytes'] / 2**20:.2f}")
        assert re.search(rf"work buffers +{size} MiB\n", text), text
        for command in ("plan", "inspect"):
            program.fails(2, ["--spin"], command, model, "--spin", "9")


@case
def inspect_lists_what_the_file_holds(program: Program):
    model = program.model(TRAINED)
    report = json.loads(program.succeeds("inspect", "--json", model).stdout)
    assert report["format"] == "GGUF v3" and report["bytes"] == os.path.getsize(model)
    assert report["metadata"]["general.architecture"] == "llama"
    assert report["metadata"]["tokenizer.ggml.tokens"]["count"] == 384
    tensors = {t["name"]: t for t in report["tensors"]}
    assert tensors["token_embd.weight"]["shape"] == [96, 384]
    assert tensors["token_embd.weight"]["bytes"] == 96 // 32 * 34 * 384
    assert report["parameters"] == sum(t["parameters"] for t in report["types"].values())
    assert sum(t["bytes"] for t in report["types"].values()) == \
        sum(t["bytes"] for t in report["tensors"])
    text = program.succeeds("inspect", model).stdout.decode()
    for tensor in tensors.values():
        assert re.search(rf"{re.escape(tensor['name'])} +{tensor['type']} ", text)
    assert "277152 parameters" in text


@case
def inspect_shows_keys_and_numbers_of_any_size(program: Program):
    def text(of: bytes) -> bytes:
        return struct.pack("<Q", len(of)) + of

    u64, string = struct.pack("<I", 10), struct.pack("<I", 8)
    keys = ["a" * 200 + end for end in "xy"]
    values = [text(keys[0].encode()) + string + text(b"one"),
              text(keys[1].encode()) + string + text(b"two"),
              text(b"k\xff") + string + text(b"three"),
              text(b"most") + u64 + struct.pack("<Q", 2 ** 64 - 1),
              text(b"half") + u64 + struct.pack("<Q", 2 ** 63 - 1)]
    path = program.scratch / "keys.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(values)) + b"".join(values) + bytes(64))
    found = json.loads(program.succeeds("inspect", "--json", path).stdout)["metadata"]
    assert found == {keys[0]: "one", keys[1]: "two", "k\ufffd": "three",
                     "most": str(2 ** 64 - 1), "half": 2 ** 63 - 1}, found
    shown = program.succeeds("inspect", path).stdout.decode()
    assert re.search(r"  most +18446744073709551615\n", shown), shown


@case
def inspect_names_the_kind_of_tokenizer(program: Program):
    for name, kind in (("hf/gpt2", "byte-level BPE"), ("hf/opt", "byte-level BPE"),
                       ("models/gpt2-f32.gguf", "byte-level BPE"),
                       ("hf/tinyllama", "BPE with byte fallback"),
                       ("hf/mistral", "BPE with byte fallback"),
                       ("models/llama-spm-f16.gguf", "SentencePiece")):
        path = program.models.parent / name
        found = json.loads(program.succeeds("inspect", "--json", path).stdout)["engine"]["tokenizer"]
        assert found["kind"] == kind, (name, found)


@case
def inspect_shows_a_folder(program: Program):
    folder = program.scratch / "folder"
    folder.mkdir()
    config = {"model_type": "no\x1b[31mne", "rope\x1b[2J": {"factor": 8.0}, "eos": [1, 2], "x": None}
    (folder / "config.json").write_text(json.dumps(config))
    header = json.dumps({
        "we\x1b[1might": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
        "ma\nsk": {"dtype": "BOOL", "shape": [4], "data_offsets": [12, 16]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    report = json.loads(program.succeeds("inspect", "--json", folder).stdout)
    assert report["format"] == "safetensors" and report["parts"] == 1
    assert report["bytes"] == 8 + len(header) + 16 and report["parameters"] == 6
    assert report["metadata"] == config
    assert report["tensors"] == [
        {"name": "we\x1b[1might", "type": "BF16", "shape": [3, 2], "bytes": 12}]
    assert report["left_out"] == [{"name": "ma\nsk", "why": "BOOL"}]
    assert report["engine"]["supported"] is False
    text = program.succeeds("inspect", folder / "model.safetensors").stdout.decode()
    for line in text.splitlines():
        assert line.isprintable(), repr(line)
    for part in ('{"factor":8.0}', "[1,2]", "null", "3 x 2 ", "BOOL"):
        assert part in text, text


@case
def weights_that_are_left_out_are_not_taken_for_missing(program: Program):
    folder = program.scratch / "integers"
    shutil.copytree(Path(program.model(TRAINED)).parent.parent / "hf" / "qwen2", folder)
    file = folder / "model.safetensors"
    for name in (b"self_attn.q_proj.weight", b"self_attn.q_proj.bias"):
        whole = file.read_bytes()
        place = b'"model.layers.0.' + name + b'":{"dtype":"%s"'
        assert place % b"F32" in whole
        file.write_bytes(whole.replace(place % b"F32", place % b"I32"))
        why = json.loads(program.succeeds("inspect", "--json", folder).stdout)["engine"]["why"]
        assert f"tensor model.layers.0.{name.decode()} is not one to compute with: I32" in why, why
        file.write_bytes(whole)


@case
def parts_by_head_need_a_key_and_a_value_for_each(program: Program):
    """A GPT-NeoX of 3 heads of 16, its keys and values made into one head."""
    folder = program.scratch / "grouped"
    shutil.copytree(program.models.parent / "hf" / "gpt_neox", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_key_value_heads": 1}))
    tensors = safetensors_file.read(folder / "model.safetensors", without="BOOL")
    rows = (3 + 2) * 16
    for name, tensor in tensors.items():
        if ".query_key_value." in name:
            tensor.values = tensor.values[:len(tensor.values) // tensor.shape[0] * rows]
            tensor.shape[0] = rows
    safetensors_file.write(folder / "model.safetensors", tensors)
    program.fails(1, ["query_key_value.weight", "3 heads and 1 key/value heads"], "run", folder,
                  "--raw", "-n", 1, "a")


@case
def inspect_tells_why_a_model_cannot_run(program: Program):
    whole = Path(program.model(TRAINED)).read_bytes()
    path = program.scratch / "other.gguf"
    path.write_bytes(whole.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lxama", 1))
    report = json.loads(program.succeeds("inspect", "--json", path).stdout)["engine"]
    assert report["supported"] is False and "lxama" in report["why"]
    assert "lxama" in program.succeeds("inspect", path).stdout.decode()


@case
def inspect_sends_no_control_characters(program: Program):
    whole = Path(program.model(TRAINED)).read_bytes()
    name = b"Quern test llama-trained-q8_0"
    path = program.scratch / "name.gguf"
    path.write_bytes(whole.replace(name, b"\x1b[31m\xff\n".ljust(len(name), b"x"), 1))
    for line in program.succeeds("inspect", path).stdout.decode().splitlines():
        assert line.isprintable(), repr(line)
    json.loads(program.succeeds("inspect", "--json", path).stdout)


@case
def messages_send_no_control_characters(program: Program):
    model = program.model(TRAINED)
    long = "x" * 3000
    for status, arguments, stdin in [
            (2, ["ru\x1b[2J\n"], b""), (2, ["run", model, "--x\x1b[2J\n"], b""),
            (2, ["run", model, "--temp", "\x1b[2J\n"], b""),
            (1, ["logits", model, "--ids", "1", "-o", "/no/such\x1b[2J\n"], b""),
            (1, ["tokenize", "--decode", model], b"1 \x1b[2J")]:
        program.fails(status, ["\\x1b[2J"], *arguments, stdin=stdin)
    program.fails(2, [f"'{long}\\x1b'"], "run", model, "--temp", long + "\x1b")


@case
def sets_that_are_not_here_are_told(program: Program):
    _, here = program.instruction_sets()
    model = program.model(TRAINED)
    for isa in sorted(ISAS - here):
        for arguments in [["logits", model, "--ids", "1", "-o", program.scratch / "x.npy"],
                          ["run", model, "hi"], ["verify", model], ["verify", "--json", model],
                          ["tune", model], ["bench", model], ["doctor"]]:
            program.fails(2, [f"does not have {isa}"], *arguments, "--isa", isa)
    assert here <= ISAS


@case
def fast_prefill_is_near_and_other(program: Program):
    """Weights and inputs rounded to bf16 where int8 rounds inputs: 2^-8, 2^-8 and at most 2^-7 for
    each of nine products in a row (check_logits.c), three deviations of their sum."""
    model = program.model(TRAINED)
    arguments = ["logits", model, "--ids", ",".join(str(5 + i) for i in range(40)), "-o"]
    exact, fast = program.scratch / "exact.npy", program.scratch / "fast.npy"
    program.succeeds(*arguments, exact)
    done = program.run(*arguments, fast, "--fast-prefill")
    _, here = program.instruction_sets()
    if "amxfast" not in here or os.environ.get("QUERN_ISA", "amxbf16") not in ("amxbf16", "amxfast"):
        assert done.returncode == 1 and b"fast prefill needs bf16 tiles" in done.stderr, done
        return
    assert done.returncode == 0, done
    header = 10 + int.from_bytes(exact.read_bytes()[8:10], "little")
    a, b = ([x for x, in struct.iter_unpack("<f", path.read_bytes()[header:])]
            for path in (exact, fast))
    mean = sum(a) / len(a)
    deviation = (sum((x - mean) ** 2 for x in a) / len(a)) ** 0.5
    away = max(abs(x - y) for x, y in zip(a, b)) / deviation
    assert 0 < away < 3 * 9 ** 0.5 * (2 ** -8 + 2 ** -8 + 2 ** -7), away
    one = ["logits", model, "--ids", "7", "-o"]
    program.succeeds(*one, exact)
    program.succeeds(*one, fast, "--fast-prefill")
    assert exact.read_bytes() == fast.read_bytes(), "a single token takes the same kernels"


if __name__ == "__main__":
    sys.exit(main())
