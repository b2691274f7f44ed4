"""How much of the machine item-wise work takes."""

from __future__ import annotations

import os

from mmetl.engines.packages import require


def frugal() -> None:
    """Import numpy and Arrow, and let them take no more threads and memory than they need.

    A BLAS with a thread for each core costs an edit of one item a sixth of its time. Arrow's own allocators give little back:
    mimalloc makes small tables need twice the memory, and jemalloc keeps 70 MB after reading the texts of 5,000 documents. What
    the environment says comes first.

    Raises:
        MissingError: if one of them is not installed.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported
    require("tabular", "numpy", "pyarrow")
    import pyarrow as pa

    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
        pa.set_memory_pool(pa.system_memory_pool())
