"""How far a SQLite read has got: the column's last value, what it may be, and where the next read begins."""

from __future__ import annotations

import datetime as dt
import sqlite3
from typing import Any

from mmetl.errors import TaskError
from mmetl.transforms.tabular.reading.read_params import Watermark
from mmetl.utils.text import quote

_KINDS = {"integer": "numbers", "real": "numbers", "text": "text", "blob": "bytes"}


def last_of(con: sqlite3.Connection, sql: str, mark: Watermark) -> Any:
    """Return the largest value of the column; None where all are null, or there is no row.

    Raises:
        TaskError: if the column cannot be a watermark, or the lookback is not of its kind.
    """
    # Apart from each other, each is one step in an index.
    first, last = (
        con.execute(f"select {end}({quote(mark.column)}) from ({sql})").fetchone()[0] for end in ("min", "max")
    )
    if last is None:
        return None
    # SQLite sorts numbers before text before bytes: of the smallest and the largest value nothing lies outside.
    (one, other) = con.execute("select typeof(?), typeof(?)", (first, last)).fetchone()
    if _KINDS[one] != _KINDS[other]:
        raise TaskError(
            f"column '{mark.column}' holds {_KINDS[one]} and {_KINDS[other]}, which have no common order",
            help=f"mend its values, or cast it in `query`: select *, cast({mark.column} as text) as mark from ...",
        )
    if isinstance(last, bytes):
        raise TaskError(f"column '{mark.column}' holds bytes and cannot be a watermark", help="read another column")
    start_of(last, mark)
    return last


def start_of(watermark: Any, mark: Watermark) -> Any:
    """Return the first value to read: the watermark less the lookback. Raises TaskError if it cannot be taken off."""
    seconds = mark.lookback_s
    if not isinstance(watermark, str):
        if seconds is None:
            return watermark - mark.lookback
        raise TaskError(
            f"the lookback {mark.lookback} is a time, and column '{mark.column}' holds numbers",
            help=f"write `lookback` as a number, in the unit of '{mark.column}'",
        )
    if seconds is None:
        if mark.lookback:
            raise TaskError(
                f"the lookback {mark.lookback} is a number, and column '{mark.column}' holds text",
                help="write `lookback` as a time, such as 1d, or leave it out",
            )
        return watermark
    try:
        # Cut to seconds and without a zone it sorts before every text of the same second.
        moment = dt.datetime.fromisoformat(watermark).replace(tzinfo=None) - dt.timedelta(seconds=seconds)
    except OverflowError:
        return ""  # before all text
    except ValueError:
        raise TaskError(
            f"the watermark '{watermark}' is not a time", help="set `lookback` to 0, or read another column"
        ) from None
    if len(watermark) == len("2024-01-01"):
        return moment.date().isoformat()
    return moment.isoformat(watermark[10], "seconds")
