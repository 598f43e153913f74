#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Full-size models in the layout that their makers publish, against transformers in float32.

usage: full.py QUERN DATA [MODEL]...

Makes each model with random weights in a scratch folder, one at a time, runs 'quern logits' on it
and compares with DATA/golden/full-MODEL.npy. Needs numpy. Ends with "N passed, N failed".
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import numpy as np

from fixtures import full

MODELS = ["gpt2", "opt-125m", "pythia-160m", "qwen2-0.5b"]
# Largest difference in deviations of the logits, and KL: reordered sums give less than 1e-5. F16
# weights and their inputs may be rounded to integers of 16 bits, inputs of BF16 weights to 8 bits
# (check_logits.c).
BOUNDS = {"f32": (1e-4, 1e-8), "f16": (1.2e-3, 1e-7), "bf16": (3e-2, 1e-4)}
ROOM = 1.1  # of the weights' size: tokenizer files and logits lie beside them


def kl(ours: np.ndarray, theirs: np.ndarray, columns: int, vocabulary: int) -> float:
    """Mean KL(theirs || ours), estimated from evenly spaced columns. q - p - p log(q/p) sums to
    the divergence too, as both p and q sum to 1, and is nowhere negative."""
    log_p, log_q = (rows[:, :columns] - rows[:, columns:columns + 1] for rows in (theirs, ours))
    p = np.exp(log_p)
    terms = p * (np.expm1(log_q - log_p) - (log_q - log_p))
    return float(terms.sum(axis=1).mean()) * vocabulary / columns


def run(quern: str, name: str, scratch: Path) -> tuple[np.ndarray, float, float]:
    """(summary of the logits, seconds to make the model, seconds to run it)"""
    start = time.monotonic()
    full.make(name, scratch / name)
    made = time.monotonic()
    ids = ",".join(map(str, full.golden_ids(name)))
    logits = scratch / "logits.npy"
    subprocess.run([quern, "logits", str(scratch / name), "--ids", ids, "-o", str(logits),
                    "-ctk", "f32", "-ctv", "f32"],
                   check=True, stdout=subprocess.DEVNULL)
    return full.summary(name, np.load(logits)), made - start, time.monotonic() - made


def check(quern: str, data: Path, name: str) -> bool:
    needed, free = ROOM * full.size_of(name), shutil.disk_usage(tempfile.gettempdir()).free
    if free < needed:
        print(f"FAILED: {name}: {free / 1e6:.0f} MB free in {tempfile.gettempdir()}; expected "
              f"{needed / 1e6:.0f} MB")
        return False
    with tempfile.TemporaryDirectory(prefix="quern-full-") as scratch:
        try:
            found, making, running = run(quern, name, Path(scratch))
        except subprocess.CalledProcessError as error:
            print(f"FAILED: {name}: quern logits ended with status {error.returncode}")
            return False
    ours = found.astype(np.float64)
    theirs = np.load(data / "golden" / f"full-{name}.npy").astype(np.float64)
    model = full.MODELS[name]
    deviation = theirs[:, -1:]
    away = float((np.abs(ours - theirs)[:, :-1] / deviation).max())
    divergence = kl(ours, theirs, full.N_COLUMNS, model.config["vocab_size"])
    allowed, allowed_kl = BOUNDS[model.dtype]
    passed = away < allowed and divergence < allowed_kl  # false for NaN
    print(f"{'' if passed else 'FAILED: '}{name}: {model.dtype}, max difference {away:.2e} "
          f"deviations (under {allowed:.0e}), KL {divergence:.2e} (under {allowed_kl:.0e}); "
          f"made in {making:.1f} s, loaded and run in {running:.1f} s", flush=True)
    return passed


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 2
    quern, data, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:] or MODELS
    passed = sum(check(quern, data, name) for name in names)
    print(f"{passed} passed, {len(names) - passed} failed")
    return 0 if passed == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
