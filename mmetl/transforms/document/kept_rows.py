"""The rows of a table that are no duplicates, or all rows with what they are duplicates of: part by part."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from mmetl.cache.arrow_types import arrow_schema
from mmetl.contracts.transform import Job, Table
from mmetl.items.beside import RowsBeside, key_type, named
from mmetl.transforms.document.duplicates import Duplicates
from mmetl.transforms.document.kept_texts import NOTHING


class Said(NamedTuple):
    """What is said of the rows of the input, in their order.

    Attributes:
        duplicates: of which row each is a duplicate.
        keys: the key of each row.
    """

    duplicates: Duplicates
    keys: pa.Table


def kept_rows(job: Job, table: Table, said: Said) -> RowsBeside:
    """Return what makes the parts of the table. Raises TaskError for a column that cannot be dropped or made."""
    there = said.duplicates.of != NOTHING
    if job.params.keep == "first":
        return RowsBeside(job, table, pa.table({}), job.params.drop, ~there)
    kind = key_type(arrow_schema(table.manifest.columns), table.manifest.key)
    made = {
        "duplicate_of": named(said.keys, pa.array(said.duplicates.of, pa.int64(), mask=~there), kind),
        "similarity": pa.array(said.duplicates.similarity, pa.float32(), mask=~there),
    }
    return RowsBeside(job, table, pa.table(made), job.params.drop)
