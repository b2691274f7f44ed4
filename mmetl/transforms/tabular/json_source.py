"""JSON: files of one object a line, and files that are an array of objects."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from pathlib import Path

from mmetl.contracts.transform import Job
from mmetl.engines.duckdb import file_list, literal, session
from mmetl.errors import TaskError

_START_BYTES = 4096
_FORMS = {True: "array", False: "newline_delimited"}
_NO_ROWS = re.compile(rb"\[\s*\]\s*")


def json_query(job: Job, shown: Mapping[Path, str], *, lines: bool) -> tuple[str, list[str]]:
    """Return the query over files whose columns are those of all objects of all files, and the columns.

    Args:
        job: the running task.
        shown: the files -> what messages call them.
        lines: whether an array is refused.
    """
    starts = {path: _start(path) for path in shown}
    full = {path: name for path, name in shown.items() if starts[path] and not _NO_ROWS.fullmatch(starts[path])}
    if not full:
        raise TaskError(f"{_listed(shown)} is empty, so its columns are not known", help="write at least one row")
    kinds = {starts[path].startswith(b"["): path for path in full}
    if lines and True in kinds:
        raise TaskError(f"'{shown[kinds[True]]}' is a JSON array, and not one object a line", help="set `format: json`")
    if len(kinds) > 1:
        raise TaskError(
            f"'{shown[kinds[True]]}' is a JSON array, and '{shown[kinds[False]]}' has one object a line",
            help="read files of one form by one task",
        )
    source = f"{file_list(full)}, format={literal(_FORMS[True in kinds])}, records=true, hive_partitioning=false"
    found = _types(job, full, source)
    types = ", ".join(f"{literal(name)}: {literal(type_)}" for name, type_ in found)
    return f"select * from read_json({source}, columns={{{types}}})", [name for name, _ in found]


def _types(job: Job, shown: Mapping[Path, str], source: str) -> list[tuple[str, str]]:
    """Return the columns of all rows of all files. On one thread: more could meet the columns in another order."""
    everything = "sample_size=-1, maximum_sample_files=2147483647, union_by_name=true"
    with session(job.scratch, files=shown, memory_limit=job.memory_limit, on_cancel=job.on_cancel) as db:
        try:
            return db.columns(f"select * from read_json({source}, {everything})")
        except TaskError as error:
            if "expected records" not in error.what:
                raise
            raise TaskError(
                f"not all rows of {_listed(shown)} are JSON objects",
                help="write an array of objects, or one object a line",
            ) from error


def _start(path: Path) -> bytes:
    """Return the first bytes of a file that mean something."""
    with path.open("rb") as file:
        return file.read(_START_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()


def _listed(shown: Mapping[Path, str]) -> str:
    return ", ".join(f"'{name}'" for name in list(shown.values())[:3])
