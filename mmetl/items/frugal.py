"""How much of the machine item-wise work takes."""

from __future__ import annotations

import os

from mmetl.engines.packages import require
from mmetl.utils.env import frugal_libraries
from mmetl.utils.memory import give_back, keep_freed


def frugal() -> None:
    """Import numpy and Arrow, and let them take no more threads and memory than they need (see utils.env); called as a task begins.

    Raises:
        MissingError: if one of them is not installed.
    """
    frugal_libraries()
    require("tabular", "numpy", "pyarrow")
    import pyarrow as pa

    if os.environ["ARROW_DEFAULT_MEMORY_POOL"] == "system":  # code that imported Arrow first has had its own choice
        pa.set_memory_pool(pa.system_memory_pool())
    give_back()
    keep_freed()
