"""Quoted fields over several lines: where they are, DuckDB has to read a CSV file in one piece, and cannot tell an open quote."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

PIECE_BYTES = 1 << 20  # DuckDB cuts a file into pieces of 8 MB; what is far smaller is surely one
_CLOSE = re.compile(r'(?:[^"]|"")*"(?!")')


class Quotes(NamedTuple):
    """What the quotes of a file are like.

    Attributes:
        span: whether a quoted field goes on in another line.
        open_at: the line in which a quote begins that nothing closes, and its text; None where all are closed.
    """

    span: bool = False
    open_at: tuple[int, str] | None = None


def quotes_of(lines: Iterable[str], delimiter: str) -> Quotes:
    r"""Follow the quotes through the lines of a file, which keep their ends.

    >>> quotes_of(['a,"x\\n', 'y",b\\n', '"z\\n'], ",")
    Quotes(span=True, open_at=(3, '"z'))
    """
    opens = re.compile(rf'(?:\A|{re.escape(delimiter)}) *"')
    span, opened = False, None
    for number, line in enumerate(lines, 1):
        count = line.count('"')
        if not count or (opened is None and count % 2 == 0):
            continue  # all that this line opens it closes
        if _is_open(line, opens, inside=opened is not None):
            opened, span = opened or (number, line.rstrip("\r\n")), True
        else:
            opened = None
    return Quotes(span, opened)


def _is_open(line: str, opens: re.Pattern[str], *, inside: bool) -> bool:
    """Tell whether a quoted field goes on after this line; `inside`: one goes on from the line before."""
    at = 0
    while True:
        if not inside:
            found = opens.search(line, at)
            if found is None:
                return False
            at = found.end()
        closed = _CLOSE.match(line, at)
        if closed is None:
            return True
        inside, at = False, closed.end()
