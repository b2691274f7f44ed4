"""Clock readings."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Return milliseconds since the Unix epoch, UTC."""
    return time.time_ns() // 1_000_000
