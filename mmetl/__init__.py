"""mmETL: config-driven, incremental, multimodal ETL."""

import importlib
from typing import Any

__all__ = ["BusyError", "Items", "Project", "__version__", "register_transform"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: a run with nothing to do must not pay for it."""
    if name in {"BusyError", "Items"}:
        return getattr(importlib.import_module("mmetl.contracts.items"), name)
    if name == "register_transform":
        from mmetl.contracts.transform import register_transform

        return register_transform
    if name == "Project":
        return importlib.import_module("mmetl.api").Project
    raise AttributeError(f"module 'mmetl' has no attribute {name!r}")
