"""Amounts of memory: as people write them, and what the machine has."""

from __future__ import annotations

import contextlib
import os
import re

MEMORY = r"^\d+(\.\d+)? ?([KMGT]i?)?B$"
"""How an amount is written, such as `2GB` or `512 MiB`."""

KEPT = (("MALLOC_MMAP_THRESHOLD_", -3, 32 << 20), ("MALLOC_TRIM_THRESHOLD_", -1, 128 << 20))
"""Variable of glibc, number of its option (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD), bytes."""

ENGINE_SHARE = 0.8  # of the machine's memory, for all queries that run at the same time


def memory_bytes(text: str) -> int:
    """Return an amount in bytes; `KB` is 1000, `KiB` 1024. Raises ValueError for what is none.

    >>> memory_bytes("1.5 KiB")
    1536
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:([KMGT])(i?))?B", text)
    if found is None:
        raise ValueError(f"'{text}' is no amount of memory")
    number, prefix, binary = found.groups()
    step = 1024 if binary else 1000
    return int(float(number) * step ** (" KMGT".index(prefix) if prefix else 0))


def machine_bytes() -> int:
    """Return the memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def fair_share(limit: str | None, tasks: int) -> str:
    """Return the memory that each of several tasks may use, of a limit for all; None: four fifths of the machine's.

    >>> fair_share("8GB", 4)
    '2000000000B'
    """
    whole = memory_bytes(limit) if limit else int(machine_bytes() * ENGINE_SHARE)
    return f"{whole // max(1, tasks)}B"


def keep_freed() -> None:
    """Let the process keep what it frees until `give_back`, where that can be done (glibc), unless the environment says what is kept.

    By itself glibc soon gives large pieces back: arrays of a few texts on their way into vectors are 16 MB each, and the system clears
    their pages anew each time. That takes 5 % of the time that it takes to embed texts.
    """
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        for name, option, size_bytes in KEPT:
            if name not in os.environ:
                mallopt(option, size_bytes)


def give_back() -> None:
    """Return memory that is free to the system, where that can be done (glibc).

    What a task leaves lies in pieces between what stays: after vectors of 35,000 texts that is 44 MB.
    """
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
