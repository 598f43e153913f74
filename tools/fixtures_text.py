#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/text: strings, small vocabularies, and the ids that Hugging Face's tokenizers
library gives for them. Run by hand; see tests/data/README.md.

usage: tools/fixtures_text.py

Format, little-endian, "varint" = LEB128:
    strings.bin           varint count, then per string varint size and bytes
    NAME.vocab            see write_vocab
    NAME.FAMILY.ids       see write_ids
"""

import io
import json
import random
import struct
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import trainers

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "text"

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
N_STRINGS = 3000  # strings in strings.bin
N_FULL = 400      # whose ids are stored; of the others a hash

# ---- what each family's tokenizer.json does before merging ------------------------------------

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+SHORT"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*SHORT"
    r"|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT4O = CASED.replace("SHORT", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?").replace("DIGITS", "{1,3}")
TEKKEN = CASED.replace("SHORT", "").replace("DIGITS", "")
DEEPSEEK3 = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
DEEPSEEK_HAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
# Inclusive ranges of code points.
DEEPSEEK_LETTER_RANGES = """
41-5A 61-7A B5-B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376-376 377-377
37B-37D 37F-37F 386-386 388-38A 38C-38C 38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5
13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D
1F20-1F45 1F48-1F4D 1F50-1F57 1F59-1F59 1F5B-1F5B 1F5D-1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC
1FBE-1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102-2102
2107-2107 210A-2113 2115-2115 2119-211D 2124-2124 2126-2126 2128-2128 212A-212D 212F-2134
2139-2139 213C-213F 2145-2149 214E-214E 2183-2183 2184-2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE
2CF2-2CF2 2CF3-2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06
FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2
118A0-118DF 1E900-1E943
"""
DEEPSEEK_LETTERS = r"\s?[" + "".join(
    "\\x{%s}-\\x{%s}" % tuple(pair.split("-")) for pair in DEEPSEEK_LETTER_RANGES.split()) + "]+"
DEEPSEEK_PUNCTUATION = (
    r"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+")


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated")


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def digits(individual):
    return pre_tokenizers.Digits(individual_digits=individual)


GPT2_RULES = [byte_level(True)]
DIGITS_GPT2_RULES = [digits(True), byte_level(True)]
RULES = {
    "gpt2": GPT2_RULES,
    "digits_gpt2": DIGITS_GPT2_RULES,
    "llama3": [split(LLAMA3), byte_level(False)],
    "qwen2": [split(QWEN2), byte_level(False)],
    "qwen35": [split(QWEN35), byte_level(False)],
    "gpt4o": [split(GPT4O), byte_level(False)],
    "tekken": [split(TEKKEN), byte_level(False)],
    "falcon": [pre_tokenizers.Punctuation("contiguous"), byte_level(True), digits(False),
               split("[0-9][0-9][0-9]")],
    "deepseek-llm": [split("[\r\n]"), split(DEEPSEEK_LETTERS), split(DEEPSEEK_PUNCTUATION),
                     split(r"\s+$"), split(DEEPSEEK_HAN), digits(True), byte_level(False)],
    "deepseek-coder": [split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"),
                       split(DEEPSEEK_HAN), digits(True), byte_level(False)],
    "deepseek-v3": [split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
                    split(DEEPSEEK3), byte_level(False)],
}
# Name in GGUF files: (rules, NFC first, ignore_merges). One name for each combination.
FAMILIES = {
    "gpt-2": ("gpt2", False, False),
    "gpt-neox": ("gpt2", True, False),
    "smollm": ("digits_gpt2", False, False),
    "command-r": ("digits_gpt2", True, False),
    "llama-bpe": ("llama3", False, True),
    "qwen2": ("qwen2", True, False),
    "qwen35": ("qwen35", True, False),
    "gpt-4o": ("gpt4o", False, False),
    "tekken": ("tekken", False, True),
    "falcon": ("falcon", False, False),
    "deepseek-llm": ("deepseek-llm", False, False),
    "deepseek-coder": ("deepseek-coder", False, False),
    "deepseek-v3": ("deepseek-v3", False, False),
}


class Vocabulary:
    """Plain data, as a GGUF file has it."""

    def __init__(self, model, tokens, kinds, merges=(), scores=None, unknown=-1):
        self.model, self.tokens, self.kinds = model, tokens, kinds
        self.merges, self.scores, self.unknown = list(merges), scores, unknown

    @classmethod
    def from_gguf(cls, path):
        import gguf

        fields = gguf.GGUFReader(str(path)).fields

        def value(key, default=None):
            field = fields.get("tokenizer.ggml." + key)
            return default if field is None else field.contents()

        model = value("model")
        tokens = value("tokens")
        return cls(model, tokens, value("token_type", [NORMAL] * len(tokens)),
                   [tuple(m.split(" ")) for m in value("merges", [])], value("scores"),
                   value("unknown_token_id", -1))

    def tokenizer(self, family):
        """Hugging Face's tokenizer of this vocabulary; family: a key of FAMILIES, for
        SentencePiece any."""
        vocab = {token: i for i, token in enumerate(self.tokens)}
        if self.model == "llama":
            from transformers.tokenization_utils_base import generate_merges

            made = Tokenizer(models.BPE(
                vocab=vocab, merges=generate_merges(vocab, dict(zip(self.tokens, self.scores))),
                unk_token=self.tokens[self.unknown], fuse_unk=True, byte_fallback=True))
            made.normalizer = normalizers.Sequence(
                [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        else:
            rules, nfc, ignore_merges = FAMILIES[family]
            made = Tokenizer(models.BPE(vocab=vocab, merges=self.merges,
                                        ignore_merges=ignore_merges))
            if nfc:
                made.normalizer = normalizers.NFC()
            made.pre_tokenizer = pre_tokenizers.Sequence(RULES[rules])
            made.decoder = decoders.ByteLevel()
        special = [t for i, (t, k) in enumerate(zip(self.tokens, self.kinds))
                   if k == CONTROL or (k == UNKNOWN and i == self.unknown)]
        added = [t for t, k in zip(self.tokens, self.kinds) if k == USER_DEFINED]
        made.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
        made.add_tokens([AddedToken(t, normalized=False, special=False) for t in added])
        return made


def trained(strings, rules, n_tokens, missing, special, added):
    """A byte-level vocabulary with merges learned from words as the rules cut them. missing: bytes
    that have no token."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(rules)
    trainer = trainers.BpeTrainer(vocab_size=n_tokens, show_progress=False, min_frequency=3,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator(strings, trainer)
    model = json.loads(made.to_str())["model"]
    gone = set(byte_level(False).pre_tokenize_str("".join(missing))[0][0]) if missing else set()
    tokens = [t for t, _ in sorted(model["vocab"].items(), key=lambda item: item[1])
              if not set(t) & gone]
    merges = [tuple(m) for m in model["merges"] if not set("".join(m)) & gone]
    kinds = [NORMAL] * len(tokens) + [CONTROL] * len(special) + [USER_DEFINED] * len(added)
    return Vocabulary("gpt2", tokens + special + added, kinds, merges)


def sentencepiece_vocabulary(strings, whole_words):
    """Pieces from SentencePiece's own trainer. whole_words: no piece goes on behind a space."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as proto

    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(strings), model_writer=file, model_type="bpe", vocab_size=1100,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        character_coverage=0.985, split_by_whitespace=whole_words, split_digits=whole_words,
        split_by_unicode_script=whole_words, allow_whitespace_only_pieces=True,
        user_defined_symbols=["<think>", "<|im|>"], num_threads=1, minloglevel=2)
    pieces = proto.ModelProto.FromString(file.getvalue()).pieces
    return Vocabulary("llama", [p.piece for p in pieces], [p.type for p in pieces], (),
                      [p.score for p in pieces], unknown=0)


# ---- strings ----------------------------------------------------------------------------------

SPACES = [chr(c) for c in (9, 10, 11, 12, 13, 32, 0x85, 0xA0, 0x1680, 0x2000, 0x2003, 0x2009,
                           0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)]
NEAR_SPACES = ["\u200b", "\u180e", "\u2060", "\ufeff", "\x1c", "\x00", "\x7f", "\xad"]
SENTENCES = [
    "The quick brown fox doesn't jump; it'll've leapt over 12345 lazy dogs by 10:30!",
    "I'M SURE THEY'RE RIGHT, YOU'VE SEEN IT, WE'LL GO, HE'D KNOW. It’s fine, isn’t it?",
    "Der schnelle braune Fuchs fraß fünf Äpfel für 3,50 € — „gut“.",
    "Привет, мир! Сколько будет 2+2? Это 4.",
    "東京は日本の首都です。カタカナとひらがな、漢字！１２３",
    "你好，世界。今天天气很好；我们去公园吧？",
    "안녕하세요 세계! 한국어 문장입니다. 2024년",
    "مرحبا بالعالم، كيف حالك؟ ١٢٣٤",
    "नमस\u094dत\u0947 द\u0941न\u093fय\u093e। १२३ क\u094dषत\u094dर\u093fय",
    "สว\u0e31สด\u0e35ชาวโลก ๑๒๓",
    "def f(x, y=1):\n    if x > 0x1F:\n\t\treturn {'a': [1, 22, 333], \"b\": y**2}  # ok\n\n\n",
    "for (int i = 0; i < n; ++i) {\r\n  printf(\"%d\\n\", a[i]);\r\n}\r\n\r\n",
    "https://example.com/a/b?q=1&r=%20#frag user@example.org /usr/lib/x86_64-linux-gnu/",
    "😀👨\u200d👩\u200d👧 🇫🇷 ❤\ufe0f 👍🏽",
    "e\u0301 a\u0308\u0323 o\u0323\u0302 \u1100\u1161\u11a8 "
    "क\u093c \u212b \u2126 \ufb01 ṩ s\u0323\u0307",
    "½ ² Ⅷ ① \u3007 12½3456 мир x²+y³ 1,234,567.89",
    "<|im_start|>user\nHello<|im_end|>\n<|endoftext|><|im|><|im_", "<think>a  b</think>\t\t\tx",
    "<s>a</s> <unk> <0x0A> <|endoftext|> <|begin_of_text|>[INST]", "\u2581\u2581a\u2581b \u2581",
    "He said:\u00a0«\u202fBonjour\u202f»\u2009—\u2009puis…   rien.   ", "",
]


def characters(rng):
    """A pool that makes borders likely."""
    pool = list("aaabcsStTrReEvVlLmMdD'''   \n\n\r\t0123459.,!?-/<>|_()\"#$%&*+=@[]\\^`{}~:;")
    pool += SPACES + NEAR_SPACES
    pool += list("ſ’éß\u0130ıǅʰª中文あアー가\u1100\u1161\u11a7\u11a8")
    pool += list("\u0301\u0308\u0323\u0338\u0345\u093c\u094dकا\u064b\u0e31\u20dd\u0903²½١Ⅷ\u3007１")
    pool += list("«—。！§×€→ࠀ\ud7ff😀\u200d\ufe0f🇦\U00011938\U00011935\U00011930")
    pool += list("\u0897\u1c89\ua7cb\U00011de0᙭؝⹃\U00016d63\U000105d2\u0307\ue000\uffff\U0010ffff�")
    return pool + [chr(rng.randrange(0xA0, 0x3100)) for _ in range(40)]


def scalar(rng):
    while True:
        c = rng.choice([rng.randrange(0x80), rng.randrange(0x3000), rng.randrange(0x20000),
                        rng.randrange(0x110000)])
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def systematic():
    """Every short form in every case, every white space beside others, runs of all lengths."""
    for short in ("s", "t", "re", "ve", "m", "ll", "d", "\u017f", "x", "r", "v", "l"):
        for form in sorted({short, short.upper(), short.capitalize()}):
            yield f"it'{form} a'{form}b '{form}"
    for a in SPACES + NEAR_SPACES:
        yield from (f"a{a}b", f"a {a}b", f"a{a} b{a}", f"{a}{a}\n{a}!{a}1")
    for n in list(range(1, 36)) + [63, 64, 65, 100, 129]:
        yield "a" + " " * n + "b"
        yield "x" * n + " "
        yield "7" * n
        yield "\n" * n + "\t" * n + "e\u0301" * n


def make_strings(n, seed):
    """Strings as bytes; every sixth is not UTF-8."""
    rng = random.Random(seed)
    made = [s.encode() for s in SENTENCES] + [s.encode() for s in systematic()]
    while len(made) < n:
        kind = rng.randrange(6)
        if kind <= 1:
            pool = characters(rng)
            text = "".join(rng.choice(pool) for _ in range(rng.randrange(1, 24)))
        elif kind == 2:
            text = "".join(scalar(rng) for _ in range(rng.randrange(1, 10)))
        elif kind == 3:
            words = rng.choice(SENTENCES).split(" ")
            start = rng.randrange(len(words))
            text = rng.choice(["", " "]) + " ".join(words[start : start + rng.randrange(1, 8)])
        elif kind == 4:
            a, b = rng.choice(SENTENCES), rng.choice(SENTENCES)
            text = a[rng.randrange(len(a) + 1) :][:20] + rng.choice(SPACES) + b[:15]
        data = b"" if kind == 5 else text.encode()
        if kind == 5:
            data = bytearray(rng.choice(SENTENCES).encode()[: rng.randrange(1, 30)])
            for _ in range(rng.randrange(1, 5)):
                data.insert(rng.randrange(len(data) + 1), rng.choice(
                    [0x80, 0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xA0, 0xF0, 0x90, 0xF4, 0xF5, 0xFF, 0xE2]))
        made.append(bytes(data))
    return made[:n]


def encode(tokenizer, string, special):
    tokenizer.encode_special_tokens = not special
    return tokenizer.encode(string.decode("utf-8", "replace"), add_special_tokens=False).ids


# ---- files ------------------------------------------------------------------------------------


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def blob(data):
    return varint(len(data)) + data


def write_vocab(path, vocabulary):
    """Byte 1 for SentencePiece, else 0; varint unknown + 1; varint count, then per token byte
    kind, blob, SentencePiece: float32 score; varint count, then per merge varint left, right."""
    spm = vocabulary.model == "llama"
    index = {token: i for i, token in enumerate(vocabulary.tokens)}
    data = bytearray([spm]) + varint(vocabulary.unknown + 1) + varint(len(vocabulary.tokens))
    for i, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.kinds)):
        data += bytes([kind]) + blob(token.encode())
        if spm:
            data += struct.pack("<f", vocabulary.scores[i])
    data += varint(len(vocabulary.merges))
    for left, right in vocabulary.merges:
        data += varint(index[left]) + varint(index[right])
    path.write_bytes(data)


def fnv1a(ids):
    value = 0x811C9DC5
    for byte in struct.pack(f"<{len(ids)}i", *ids):
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def write_ids(path, tokenizer, strings):
    """Per string, the odd ones with special tokens parsed: for the first N_FULL, varint count and
    varint ids; then varint count and uint32 FNV-1a of the ids as little-endian int32."""
    data = bytearray()
    for i, string in enumerate(strings):
        ids = encode(tokenizer, string, i % 2 == 1)
        data += varint(len(ids))
        data += b"".join(map(varint, ids)) if i < N_FULL else struct.pack("<I", fnv1a(ids))
    path.write_bytes(data)


SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im|>"]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    strings = make_strings(N_STRINGS, 1)
    texts = [s.decode("utf-8", "replace") for s in strings]
    # Merges that cross every border that a rule may draw: a border drawn wrongly shows in the ids.
    seamless = trained(texts, [byte_level(False)], 1800, [], SPECIAL, ["<think>", "\t\t\t"])
    # Without tokens for some bytes, with runs of spaces as tokens.
    sparse = trained(texts, [byte_level(True)], 900, ["\x04", "\x0b", "\x7f", "\u00ad"], SPECIAL,
                     [" " * n for n in range(24, 1, -1)])
    # SentencePiece wants a piece for nearly every character, so it learns from the tamer strings.
    known = set("".join(SENTENCES))
    lines = [line for text in texts for line in text.split("\n") if set(line) <= known]
    made = {
        "seamless": (seamless, FAMILIES),
        "sparse": (sparse, ["gpt-neox", "llama-bpe"]),
        "words": (sentencepiece_vocabulary(lines, True), ["spm"]),
        "phrases": (sentencepiece_vocabulary(lines, False), ["spm"]),
    }
    (OUT / "strings.bin").write_bytes(varint(len(strings)) + b"".join(map(blob, strings)))
    for name, (vocabulary, families) in made.items():
        write_vocab(OUT / f"{name}.vocab", vocabulary)
        for family in families:
            write_ids(OUT / f"{name}.{family}.ids", vocabulary.tokenizer(family), strings)


if __name__ == "__main__":
    main()
