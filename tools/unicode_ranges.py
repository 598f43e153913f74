#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/text/unicode_ranges.h: where Hugging Face's tokenizers and utf8proc 2.8 disagree.

Asks both about every code point. Run by hand when either moves to another Unicode version:
    pip install tokenizers==0.23.3; apt install libutf8proc2; tools/unicode_ranges.py
"""

import ctypes
import os
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

UTF8PROC = ctypes.CDLL("libutf8proc.so.2")
UTF8PROC.utf8proc_category_string.restype = ctypes.c_char_p
UTF8PROC.utf8proc_NFC.restype = ctypes.c_void_p
UTF8PROC.utf8proc_NFC.argtypes = [ctypes.c_char_p]
UTF8PROC.utf8proc_NFKD.restype = ctypes.c_void_p
UTF8PROC.utf8proc_NFKD.argtypes = [ctypes.c_char_p]
LIBC = ctypes.CDLL(None)
LIBC.free.argtypes = [ctypes.c_void_p]

POINTS = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]
CATEGORY = {c: UTF8PROC.utf8proc_category_string(c).decode() for c in POINTS}
CLASSES = [
    ("QN_CHAR_UPPER", r"[\p{Lu}\p{Lt}]", ("Lu", "Lt")),
    ("QN_CHAR_LOWER", r"\p{Ll}", ("Ll",)),
    ("QN_CHAR_UNCASED", r"[\p{Lm}\p{Lo}]", ("Lm", "Lo")),
    ("QN_CHAR_MARK", r"\p{M}", ("Mn", "Mc", "Me")),
    ("QN_CHAR_NUMBER", r"\p{N}", ("Nd", "Nl", "No")),
    ("QN_CHAR_PUNCTUATION", r"\p{P}", ("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po")),
    ("QN_CHAR_SYMBOL", r"\p{S}", ("Sm", "Sc", "Sk", "So")),
]
MARKS_TO_ORDER = (0x334, 0x94D, 0x5B0, 0x327, 0x323, 0x300, 0x345, 0x35C)


def matched(regex):
    """The code points that a character class of the tokenizers' regex engine holds."""
    splitter = pre_tokenizers.Split(Regex(regex), behavior="removed")
    found = set()
    for i in range(0, len(POINTS), 4096):
        part = POINTS[i : i + 4096]
        rest = "".join(piece for piece, _ in splitter.pre_tokenize_str("".join(map(chr, part))))
        found |= set(part) - set(map(ord, rest))
    return found


def isolated(splitter):
    """The code points that a pre-tokenizer cuts out of letters."""
    found = set()
    for i in range(0, len(POINTS), 4096):
        text = "a" + "a".join(map(chr, POINTS[i : i + 4096])) + "a"
        found |= {ord(p) for p, _ in splitter.pre_tokenize_str(text) if len(p) == 1 and p != "a"}
    return found


def utf8proc_nfc(text, form=UTF8PROC.utf8proc_NFC):
    pointer = form(text.encode())
    result = ctypes.string_at(pointer).decode()
    LIBC.free(pointer)
    return result


def composition_differs():
    """Characters that the tokenizers' older NFC neither reorders nor composes, utf8proc does."""
    nfc = normalizers.NFC().normalize_str
    found = set()
    for c in POINTS:
        for mark in MARKS_TO_ORDER:
            for text in ("a" + chr(c) + chr(mark), "a" + chr(mark) + chr(c)):
                if nfc(text) != utf8proc_nfc(text):
                    found.add(c)
        parts = unicodedata.normalize("NFD", chr(c))
        if parts != chr(c) and nfc(parts) != utf8proc_nfc(parts):
            found.add(ord(parts[-1]))
        if nfc("가" + chr(c)) != utf8proc_nfc("가" + chr(c)):
            found.add(c)
    return found


def decomposition_differs():
    """Characters that utf8proc decomposes and the tokenizers' older tables do not."""
    nfkd = normalizers.NFKD().normalize_str
    return {c for c in POINTS if nfkd(chr(c)) != utf8proc_nfc(chr(c), UTF8PROC.utf8proc_NFKD)}


def kept_marks():
    """Marks that StripAccents leaves."""
    strip = normalizers.StripAccents().normalize_str
    return {c for c in matched(r"\p{M}") if strip(chr(c)) != ""}


def once_marks():
    strip = normalizers.StripAccents().normalize_str
    return {c for c in set(POINTS) - matched(r"\p{M}") if strip(chr(c)) == ""}


def lower_differs():
    """Characters whose lower case utf8proc does not know: (character, lower case)."""
    lower = normalizers.Lowercase().normalize_str
    pairs = [(c, lower(chr(c))) for c in POINTS]
    return [(c, ord(low)) for c, low in pairs
            if len(low) == 1 and ord(low) != UTF8PROC.utf8proc_tolower(c)]


def ranges(points):
    out = []
    for c in sorted(points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def table(file, name, points, comment):
    file.write(f"\n/* {comment} */\nstatic const struct qn_range {name}[] = {{\n")
    for first, last in ranges(points):
        file.write(f"    {{0x{first:04X}, 0x{last:04X}}},\n")
    file.write("};\n")


def main():
    path = os.path.join(os.path.dirname(__file__), "..", "src", "text", "unicode_ranges.h")
    with open(path, "w", encoding="ascii") as file:
        file.write(
            "/* SPDX-License-Identifier: Apache-2.0\n *\n"
            " * Where the tokenizers library 0.23 (Unicode 16) and utf8proc 2.8 (15) differ;\n"
            " * written by tools/unicode_ranges.py.\n */\n"
            "#ifndef QN_TEXT_UNICODE_RANGES_H\n#define QN_TEXT_UNICODE_RANGES_H\n\n"
            '#include "text/unicode.h"\n\n'
            "/* Characters that utf8proc leaves unassigned, with their classes. */\n"
            "static const struct qn_class_range newer_characters[] = {\n"
        )
        newer = []
        for name, regex, categories in CLASSES:
            theirs = matched(regex)
            ours = {c for c in POINTS if CATEGORY[c] in categories}
            assert not ours - theirs, (name, ours - theirs)
            assert all(CATEGORY[c] == "Cn" for c in theirs - ours), name
            newer += [(first, last, name) for first, last in ranges(theirs - ours)]
        for first, last, name in sorted(newer):
            file.write(f"    {{0x{first:04X}, 0x{last:04X}, {name}}},\n")
        file.write("};\n")
        numbers = matched(r"\p{N}")
        digits = isolated(pre_tokenizers.Digits(individual_digits=True))
        assert numbers <= digits
        table(file, "newer_digits", digits - numbers,
              "Numbers of Unicode 17, which the Digits rule knows and patterns do not.")
        theirs = isolated(pre_tokenizers.Punctuation("isolated"))
        ascii_punctuation = {c for c in range(33, 127) if not chr(c).isalnum()}
        ours = matched(r"\p{P}") | ascii_punctuation
        table(file, "not_yet_punctuation", ours - theirs,
              "Punctuation younger than the Punctuation pre-tokenizer's tables.")
        table(file, "once_punctuation", theirs - ours,
              "What these tables still call punctuation.")
        table(file, "nfc_barriers", composition_differs(),
              "Characters that the tokenizers' NFC (Unicode 9) neither moves nor composes, while\n"
              "   utf8proc does; and U+11A7, which utf8proc 2.8 swallows.")
        table(file, "compatibility_barriers", decomposition_differs(),
              "Characters that utf8proc decomposes for NFKC and NFKD, the tokenizers do not.")
        table(file, "kept_marks", kept_marks(), "Marks that StripAccents leaves.")
        table(file, "once_marks", once_marks(), "What StripAccents still calls marks.")
        file.write("\n/* Lower cases that utf8proc does not know. */\n"
                   "static const int32_t newer_lower[][2] = {\n")
        for c, low in lower_differs():
            file.write(f"    {{0x{c:04X}, 0x{low:04X}}},\n")
        file.write("};\n")
        # Python 3.11 and PCRE2 10.42 both have Unicode 14.
        assert unicodedata.unidata_version == "14.0.0"
        file.write("\n/* Characters that PCRE2 10.42 leaves unassigned, with their classes. */\n"
                   "static const struct qn_class_range after_pcre2[] = {\n")
        later = []
        for name, regex, _ in CLASSES:
            later += [(first, last, name) for first, last in
                      ranges({c for c in matched(regex) if unicodedata.category(chr(c)) == "Cn"})]
        for first, last, name in sorted(later):
            file.write(f"    {{0x{first:04X}, 0x{last:04X}, {name}}},\n")
        file.write("};\n")
        file.write("\n#endif\n")


if __name__ == "__main__":
    main()
