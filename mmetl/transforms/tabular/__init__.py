"""Tables: read from files, query with SQL, transform with Python, write to files."""

from __future__ import annotations

from mmetl.transforms.tabular.python import PYTHON
from mmetl.transforms.tabular.read import READ
from mmetl.transforms.tabular.sql import SQL
from mmetl.transforms.tabular.write import WRITE

__all__ = ["PYTHON", "READ", "SQL", "WRITE"]
