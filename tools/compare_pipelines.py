#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares tokenizers of random normalizers, splitters, models and decoders with Hugging Face's
tokenizers library, and prints those that differ. Run by hand.

usage: tools/compare_pipelines.py LIBQUERN.SO [SEED [PIPELINES [STRINGS]]]
"""

import random
import sys
import tempfile
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

import fixtures_folders as folders

BEHAVIORS = ["isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous"]
PATTERNS = [r"\w+", r"\W", r"\s+", r"\S+$", r"^\s", r"\bt", r"[^\w\s]+", r"(?i:the|ſ)",
            r"\d{1,3}(?=(?:\d{3})*\b)", r"\p{Lu}\p{Ll}*", r".", r"\n|\r", r"[[:alpha:]]+",
            r"\p{Han}|\p{Hiragana}", r"(?<=a).", r"x*", r"\x{41}|é", r"\h", r"(?:\r?\n)+",
            r"[\s\S]{1,5}", r"\P{L}+", r"[^\S\n]+", r"[^(\s|[.,!])]+", r"\p{Nd}|\p{No}", r"\B"]
LITERALS = [" ", "a", folders.SPACE, "the", "  ", "\n", "."]


def normalizer(rng):
    plain = [normalizers.NFC, normalizers.NFD, normalizers.NFKC, normalizers.NFKD,
             normalizers.Lowercase, normalizers.StripAccents]
    kind = rng.randrange(9)
    if kind < 6:
        return plain[kind]()
    if kind == 6:
        return normalizers.Strip(rng.random() < 0.5, rng.random() < 0.5)
    if kind == 7:
        return normalizers.Replace(rng.choice(LITERALS), rng.choice(["", "x", folders.SPACE]))
    return normalizers.Replace(Regex(rng.choice(PATTERNS[:9])), rng.choice([" ", "#"]))


def splitter(rng):
    behavior, invert = rng.choice(BEHAVIORS), rng.random() < 0.3
    kind = rng.randrange(8)
    if kind <= 2:
        return pre_tokenizers.Split(Regex(rng.choice(PATTERNS)), behavior, invert)
    if kind == 3:
        return pre_tokenizers.Split(rng.choice(LITERALS), behavior, invert)
    if kind == 4:
        return pre_tokenizers.Digits(rng.random() < 0.5)
    if kind == 5:
        return pre_tokenizers.Punctuation(behavior)
    if kind == 6:
        return rng.choice([pre_tokenizers.WhitespaceSplit, pre_tokenizers.Whitespace,
                           pre_tokenizers.BertPreTokenizer])()
    # Where normalizers decompose a text's first character, ours takes only the first part for the
    # first of the text: so no scheme "first".
    return pre_tokenizers.Metaspace(prepend_scheme=rng.choice(["always", "never"]),
                                    split=rng.random() < 0.5)


def added(rng):
    def flag():
        return rng.random() < 0.5

    return [AddedToken("Fox", normalized=flag(), lstrip=flag(), rstrip=flag(), single_word=flag()),
            AddedToken("e ", normalized=flag())]


def byte_level(rng, steps, splitters):
    splitters.append(pre_tokenizers.ByteLevel(add_prefix_space=rng.random() < 0.3,
                                              use_regex=rng.random() < 0.4))
    if rng.random() < 0.2:
        splitters.append(splitter(rng))
    options = {"unk_token": "!", "fuse_unk": rng.random() < 0.5} if rng.random() < 0.3 else {}
    return folders.byte_level_bpe(splitters, ["<|im_end|>"], added(rng),
                                  normalizers.Sequence(steps) if steps else None, 350,
                                  ignore_merges=rng.random() < 0.3, **options)


def characters(rng, steps, splitters, trained):
    steps += rng.choice([[], folders.LEGACY, folders.LEGACY[1:]])
    before = normalizers.Sequence(steps) if steps else None
    split = pre_tokenizers.Sequence(splitters) if splitters else None
    decoder = rng.choice([folders.llama_decoder(True), folders.llama_decoder(False),
                          decoders.Metaspace(prepend_scheme=rng.choice(["always", "never"]))])
    kind = rng.choice(list(trained))
    if kind.startswith("bpe"):
        return folders.character_bpe(before, split, decoder, added=added(rng), model=trained[kind])
    pieces = folders.pieces_of(trained[kind])
    made = Tokenizer(models.Unigram([(p.piece, p.score) for p in pieces], unk_id=0,
                                    byte_fallback=rng.random() < 0.5))
    made.normalizer, made.decoder = before, decoder
    if split is not None:
        made.pre_tokenizer = split
    made.add_special_tokens(["<unk>", "<s>", "</s>"])
    made.add_tokens(added(rng))
    return folders.template(made, ["<s>"], ["</s>"])


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    numbers = [int(a) for a in sys.argv[2:]] + [1, 100, 300][len(sys.argv) - 2 :]
    seed, n_pipelines, n_strings = numbers[:3]
    rng = random.Random(seed)
    trained = {"bpe": folders.sentencepiece_model("bpe"),
               "bpe phrases": folders.sentencepiece_model("bpe", split_by_whitespace=False),
               "unigram": folders.sentencepiece_model("unigram")}
    n_different = 0
    for i in range(n_pipelines):
        steps = [normalizer(rng) for _ in range(rng.randrange(3))]
        splitters = [splitter(rng) for _ in range(rng.randrange(3))]
        made = byte_level(rng, steps, splitters) if rng.random() < 0.5 else characters(
            rng, steps, splitters, trained)
        with tempfile.TemporaryDirectory() as folder:
            folders.write_folder(Path(folder), lambda: made)
            quern = folders.Quern(sys.argv[1], folder)
            if folders.compare(f"pipeline {i}", made, quern, n_strings, seed=i):
                n_different += 1
                print(made.normalizer, made.pre_tokenizer, made.decoder)
    print(f"{n_different} of {n_pipelines} pipelines differ")
    return n_different > 0


if __name__ == "__main__":
    sys.exit(main())
