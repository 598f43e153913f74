#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Black-box tests of --pack-cache: packed weights that are kept between runs change no bit, and
are never used for a model that they were not packed from.

usage: cli_pack_cache.py PROGRAM FOLDER-OF-MODELS
"""

import os
import re
import shutil
import sys
import time
from pathlib import Path

from cli_harness import Program, case, main

IDS = "5,12,19,26,33"
GRAIN = 3.1  # seconds; a file changed later than 2 full seconds ago is not kept


def logits(program: Program, model, *more, said="") -> str:
    """The hash of a run's logits; stderr has one line beside the run's own with these words, or
    none."""
    done = program.succeeds("run", model, "--ids", IDS, "-n", "2", "--temp", "0", *more)
    text = done.stderr.decode()
    notes = [line for line in text.splitlines() if line.startswith("quern: ")]
    assert len(notes) == (said != "") and all(said in note for note in notes), text
    return re.search(r"logits (#[0-9a-f]{8})", text).group(1)


def packed(folder) -> dict:
    """Name -> what tells whether a file is the one that was there before."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in Path(folder).iterdir()}


def a_copy(program: Program, name: str) -> Path:
    """A model of the test's own, old enough to be kept."""
    path = program.scratch / "model.gguf"
    shutil.copyfile(program.model(name), path)
    time.sleep(GRAIN)
    return path


@case
def every_type_keeps_its_bits(program: Program):
    models = [*sorted(program.models.glob("llama-*.gguf"))[:16], program.model("gpt2-f32"),
              program.model("mixtral-f16"), program.model("gemma2-f16"),
              next((program.models.parent / "hf").glob("*/config.json")).parent]
    assert len(models) == 20
    folder = program.scratch / "made/for/it"
    for model in models:
        plain = logits(program, model)
        assert logits(program, model, f"--pack-cache={folder}") == plain, model
        before = packed(folder)
        assert logits(program, model, f"--pack-cache={folder}") == plain, model
        assert packed(folder) == before, f"{model} was packed again"
    assert len(before) == len(models)


@case
def files_are_the_users_alone(program: Program):
    logits(program, program.model("llama-q4_0"), "--pack-cache")
    folder = program.scratch / ".cache/quern/packed"
    file, = folder.iterdir()
    assert file.name.startswith("llama-q4_0.gguf-") and file.suffix == ".packed"
    assert folder.stat().st_mode & 0o777 == 0o700 and file.stat().st_mode & 0o777 == 0o600
    program.environment["XDG_CACHE_HOME"] = str(program.scratch / "xdg")
    logits(program, program.model("llama-q4_0"), "--pack-cache")
    assert len(list((program.scratch / "xdg/quern/packed").iterdir())) == 1
    file.chmod(0o666)
    del program.environment["XDG_CACHE_HOME"]
    logits(program, program.model("llama-q4_0"), "--pack-cache", said="others than you")
    assert file.stat().st_mode & 0o777 == 0o600
    logits(program, program.model("llama-q4_0"), "--pack-cache")


@case
def kernels_and_types_have_files_of_their_own(program: Program):
    model, folder = program.model("llama-f32"), program.scratch / "packed"
    isas = [["--isa", isa] for isa in program.instruction_sets()[1] & {"ref", "avx2"}]
    choices = [[], ["--quantize", "q4_0"], ["--quantize", "q8_0"], *isas, ["--no-huge-pages"]]
    plain = [logits(program, model, *choice) for choice in choices]
    for said in range(2):
        found = [logits(program, model, f"--pack-cache={folder}", *choice) for choice in choices]
        assert found == plain
    assert len(set(plain[:3])) == 3 and 3 <= len(packed(folder)) <= 5


@case
def halves_and_what_they_become_have_files_of_their_own(program: Program):
    model, folder = program.model("gemma2-f16"), program.scratch / "packed"
    choices = [["--isa", isa] for isa in program.instruction_sets()[1] & {"ref", "avx2"}]
    for choice in choices * 2:
        logits(program, model, f"--pack-cache={folder}", *choice)
    assert len(packed(folder)) == len(choices)


@case
def damage_is_found_and_repaired(program: Program):
    model, folder = program.model("qwen2-f32"), program.scratch / "packed"
    cache = f"--pack-cache={folder}"
    plain = logits(program, model, cache)
    file, = folder.iterdir()
    data = file.read_bytes()
    for at, words in [(len(data) - 5, "damaged"), (9, "damaged"), (2 << 20, "damaged")]:
        file.write_bytes(data[:at] + bytes([data[at] ^ 8]) + data[at + 1:])
        assert logits(program, model, cache, said=words) == plain
        assert file.read_bytes() == data
        assert logits(program, model, cache) == plain
    file.write_bytes(data[:-1])
    assert logits(program, model, cache, said=f"has {len(data) - 1} bytes") == plain
    assert file.read_bytes() == data


@case
def a_changed_model_is_packed_anew(program: Program):
    model, folder = a_copy(program, "llama-q4_0"), program.scratch / "packed"
    cache = f"--pack-cache={folder}"
    first = logits(program, model, cache)
    assert logits(program, model, cache) == first
    # In place, of the same size, with the time of modification set back: half of the weights.
    times, data = model.stat(), bytearray(model.read_bytes())
    for i in range(len(data) // 2, len(data) - 18, 18):
        data[i + 5] ^= 0x11
    with open(model, "r+b") as file:
        file.write(data)
    os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (model.stat().st_mtime_ns, model.stat().st_size) == (times.st_mtime_ns, times.st_size)
    time.sleep(GRAIN)
    plain = logits(program, model)
    assert plain != first
    assert logits(program, model, cache, said="changed since") == plain
    assert logits(program, model, cache) == plain
    assert len(packed(folder)) == 1


@case
def what_was_just_written_is_not_kept(program: Program):
    model, folder = program.scratch / "model.gguf", program.scratch / "packed"
    shutil.copyfile(program.model("llama-q4_0"), model)
    logits(program, model, f"--pack-cache={folder}", said="not kept this time")
    assert not folder.exists()


@case
def a_folder_that_cannot_be_is_told(program: Program):
    model = program.model("llama-q4_0")
    plain = logits(program, model)
    (program.scratch / "file").write_text("")
    for folder, words in [(program.scratch / "file/packed", "Not a directory"),
                          ("/proc/packed", "/proc/packed: packed weights cannot be kept")]:
        assert logits(program, model, f"--pack-cache={folder}", said=words) == plain
    del program.environment["HOME"]
    assert logits(program, model, "--pack-cache", said="neither XDG_CACHE_HOME nor HOME") == plain


if __name__ == "__main__":
    sys.exit(main())
