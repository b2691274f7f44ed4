"""Where a long text is cut: windows over it, and in each the place that parts it best."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

Cut = Callable[[str, int, int], int]
"""From a text and the bounds of where a cut may lie to the cut. The upper bound is what it has to be at the latest."""
SEPARATORS = ("\n\n", "\n", ". ", " ")
PARAGRAPH = re.compile(r"\n[ \t\r]*\n\s*")
# A sentence ends where the next starts with no small letter, unless the word before the stop is an initial or one of these.
_ABBREVIATIONS = r"(?<!\b[A-Za-z])(?<!\b(?:Mr|Ms|Dr|St|vs|cf|pp|No|al))(?<!\b(?:Mrs|Vol|Fig|Sec|etc|e\.g|i\.e))"
SENTENCE = re.compile(rf"(?:[!?\u2026]|{_ABBREVIATIONS}\.)[\"'\u201d\u2019)\]]*\s+(?=[^\sa-z])|[\u3002\uff01\uff1f]\s*")
LINE = re.compile(r"\n")
SPACE = re.compile(r"\s+")
# One token is a CJK character, up to 16 letters or digits of a word, or another mark.
TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w{1,16}|[^\w\s]")
EARLIEST = 4
"""The part of a window before which it has no cut. The larger it is, the sooner cuts by content meet: with a half, one edited sentence made a fifth of a long text new."""
_SEEN = 32  # characters behind a cut that speak for it


class Window(NamedTuple):
    """A piece between two cuts.

    Attributes:
        start: where it starts, with what it repeats of the one before.
        new: where what it does not repeat starts.
        end: where it ends.
    """

    start: int
    new: int
    end: int


def behind(separators: Sequence[str]) -> Cut:
    """Return a cut by content behind one of the first separator that there is between the bounds."""
    return by_content(*(re.compile(re.escape(separator)) for separator in separators))


def by_content(*patterns: re.Pattern[str]) -> Cut:
    """Return a cut behind a match of the first pattern that has any between the bounds.

    Of many matches it is the one whose following text has the least checksum. So two walks over the same text that started at different
    places soon meet, and an edit at the top does not move every cut below it.
    """

    def cut(text: str, low: int, high: int) -> int:
        for pattern in patterns:
            ends = [m.end() for m in pattern.finditer(text, low, high)]
            if ends:
                return min(ends, key=lambda end: (crc32(text[end : end + _SEEN].encode("utf-8", "replace")), end))
        return high

    return cut


def windows(
    text: str,
    start: int,
    end: int,
    size: int,
    overlap: int,
    cut: Cut,
    *,
    resume: re.Pattern[str] | None = None,
) -> Iterator[Window]:
    """Cut a part of a text into windows of at most `size` characters.

    Args:
        text: the whole text.
        start: where the part starts.
        end: where it ends.
        size: the most characters of a window.
        overlap: how many characters of the one before a window repeats at most.
        cut: chooses the end of a window.
        resume: if given, what a window repeats starts behind a match of it, so that no word or sentence is torn.
    """
    new = start
    while new < end:
        high = min(start + size, end)
        stop = high if high == end else cut(text, max(start + size // EARLIEST, new), high)
        yield Window(start, new, stop)
        if stop >= end:
            return
        start, new = max(_resume(text, stop, overlap, resume), start + 1), stop


def token_windows(text: str, size: int, overlap: int, cut: Cut) -> Iterator[Window]:
    """Cut a text into windows of at most `size` tokens, of which each repeats at most `overlap` of the one before."""
    start = new = 0
    while new < len(text):
        tokens = [m.span() for m, _ in zip(TOKEN.finditer(text, start), range(size + 1), strict=False)]
        if len(tokens) <= size:
            yield Window(start, new, len(text))
            return
        # At least one token is new.
        stop = cut(text, tokens[max(size // EARLIEST - 1, overlap)][1], tokens[size][0])
        yield Window(start, new, stop)
        inside = [token for token in tokens if token[1] <= stop]
        start, new = (inside[-overlap][0] if overlap else stop), stop


def _resume(text: str, stop: int, overlap: int, pattern: re.Pattern[str] | None) -> int:
    if pattern is None or not overlap:
        return stop - overlap
    found = pattern.search(text, stop - overlap, stop)
    return found.end() if found else stop
