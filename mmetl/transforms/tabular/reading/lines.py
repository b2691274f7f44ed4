"""Lines of text files, none of them longer than a limit: a file without an end of line would fill the memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from mmetl.errors import TaskError, Where

LINE_BYTES = 16 << 20  # longest row: a document in a field may be of some megabytes; DuckDB's own limit is 2 MB
MEND_LONG = "look for an end of line that is missing"
SHOWN_LINE = 200
_DROPPED = 1 << 20


def lines_of(file: IO[str], limit: int = LINE_BYTES) -> Iterator[str]:
    """Yield the lines with their ends; of a line of more characters than the limit only so many, without an end."""
    read = file.readline
    while line := read(limit):
        yield line
        if len(line) == limit and is_cut(line, limit):
            while (rest := read(_DROPPED)) and rest[-1] not in "\r\n":
                pass


def is_cut(line: str, limit: int = LINE_BYTES) -> bool:
    """Tell whether a line of `lines_of` is only the beginning of one."""
    return len(line) == limit and line[-1] not in "\r\n"


def whole_lines(file: IO[str], name: str) -> Iterator[str]:
    """Yield the lines with their ends; `name` is what messages call the file. Raises TaskError for one that is too long."""
    for number, line in enumerate(lines_of(file), 1):
        if is_cut(line):
            what = f"this row is longer than {LINE_BYTES >> 20} MB"
            raise TaskError(what, Where(name, number, 1, line[:SHOWN_LINE]), MEND_LONG)
        yield line
