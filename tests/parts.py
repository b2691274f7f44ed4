"""The smallest store of parts, where no project is needed."""

from __future__ import annotations

import itertools
from pathlib import Path

import xxhash


class Parts:
    """Parts in one folder, named by their content."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.count = itertools.count()

    def temp(self, suffix: str = "") -> Path:
        return self.root / f"{next(self.count)}.tmp{suffix}"

    def adopt(self, temp: Path) -> tuple[str, int]:
        fingerprint = xxhash.xxh3_128_hexdigest(temp.read_bytes())
        return fingerprint, temp.rename(self.root / fingerprint).stat().st_size
