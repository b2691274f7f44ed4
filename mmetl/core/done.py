"""What came of a task, before it is recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmetl.cache.trees import Tree
from mmetl.contracts.artifact import Fingerprint, Manifest
from mmetl.contracts.items import ItemIndex


@dataclass(frozen=True)
class Done:
    """What came of a task: its manifest, and whether it may be recorded as fresh."""

    outcome: Any
    manifest: Manifest
    digest: Fingerprint  # of the inputs, taken before the action
    inputs: Mapping[str, Fingerprint]
    quarantine: Manifest | None = None
    items: ItemIndex | None = None
    counts: Mapping[str, float] = field(default_factory=dict)
    watermark: Any = None
    changed: tuple[str, ...] = ()
    warning: str = ""
    trees: Mapping[str, Tree] = field(default_factory=dict)  # what its globs stood for

    def trees_json(self) -> str:
        """Return the trees as a record keeps them."""
        return json.dumps({glob: tree.to_json() for glob, tree in self.trees.items()}) if self.trees else "{}"

    @property
    def all_counts(self) -> dict[str, float]:
        """Of items, and of rows that are set aside; items that are have been counted as failed."""
        failed = sum(u.failed for u in self.items.units) if self.items else 0
        aside = self.quarantine.rows - failed if self.quarantine else 0
        return {**self.counts, **({"quarantined": aside} if aside else {})}
