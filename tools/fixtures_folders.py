#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/text/hf: small tokenizers of every kind as Hugging Face folders have them, with
the ids and the text that Hugging Face's libraries give. Run by hand; see tests/data/README.md.

usage: tools/fixtures_folders.py                        writes the folders
       tools/fixtures_folders.py --compare LIBQUERN.SO [N [KIND...]]
                         compares N (10000) fresh strings a kind, and N/5 texts from ids
       tools/fixtures_folders.py --compare-folder LIBQUERN.SO FOLDER [N]
                         likewise for any folder with tokenizer.json

In every folder expected.ids holds, for the strings of ../strings.bin with an even number below
800: varint count and varint ids; special tokens are parsed where the number divides by four. Behind
those of strings below 200 stands the text that they decode to, special tokens included.
"""

import ctypes
import io
import json
import re
import sys
import tempfile
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors, trainers

import fixtures_text as text

OUT = text.OUT / "hf"
N_EXPECTED, STRIDE, N_DECODED = 800, 2, 200
N_TOKENS = 420

ALPHABET = pre_tokenizers.ByteLevel.alphabet()
# Enough to cross borders, small enough to keep the files small.
CORPUS = text.SENTENCES * 3 + ["the cat and the hat it's their there then  there   ",
                               "can't won't they'll 1234567 in 2024 {x} [y] (z); foo_bar()\n\n"] * 4
SPACE = "\u2581"


# ---- kinds ------------------------------------------------------------------------------------


def byte_level_bpe(rules, special, added=(), normalizer=None, n_tokens=N_TOKENS, **options):
    """A byte-level tokenizer as a tokenizer.json has it, trained on the corpus."""
    made = Tokenizer(models.BPE(**options))
    if normalizer is not None:
        made.normalizer = normalizer
    made.pre_tokenizer = rules[0] if len(rules) == 1 else pre_tokenizers.Sequence(rules)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=n_tokens, show_progress=False,
                                  initial_alphabet=ALPHABET)
    made.train_from_iterator(CORPUS, trainer)
    made.add_special_tokens([AddedToken(t, normalized=False, special=True)
                             if isinstance(t, str) else t for t in special])
    made.add_tokens([AddedToken(t) if isinstance(t, str) else t for t in added])
    return made


def template(made, prefix=(), suffix=()):
    names = list(prefix) + ["$A"] + list(suffix)
    made.post_processor = processors.TemplateProcessing(
        single=" ".join(names), pair=None,
        special_tokens=[(t, made.token_to_id(t)) for t in {*prefix, *suffix}])
    return made


def gpt2():
    made = byte_level_bpe([pre_tokenizers.ByteLevel(add_prefix_space=False)], ["<|endoftext|>"])
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    return made


def gpt_neox():
    made = byte_level_bpe([pre_tokenizers.ByteLevel(add_prefix_space=False)],
                          ["<|endoftext|>", "<|padding|>"], [" " * n for n in range(24, 1, -1)],
                          normalizers.NFC())
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    return made


def llama3(pattern=text.LLAMA3, normalizer=None, ignore_merges=True, bos=("<|begin_of_text|>",)):
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>",
               "<|endoftext|>"]
    made = byte_level_bpe([text.split(pattern), text.byte_level(False)], special,
                          [AddedToken("<think>", normalized=False)], normalizer,
                          ignore_merges=ignore_merges)
    if bos:
        template(made, bos)
        made.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
                                                   made.post_processor])
    return made


def qwen2():
    return llama3(text.QWEN2, normalizers.NFC(), False, ())


def olmo2():
    """The pattern of GPT-4, without a BOS, with words as tokens that a blank belongs to."""
    made = llama3(text.LLAMA3, None, False, ())
    made.add_tokens([AddedToken("|||IP|||", lstrip=True, rstrip=True, normalized=False),
                     AddedToken("Fuchs", single_word=True, normalized=False)])
    return made


def smollm3():
    return llama3(text.LLAMA3, None, True, ())


def starcoder2():
    return byte_level_bpe([text.digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)],
                          ["<|endoftext|>", "<fim_prefix>"])


def deepseek():
    return template(byte_level_bpe(
        [text.split("[\r\n]"), text.split(r"\s?\p{L}+"), text.split(r"\s?\p{P}+"),
         text.split(text.DEEPSEEK_HAN), text.digits(True), text.byte_level(False)],
        ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"]), ["<｜begin▁of▁sentence｜>"])


def falcon():
    return byte_level_bpe([pre_tokenizers.Punctuation("contiguous"),
                           pre_tokenizers.ByteLevel(add_prefix_space=False),
                           text.digits(False), text.split("[0-9][0-9][0-9]")],
                          [">>TITLE<<", "<|endoftext|>"])


def tiktoken():
    """A pattern that we have no rule for, in the style of converted tiktoken files."""
    pattern = (r"(?i:[sdmt]|ll|ve|re)(?=')|[^\r\n\p{L}\p{N}]?+\p{Lu}?\p{Ll}+|\p{N}{1,2}"
               r"|\b\w\B| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+$|[\w&&[^\d]]"
               ).replace("|[\\w&&[^\\d]]", "")
    split = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
    return byte_level_bpe([split, text.byte_level(False)], ["<|endoftext|>"])


def bloom():
    """A pattern with a class within a class."""
    pattern = " ?[^(\\s|[.,!?…。，、।۔،])]+"
    return byte_level_bpe([text.split(pattern), text.byte_level(False)], ["<unk>", "<s>", "</s>"])


def behaviours():
    """Splitters that drop, join and rewrite pieces."""
    return byte_level_bpe(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("e", "merged_with_next"),
         pre_tokenizers.Split(Regex(r"[aou]+"), "merged_with_previous"),
         pre_tokenizers.Split(Regex(r"\p{Lu}"), "contiguous"),
         pre_tokenizers.Split(Regex(r"[.,]"), "isolated", invert=True),
         pre_tokenizers.ByteLevel(add_prefix_space=True)],
        ["<|endoftext|>"], [AddedToken("Fox", normalized=True)],
        normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(),
                              normalizers.Lowercase(), normalizers.Strip(),
                              normalizers.Replace(Regex(r"\d{2,}"), "#")]))


def sentencepiece_model(model_type, **options):
    import sentencepiece

    known = set("".join(CORPUS)) - set("漢字カタナ京都首日本")
    lines = [line for s in CORPUS for line in s.split("\n") if set(line) <= known]
    file = io.BytesIO()
    defaults = {"vocab_size": 600, "byte_fallback": True, "normalization_rule_name": "identity",
                "remove_extra_whitespaces": False, "character_coverage": 0.98,
                "allow_whitespace_only_pieces": True, "split_digits": True}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=file, model_type=model_type, num_threads=1,
        minloglevel=2, hard_vocab_limit=False, **{**defaults, **options})
    return file.getvalue()


def pieces_of(model):
    from sentencepiece import sentencepiece_model_pb2 as proto

    return proto.ModelProto.FromString(model).pieces


def character_bpe(normalizer, splitter, decoder, special=("<unk>", "<s>", "</s>"), added=(),
                  model=None):
    from transformers.tokenization_utils_base import generate_merges

    pieces = pieces_of(model or sentencepiece_model("bpe"))
    vocab = {p.piece: i for i, p in enumerate(pieces)}
    scores = {p.piece: p.score for p in pieces}
    made = Tokenizer(models.BPE(vocab=vocab, merges=generate_merges(vocab, scores),
                                unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizer
    made.pre_tokenizer = splitter
    made.decoder = decoder
    made.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    made.add_tokens(list(added))
    return template(made, ["<s>"])


def llama_decoder(strip):
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    return decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strip else []))


LEGACY = [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]


def llama2():
    return character_bpe(normalizers.Sequence(LEGACY), None, llama_decoder(True))


def mistral():
    return character_bpe(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False),
                         llama_decoder(True))


def phi3():
    """Special tokens that take the white space behind them."""
    added = [AddedToken(t, normalized=False, special=True, rstrip=True)
             for t in ("<|im_start|>", "<|im_end|>", "<think>")]
    return character_bpe(normalizers.Sequence(LEGACY), None, llama_decoder(True), added=added)


def gemma():
    return character_bpe(normalizers.Replace(" ", SPACE),
                         pre_tokenizers.Split(" ", "merged_with_previous"), llama_decoder(False),
                         added=[AddedToken("\n\n", normalized=False), AddedToken("  ")],
                         model=sentencepiece_model("bpe", split_by_whitespace=False))


def unigram(byte_fallback=True, **options):
    pieces = pieces_of(sentencepiece_model("unigram", byte_fallback=byte_fallback, **options))
    made = Tokenizer(models.Unigram([(p.piece, p.score) for p in pieces], unk_id=0,
                                    byte_fallback=byte_fallback))
    made.add_special_tokens(["<unk>", "<s>", "</s>"])
    return made


def unigram_bytes():
    made = unigram()
    made.normalizer = normalizers.Sequence(LEGACY)
    made.decoder = llama_decoder(True)
    return template(made, ["<s>"], ["</s>"])


def charsmap():
    """The nmt_nfkc map that SentencePiece puts into its models."""
    from sentencepiece import sentencepiece_model_pb2 as proto

    spec = proto.ModelProto.FromString(sentencepiece_model(
        "unigram", normalization_rule_name="nmt_nfkc", byte_fallback=False))
    return spec.normalizer_spec.precompiled_charsmap


def t5(precompiled=False):
    made = unigram(False)
    steps = [normalizers.Precompiled(charsmap())] if precompiled else [normalizers.NFKC()]
    made.normalizer = normalizers.Sequence(
        steps + [normalizers.Strip(left=False, right=True),
                 normalizers.Replace(Regex(" {2,}"), SPACE)])
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    return template(made, (), ["</s>"])


def t5_map():
    return t5(True)


# ---- folders without tokenizer.json -----------------------------------------------------------


def opt():
    """vocab.json, merges.txt, and a BOS that tokenizer_config.json asks for."""
    made = byte_level_bpe([pre_tokenizers.ByteLevel(add_prefix_space=False)], ["</s>", "<pad>"])
    model = json.loads(made.to_str())["model"]
    vocab = {**model["vocab"], "</s>": made.token_to_id("</s>")}
    settings = {"bos_token": "</s>", "eos_token": {"content": "</s>", "lstrip": False},
                "unk_token": "</s>", "pad_token": "<pad>", "add_bos_token": True,
                "tokenizer_class": "GPT2Tokenizer"}
    return template(made, ["</s>"]), {
        "vocab.json": json.dumps(vocab, ensure_ascii=False),
        "merges.txt": "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"]),
        "added_tokens.json": json.dumps({"<pad>": made.token_to_id("<pad>")}),
        "tokenizer_config.json": json.dumps(settings)}


def model_bpe():
    """tokenizer.model as transformers 5 reads it for Llama."""
    model = sentencepiece_model("bpe", vocab_size=500, user_defined_symbols=["<think>", "<|im|>"])
    made = character_bpe(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False),
                         llama_decoder(True), model=model,
                         added=[AddedToken(t, normalized=False) for t in ("<think>", "<|im|>")])
    return made, {"tokenizer.model": model, "tokenizer_config.json": json.dumps(
        {"add_bos_token": True, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})}


def model_unigram():
    """Likewise for Unigram models, which have a character map of their own and drop spaces."""
    model = sentencepiece_model("unigram", normalization_rule_name="identity",
                                remove_extra_whitespaces=True)
    pieces = pieces_of(model)
    made = Tokenizer(models.Unigram([(p.piece, p.score) for p in pieces], unk_id=0,
                                    byte_fallback=True))
    made.add_special_tokens([AddedToken(t, normalized=False, special=True)
                             for t in ("<unk>", "<s>", "</s>")])
    made.normalizer = normalizers.Sequence([normalizers.Strip(left=False, right=True),
                                            normalizers.Replace(Regex(" {2,}"), SPACE)])
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.decoder = llama_decoder(True)
    return made, {"tokenizer.model": model, "tokenizer_config.json": json.dumps(
        {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})}


KINDS = {
    "gpt2": gpt2, "gpt-neox": gpt_neox, "llama3": llama3, "qwen2": qwen2, "olmo2": olmo2,
    "smollm3": smollm3, "starcoder2": starcoder2, "deepseek": deepseek, "falcon": falcon,
    "tiktoken": tiktoken, "bloom": bloom, "behaviours": behaviours, "llama2": llama2, "mistral": mistral,
    "phi3": phi3, "gemma": gemma, "unigram": unigram_bytes, "t5": t5, "t5-map": t5_map,
    "opt": opt, "model-bpe": model_bpe, "model-unigram": model_unigram,
}
TOO_LARGE = {"t5-map"}  # for the repository: the map alone has 240 KB

# ---- files ------------------------------------------------------------------------------------


def encode(made, string, special, around=False):
    made.encode_special_tokens = not special
    return made.encode(string.decode("utf-8", "replace"), add_special_tokens=around).ids


def write_folder(folder, kind):
    """Writes the files of a kind; returns the tokenizer that they stand for."""
    made = kind()
    made, files = made if isinstance(made, tuple) else (
        made, {"tokenizer.json": made.to_str(pretty=False)})
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in {"config.json": '{"model_type": "llama"}\n', **files}.items():
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return made


def write_expected(folder, made, strings):
    data = bytearray()
    for i in range(0, N_EXPECTED, STRIDE):
        ids = encode(made, strings[i], i % (2 * STRIDE) == 0)
        data += text.varint(len(ids)) + b"".join(map(text.varint, ids))
        if i < N_DECODED:
            data += text.blob(made.decode(ids, skip_special_tokens=False).encode())
    (folder / "expected.ids").write_bytes(data)


# ---- comparison -------------------------------------------------------------------------------


def fields_of(name):
    """The members of a struct of quern.h, for ctypes."""
    header = (Path(__file__).resolve().parent.parent / "src" / "quern.h").read_text()
    body = re.search(r"struct %s \{(.*?)\n\};" % name, header, re.DOTALL)[1]
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
    kinds = {"int": ctypes.c_int, "bool": ctypes.c_bool}
    fields = []
    for member in filter(None, (m.strip() for m in body.split(";"))):
        if callback := re.match(r"\w+ \(\*(\w+)\)", member):
            fields.append((callback[1], ctypes.c_void_p))
            continue
        kind, names = re.match(r"(?:const )?(\w+) (.*)", member).groups()
        for field in names.split(","):
            pointer = "*" in field
            fields.append((field.strip(" *"), ctypes.c_char_p if kind == "char" else
                           ctypes.c_void_p if pointer else kinds[kind]))
    return fields


class Quern:
    """A vocabulary through the public interface."""

    class Options(ctypes.Structure):
        _fields_ = fields_of("quern_model_options")

    class Stream(ctypes.Structure):
        _fields_ = [("held", ctypes.c_char * 4), ("n_held", ctypes.c_int),
                    ("started", ctypes.c_bool)]

    class Error(ctypes.Structure):
        _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char * 512)]

    def __init__(self, library, folder):
        self.lib = ctypes.CDLL(library)
        self.model, self.err = ctypes.c_void_p(), self.Error()
        options = self.Options(vocab_only=True)
        if self.lib.quern_model_open(str(folder).encode(), ctypes.byref(options),
                                     ctypes.byref(self.model), ctypes.byref(self.err)):
            raise SystemExit(f"{folder}: {self.err.message.decode()}")

    def encode(self, string, flags):
        capacity = 4 * len(string) + 64
        ids, n = (ctypes.c_int32 * capacity)(), ctypes.c_size_t()
        if self.lib.quern_encode(self.model, string, ctypes.c_size_t(len(string)), flags, ids,
                                 ctypes.c_size_t(capacity), ctypes.byref(n),
                                 ctypes.byref(self.err)):
            return self.err.message.decode()
        return ids[: n.value]

    def decode(self, ids, special):
        stream, out, made = self.Stream(), ctypes.create_string_buffer(4096), b""
        for i in list(ids) + [-1]:
            n = self.lib.quern_text_next(ctypes.byref(stream), self.model, ctypes.c_int32(i),
                                         ctypes.c_bool(special), out, ctypes.c_size_t(4096))
            made += out.raw[:n]
        return made.decode()


def same_text(ours, theirs):
    """Of bytes that are no character, their decoder may make more than one U+FFFD."""
    return ours == theirs or "\ufffd" in theirs


def compare(name, made, quern, n, seed=7):
    differences = 0
    strings = text.make_strings(n, seed)
    for i, string in enumerate(strings):
        special, around = i % 2 == 0, i % 3 == 0
        theirs = encode(made, string, special, around)
        ours = quern.encode(string, around + 2 * special)
        if ours != theirs:
            differences += 1
            if differences <= 3:
                print(f"{name}: {string!r} special={special}\n  ours   {ours}\n  theirs {theirs}")
        elif i % 5 == 0:
            for skip in (True, False):
                a, b = quern.decode(ours, not skip), made.decode(theirs, skip_special_tokens=skip)
                if not same_text(a, b):
                    differences += 1
                    if differences <= 3:
                        print(f"{name}: {ours}\n  our text   {a!r}\n  their text {b!r}")
    print(f"{name}: {differences} of {n} differ")
    return differences


def read_strings():
    """The strings of ../strings.bin."""
    data, at = (text.OUT / "strings.bin").read_bytes(), 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    strings = []
    for _ in range(varint()):
        size = varint()
        strings.append(data[at : at + size])
        at += size
    return strings


def main():
    if len(sys.argv) > 3 and sys.argv[1] == "--compare-folder":
        made = Tokenizer.from_file(sys.argv[3] + "/tokenizer.json")
        n = int(sys.argv[4]) if len(sys.argv) > 4 else 10000
        return compare(sys.argv[3], made, Quern(sys.argv[2], sys.argv[3]), n) > 0
    if len(sys.argv) > 2 and sys.argv[1] == "--compare":
        n = int(sys.argv[3]) if len(sys.argv) > 3 else 10000
        total = 0
        for name in sys.argv[4:] or KINDS:
            with tempfile.TemporaryDirectory() as folder:
                made = write_folder(Path(folder), KINDS[name])
                total += compare(name, made, Quern(sys.argv[2], folder), n)
        return total > 0
    strings = read_strings()
    for name, kind in KINDS.items():
        if name in TOO_LARGE:
            continue
        made = write_folder(OUT / name, kind)
        write_expected(OUT / name, made, strings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
