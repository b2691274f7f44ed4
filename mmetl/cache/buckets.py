"""Buckets: how a keyed table is cut, by a hash that every engine can compute."""

from __future__ import annotations

import datetime as dt
import decimal
import hashlib
import math
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

SEPARATOR = "\x1f"  # between the key's columns, in the text that is hashed
NULL = "\x00"
MOST_BUCKETS = 4096
ITEM_BYTES = 1000
MOVED = 4  # times that the size must change before a table is cut again: edits around a boundary must not thrash


def bucket_count(size_bytes: int, previous: int | None = None) -> int:
    """Return the power of two nearest to the square root of the items, 1 to 4096.

    Args:
        size_bytes: size of the source; an item is taken as 1 kB.
        previous: the count in use. It stays unless the items have become 4 times more or fewer than it was cut for.
    """
    items = max(size_bytes / ITEM_BYTES, 1.0)
    if previous is not None and previous**2 / MOVED < items < previous**2 * MOVED:
        return previous
    return min(1 << round(math.log2(items) / 2), MOST_BUCKETS)


def bucket_of(values: Sequence[Any], buckets: int) -> int:
    """Return the bucket of a row with these key values, the same as `bucket_sql` computes."""
    text = SEPARATOR.join(key_text(v) for v in values)
    first = hashlib.md5(text.encode(), usedforsecurity=False).digest()[:4]
    return int.from_bytes(first, "big") % buckets


def buckets_of_texts(texts: Iterable[str], buckets: int) -> list[int]:
    """Return `bucket_of` of each text, where the key is one column of texts."""
    md5, number = hashlib.md5, int.from_bytes
    return [number(md5(text.encode(), usedforsecurity=False).digest()[:4], "big") % buckets for text in texts]


def bucket_sql(columns: Sequence[str], buckets: int) -> str:
    """Return the DuckDB expression of a row's bucket. The session's time zone must be UTC."""
    if buckets == 1:
        return "0::uinteger"
    texts = [f"""coalesce(cast("{c.replace('"', '""')}" as varchar), chr(0))""" for c in columns]
    return f"(('0x' || md5({' || chr(31) || '.join(texts)})[1:8])::uinteger % {buckets})::uinteger"


def key_text(value: Any) -> str:
    """Return the canonical text of a key value: what a SQL cast to text gives."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        utc = value.astimezone(dt.UTC) if value.tzinfo else value
        return _seconds(utc.replace(tzinfo=None).isoformat(" ", "microseconds")) + ("+00" if value.tzinfo else "")
    if isinstance(value, dt.time):
        return _seconds(value.isoformat("microseconds"))
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, str | int | dt.date | uuid.UUID):
        return str(value)
    raise TypeError(f"a {type(value).__name__} cannot be a key")


def _seconds(text: str) -> str:
    """Return a time without the zeros at the end of its fraction."""
    return text.rstrip("0").rstrip(".")
