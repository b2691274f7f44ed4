"""Texts tidied: one Unicode form, no invisible characters, white space in order, words that a line end cut made whole."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Form = Literal["NFC", "NFD", "NFKC", "NFKD", "none"]
WhiteSpace = Literal["lines", "all", "keep"]

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)
"""Without the joiners (U+200C, U+200D), which change how letters and emoji look."""
_SPACES = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_PUNCTUATION = {
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u2032"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u2033\xab\xbb"), '"'),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-"),
    0x2026: "...",
    **dict(enumerate(("ff", "fi", "fl", "ffi", "ffl", "st", "st"), 0xFB00)),
}
_CUT = re.compile(r"(?<![^\W\d_])([^\W\d_]{2,64})(?:([-\u2010])|\xad)\n[ \t]*([^\W\d_]{2,64})(?![\w-])([^\s\w]*)[ \t]*")
_WORDS = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


def without_invisible(text: str) -> str:
    r"""Return a text without control and other invisible characters; all line ends are `\n`.

    >>> without_invisible("a\u200bb\r\nc\x07")
    'ab\nc'
    """
    return _INVISIBLE.sub("", _LINE_ENDS.sub("\n", text))


def in_form(text: str, form: Form) -> str:
    """Return a text in a Unicode normalisation form (UAX 15)."""
    return text if form == "none" or text.isascii() else unicodedata.normalize(form, text)


def with_plain_punctuation(text: str) -> str:
    r"""Return a text with typographic quotes, dashes, ellipses and ligatures written in ASCII.

    >>> with_plain_punctuation("\u201c\ufb01ne\u201d \u2013 it\u2019s\u2026")
    '"fine" - it\'s...'
    """
    return text if text.isascii() else text.translate(_PUNCTUATION)


def with_white_space(text: str, how: WhiteSpace) -> str:
    r"""Return a text with white space in order.

    Args:
        text: with line ends `\n`.
        how: lines: none at the ends of lines and of the text, at most one blank line in a row, all spaces the plain one; all:
            also runs of it become one, and lines are not indented; keep: as it is.

    >>> with_white_space("  a\u00a0 b \n\n\n\nc\n", "lines"), with_white_space("  a  b\n", "all")
    ('  a  b\n\nc', 'a b')
    """
    if how == "keep":
        return text
    text = _SPACES.sub(" ", text)
    if how == "all":
        text = re.sub(r"^ ", "", re.sub(r"[ \t]+", " ", text), flags=re.MULTILINE)
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n")


def with_whole_words(text: str) -> str:
    r"""Return a text whose words are not cut in two at ends of lines; each stays on the line on which it begins.

    Whether the hyphen belongs to the word is told by the rest of the text: it stays if the word stands there with it and
    not without.

    >>> with_whole_words("an exam-\nple of well-\nknown words, well-known ones")
    'an example\nof well-known\nwords, well-known ones'
    """
    if "-\n" not in text and "\xad\n" not in text and "\u2010\n" not in text:
        return text
    words = {word.lower() for word in _WORDS.findall(text)}

    def whole(found: re.Match[str]) -> str:
        first, hyphen, second, after = found.groups()
        if not second.islower():  # a name, or a word of its own: Marie-\nCurie, non-\nASCII
            return found[0] if hyphen else f"{first}{second}{after}\n"
        kept = hyphen and f"{first}-{second}".lower() in words and f"{first}{second}".lower() not in words
        return f"{first}{'-' if kept else ''}{second}{after}\n"

    return _CUT.sub(whole, text)
