#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes models to test with: tiny ones with golden files, or one of full size.

usage: tools/fixtures.py [--only NAME]... [--out FOLDER]
       tools/fixtures.py --full MODEL FOLDER
       tools/fixtures.py --full-golden MODEL [--out FOLDER]

The first writes everything under tests/data, by hand; see tests/data/README.md. The second writes
a model with random weights in the layout that its makers publish, and needs numpy alone; MODEL is
gpt2, opt-125m, pythia-160m, tinyllama, mistral-7b, qwen2-0.5b or qwen3-0.6b. The third writes what
transformers computes of it.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

DATA = Path(__file__).resolve().parent.parent / "tests" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", help="make this model only (may be repeated)")
    parser.add_argument("--out", type=Path, default=DATA, help="in place of tests/data")
    parser.add_argument("--full", nargs=2, metavar=("MODEL", "FOLDER"), help="a full-size model")
    parser.add_argument("--full-golden", metavar="MODEL", help="golden file of a full-size model")
    options = parser.parse_args()
    # Imported where they are needed: a full-size model takes numpy only.
    if options.full:
        from fixtures import full
        if options.full[0] not in full.MODELS:
            parser.error(f"no such model: {options.full[0]}; there are {', '.join(full.MODELS)}")
        full.make(options.full[0], Path(options.full[1]))
    elif options.full_golden:
        from fixtures import full_golden
        full_golden.write(options.full_golden, options.out / "golden")
    else:
        from fixtures import tiny
        tiny.make(options.out, options.only)


if __name__ == "__main__":
    main()
