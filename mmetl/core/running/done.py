"""What came of a task, before it is recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from mmetl.cache.trees import Tree
from mmetl.contracts.artifact import Fingerprint, Manifest
from mmetl.contracts.items import ItemIndex
from mmetl.utils.hashing import xxh3_hex

NONE: Mapping[str, Any] = MappingProxyType({})


class Done(NamedTuple):
    """What came of a task: its manifest, and whether it may be recorded as fresh."""

    outcome: Any
    manifest: Manifest
    digest: Fingerprint  # of the inputs, taken before the action
    inputs: Mapping[str, Fingerprint]
    quarantine: Manifest | None = None
    items: ItemIndex | None = None
    counts: Mapping[str, float] = NONE
    watermark: Any = None
    changed: tuple[str, ...] = ()
    warning: str = ""
    trees: Mapping[str, Tree] = NONE  # what its globs stood for

    def trees_json(self) -> str:
        """Return the trees as a record keeps them."""
        return json.dumps({glob: tree.to_json() for glob, tree in self.trees.items()}) if self.trees else "{}"

    def beside(self) -> tuple[tuple[Fingerprint, str], tuple[Fingerprint, str]]:
        """Return fingerprint and body of the quarantine and of the items; two empty texts where there are none."""
        bodies = (self.quarantine.to_json() if self.quarantine else "", self.items.to_json() if self.items else "")
        quarantine, items = ((xxh3_hex(b.encode()) if b else "", b) for b in bodies)
        return quarantine, items

    @property
    def all_counts(self) -> dict[str, float]:
        """Of items, and of rows that are set aside; items that are have been counted as failed."""
        failed = sum(u.failed for u in self.items.units) if self.items else 0
        aside = self.quarantine.rows - failed if self.quarantine else 0
        return {**self.counts, **({"quarantined": aside} if aside else {})}
