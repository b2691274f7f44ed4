"""Headings of Markdown and reStructuredText: where they stand, how deep, what they say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

Markup = Literal["markdown", "rst", "none"]


class Heading(NamedTuple):
    """One heading.

    Attributes:
        start: offset of its first line (in reStructuredText that may be a line above the title).
        end: offset behind its last line.
        level: 1 is the outermost.
        title: its words, without the marks around them.
    """

    start: int
    end: int
    level: int
    title: str


# A line break first, in both: the search for a literal is ten times faster than that for a start of a line.
_MARKDOWN = re.compile(
    r"\n {0,3}(?:"
    r"(?P<fence>`{3,}|~{3,}).*"
    r"|(?P<marks>\#{1,6})(?:[ \t]+(?P<title>[^\n]*?))??(?:[ \t]+\#+)?[ \t]*\r?(?=\n|$)"
    r"|(?P<line>=+|-+)[ \t]*\r?(?=\n|$))"
)
_NO_TITLE = re.compile(r"(?:[-*+>|`~]|\d+[.)])")  # starts of lists, quotes, tables, code and rules
_RST = re.compile(r"\n([!-/:-@\[-`{-~])\1{2,}[ \t]*\r?(?=\n|$)")
_HARD_TO_MISTAKE = 4  # an underline of so many characters may be shorter than its title


def find_headings(text: str, markup: Markup) -> list[Heading]:
    """Return the headings of a text in the order in which they stand."""
    finders: dict[Markup, Callable[[str], Iterator[Heading]]] = {"markdown": _in_markdown, "rst": _in_rst}
    return list(finders[markup](text)) if markup in finders else []


def heading_paths(headings: Sequence[Heading]) -> list[tuple[str, ...]]:
    """Return, for each heading, the titles of those that it stands below and its own."""
    paths: list[tuple[str, ...]] = []
    above: list[Heading] = []
    for heading in headings:
        while above and above[-1].level >= heading.level:
            above.pop()
        above.append(heading)
        paths.append(tuple(h.title for h in above))
    return paths


class _Mark(NamedTuple):
    """A line that may mark a heading: where it starts and ends, and what its pattern found of it."""

    start: int
    end: int
    found: re.Match[str]


def _marks(pattern: re.Pattern[str], text: str) -> Iterator[_Mark]:
    """Yield the lines that match a pattern which begins with a line break.

    The first line is looked at by itself: a break put before the whole text would be a copy of it, which may be half a gigabyte.
    """
    line = text.find("\n")
    if first := pattern.match("\n" + (text if line < 0 else text[:line])):
        yield _Mark(0, first.end() - 1, first)
    for found in pattern.finditer(text):
        yield _Mark(found.start() + 1, found.end(), found)


def _in_markdown(text: str) -> Iterator[Heading]:
    fence = ""
    for mark, end, found in _marks(_MARKDOWN, text):
        if ticks := found["fence"]:
            if not fence:
                fence = ticks
            elif ticks.startswith(fence) and not found[0].strip().strip(fence[0]):
                fence = ""
        elif fence:
            continue
        elif marks := found["marks"]:
            yield Heading(mark, end, len(marks), (found["title"] or "").strip())
        else:
            start, title = _line_before(text, mark)
            if title.strip() and not _NO_TITLE.match(title.lstrip()) and _blank_before(text, start):
                yield Heading(start, end, 1 if found["line"][0] == "=" else 2, title.strip())


def _in_rst(text: str) -> Iterator[Heading]:
    levels: dict[tuple[str, bool], int] = {}
    over: _Mark | None = None
    for mark in _marks(_RST, text):
        underline = mark.found[0].strip()
        start, title = _line_before(text, mark.start)
        framed = over is not None and over.end + 1 == start and over.found[0].strip() == underline
        over, above = mark, over
        indented = title[:1] in (" ", "\t")
        if not _is_title(title, underline) or not (framed or (not indented and _blank_before(text, start))):
            continue
        level = levels.setdefault((mark.found[1], framed), len(levels) + 1)
        over = None
        yield Heading(above.start if framed and above else start, mark.end, level, title.strip())


def _is_title(title: str, underline: str) -> bool:
    words = title.strip()
    return any(c.isalnum() for c in words) and len(underline) >= min(len(words), _HARD_TO_MISTAKE)


def _line_before(text: str, offset: int) -> tuple[int, str]:
    """Return where the line before the one at `offset` starts, and the line."""
    if not offset:
        return 0, ""
    start = text.rfind("\n", 0, offset - 1) + 1
    return start, text[start : offset - 1].rstrip("\r")


def _blank_before(text: str, offset: int) -> bool:
    return not _line_before(text, offset)[1].strip()
