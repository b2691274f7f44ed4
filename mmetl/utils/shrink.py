"""When a source has become so much smaller that somebody should look before its output does."""

from __future__ import annotations

FLOOR = 20  # items: a smaller source may shrink as it likes, short of vanishing


def has_shrunk(before: int, now: int) -> bool:
    """Tell whether a source lists nothing where there was something, or under half of at least 20 items.

    >>> has_shrunk(1, 0), has_shrunk(19, 1), has_shrunk(20, 9), has_shrunk(20, 10)
    (True, False, True, False)
    """
    return (before > 0 and now == 0) or (before >= FLOOR and now * 2 < before)
