"""Lines that say nothing of a document: running heads and page numbers, lines that stand in many documents, lines by pattern."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

EDGE_LINES = 3  # of a page, at its top and at its bottom, in which running heads are looked for
FEWEST_PAGES = 3  # on which a line must stand
_NUMBER = re.compile(r"\d+")
_SPACE = re.compile(r"\s+")


def line_key(line: str) -> str:
    """Return what two lines have in common that are the same but for case and white space.

    >>> line_key("  Read   More ")
    'read more'
    """
    return _SPACE.sub(" ", line).strip().casefold()


def without_lines(text: str, known: Collection[str], patterns: Sequence[Callable[[str], Any]]) -> str:
    """Return a text without some lines; lines without a letter or digit (rules, fences of code) always stay.

    Args:
        text: with its lines.
        known: keys of lines to leave out.
        patterns: each tells of a line, without the space around it, whether it is to be left out.
    """
    if not known and not patterns:
        return text

    def stays(line: str) -> bool:
        words = line.strip()
        if not any(c.isalnum() for c in words):
            return True
        return line_key(line) not in known and not any(match(words) for match in patterns)

    return "\n".join(line for line in text.split("\n") if stays(line))


def without_running_heads(pages: Sequence[str], share: float) -> list[str]:
    """Return pages without the lines that stand at the top or at the bottom of many of them.

    A line counts as the same if its words are, or if they are but for one number that grows with the page. A heading of
    Markdown must be the same in all.

    Args:
        pages: of one document.
        share: of the pages on which such a line stands, at least.
    """
    seen: Counter[tuple[object, ...]] = Counter()
    for number, page in enumerate(pages):
        seen.update({name for _, names in _edges(page, number) for name in names})
    fewest = max(FEWEST_PAGES, share * len(pages))
    running = {name for name, pages_of in seen.items() if pages_of >= fewest}
    return [_without(page, number, running) for number, page in enumerate(pages)] if running else list(pages)


def _without(page: str, number: int, running: Collection[tuple[object, ...]]) -> str:
    dropped = {at for at, names in _edges(page, number) if any(name in running for name in names)}
    if not dropped:
        return page
    return "\n".join(line for at, line in enumerate(page.split("\n")) if at not in dropped)


def _edges(page: str, number: int) -> Iterator[tuple[int, list[tuple[object, ...]]]]:
    """Yield the place of each line at the top and the bottom of a page, and the names under which it is looked for."""
    lines = page.split("\n")
    written = [at for at, line in enumerate(lines) if any(c.isalnum() for c in line)]
    for side, places in (("top", written[:EDGE_LINES]), ("bottom", written[EDGE_LINES:][-EDGE_LINES:])):
        for at in places:
            key = line_key(lines[at])
            names: list[tuple[object, ...]] = [(side, key)]
            if not key.startswith("#"):
                numbers = list(_NUMBER.finditer(key))[:EDGE_LINES]
                names += [(side, key[: n.start()], key[n.end() :], int(n[0][:9]) - number) for n in numbers]
            yield at, names
