"""How much of the machine item-wise work takes."""

from __future__ import annotations

import os

from mmetl.engines.packages import require


def frugal() -> None:
    """Import numpy and Arrow, and let them take no more threads and memory than they need.

    A BLAS with a thread for each core costs an edit of one item a sixth of its time. Arrow's own allocator gives little back to
    the system: with it, small tables need twice the memory. What the environment says comes first.

    Raises:
        MissingError: if one of them is not installed.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported
    require("tabular", "numpy", "pyarrow")
    import pyarrow as pa

    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
        frugal_pool = "jemalloc" in pa.supported_memory_backends()
        pa.set_memory_pool(pa.jemalloc_memory_pool() if frugal_pool else pa.system_memory_pool())
