"""What a worker process does for an item-wise transform: it finds it, and lets it compute the batches that it is sent."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from mmetl.core.registry import Registry

ENTRY = "mmetl.core.running.remote:compute"


def compute(setup: str, batch: bytes | str) -> Any:
    """Return what the items of a batch come to, as `mmetl.items.spread` packs it.

    Args:
        setup: JSON, the same for all batches of a task: the project, the modules to import, the transform, params, further inputs.
        batch: as Arrow writes it, or the path of a file with that.

    Raises:
        MmetlError: for what is no item's fault.
    """
    return _computing(setup)(batch)


@cache
def _computing(setup: str) -> Any:
    known = json.loads(setup)
    registry = Registry(Path(known["root"]))
    registry.add_modules(known["imports"])
    transform: Any = registry.get(known["transform"])
    return transform.outside(known)
