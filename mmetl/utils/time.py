"""Clock readings, and durations as pipelines write them."""

from __future__ import annotations

import time

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def now_ms() -> int:
    """Return milliseconds since the Unix epoch, UTC."""
    return time.time_ns() // 1_000_000


def seconds_of(duration: str) -> float:
    """Return the seconds of a number with its unit: s, m, h, d or w.

    >>> seconds_of("1.5h")
    5400.0
    """
    return float(duration[:-1]) * _UNITS[duration[-1]]
