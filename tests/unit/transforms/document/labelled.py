"""Labelled texts in the repository, and how well something agrees with their labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

MARK = re.compile(r"«(\w+):(.*?)»", re.DOTALL)

Span = tuple[int, int, str]


class Agreement(NamedTuple):
    """How the found agree with the labelled: both as shares, and what was wrong."""

    precision: float
    recall: float
    wrong: list[str]
    missed: list[str]


def unmarked(line: str) -> tuple[str, list[Span]]:
    """Return a line without its marks, and the marked spans of the text."""
    line = line.replace("¦", "").replace("\\n", "\n")
    text, spans, at = "", [], 0
    for mark in MARK.finditer(line):
        text += line[at : mark.start()]
        spans.append((len(text), len(text) + len(mark[2]), mark[1]))
        text += mark[2]
        at = mark.end()
    return text + line[at:], spans


def labelled_lines(file: Path) -> list[tuple[str, list[Span]]]:
    """Return the lines of a file of labelled lines."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [unmarked(line) for line in lines if line and not line.startswith("#")]


def agreement(cases: Iterable[tuple[str, Iterable[Span], Iterable[Span]]]) -> dict[str, Agreement]:
    """Compare (text, labelled, found); a found span counts if place and kind are as labelled. Returns kind -> agreement."""
    right, missed, wrong = Counter[str](), dict[str, list[str]](), dict[str, list[str]]()
    for text, labelled, found in cases:
        expected, had = set(labelled), set(found)
        for _, _, kind in expected & had:
            right[kind] += 1
        for there, into in ((expected - had, missed), (had - expected, wrong)):
            for start, end, kind in sorted(there):
                into.setdefault(kind, []).append(f"{text[start:end]!r} in {text!r}")
    return {
        kind: Agreement(
            right[kind] / max(right[kind] + len(wrong.get(kind, [])), 1),
            right[kind] / max(right[kind] + len(missed.get(kind, [])), 1),
            wrong.get(kind, []),
            missed.get(kind, []),
        )
        for kind in sorted({*right, *missed, *wrong})
    }
