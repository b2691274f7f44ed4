"""What a worker process does for an item-wise transform: it finds it, and lets it compute the batches that it is sent."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from mmetl.core.registry import Registry

ENTRY = "mmetl.core.remote:compute"


def compute(setup: str, batch: bytes) -> Any:
    """Return what the items of a batch come to, as `mmetl.items.spread` packs it.

    Args:
        setup: JSON, the same for all batches of a task: the project, the modules to import, the transform, params, further inputs.
        batch: as Arrow writes it.

    Raises:
        MmetlError: for what is no item's fault.
    """
    return _computing(setup)(batch)


@cache
def _computing(setup: str) -> Any:
    known = json.loads(setup)
    root = Path(known["root"])
    registry = Registry(root)
    registry.add_modules(known["imports"])
    transform: Any = registry.get(known["transform"])
    return transform.outside(root, known["params"], known["inputs"])
