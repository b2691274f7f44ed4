"""Rows as people and programs read them: an aligned table, JSON objects, CSV."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmetl.cli.output import columns, count, say, say_json

CELL = 40  # characters of a value in a printed table
SHOWN = 100  # rows of a printed table, where nobody says how many
_QUOTED = frozenset('",\r\n')


def cell(value: Any, most: int = CELL) -> str:
    """Return a value as it is printed in a table: on one line, and cut where it has more than `most` characters."""
    text = "" if value is None else str(value).replace("\n", "\\n")
    return text if len(text) <= most else text[: most - 1] + "…"


def print_table(names: Sequence[str], rows: Iterator[Mapping[str, Any]], limit: int | None) -> None:
    """Print the first rows, aligned, and how many there are; all are counted only where that costs nothing."""
    most = SHOWN if limit is None else limit
    head = list(itertools.islice(rows, most))
    more = next(rows, None) is not None
    say(columns([names, *([cell(r[n]) for n in names] for r in head)], indent=""))
    say(f"the first {count(most, 'row')}; --limit shows more" if more else count(len(head), "row"))


def print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one object a row."""
    for row in rows:
        say_json(row)


def print_csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print CSV as `tabular.write` does: null is empty, an empty text is quoted, times are ISO 8601."""
    say(",".join(_csv(n) for n in names))
    for row in rows:
        sys.stdout.write(",".join([_csv(v) for v in row.values()]) + "\n")


def _csv(value: Any) -> str:
    """Return one field.

    >>> [_csv(v) for v in (None, "a, b", True, [1, None], b"x", 1.5)]
    ['', '"a, b"', 'true', '"[1, null]"', 'eA==', '1.5']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime | dt.date | dt.time):
        text = value.isoformat()
    elif isinstance(value, bytes):
        text = base64.b64encode(value).decode()
    elif isinstance(value, list | dict):
        text = json.dumps(value, ensure_ascii=False, default=str)
    else:
        text = str(value)
    return '"' + text.replace('"', '""') + '"' if not text or not _QUOTED.isdisjoint(text) else text
