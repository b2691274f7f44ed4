"""JSON: files of one object a line, and files that are an array of objects."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmetl.contracts.transform import Job
from mmetl.engines.duckdb import Session, file_list, literal, session
from mmetl.errors import TaskError, Where
from mmetl.transforms.tabular.reading.folder_values import FolderValues
from mmetl.transforms.tabular.reading.json_types import columns_sql, true_types
from mmetl.transforms.tabular.reading.lines import MEND_LONG, SHOWN_LINE, is_cut, lines_of
from mmetl.transforms.tabular.reading.read_params import ReadParams
from mmetl.utils.text import quote

OBJECT_BYTES = 32 << 20  # DuckDB reads twice its `maximum_object_size`
ROOM_BYTES = OBJECT_BYTES - 1024  # what is surely read, behind whatever the buffer holds before it
_START_BYTES = 4096
_FORMS = {True: "array", False: "newline_delimited"}
_NO_MAP = "map_inference_threshold=-1"  # objects of many keys, few of which each of them has, are no maps
_NUMBERED = re.compile(r"(.+?)_?\d+")
_TWICE = re.compile(r'duplicate name "(.+?)" in struct', re.IGNORECASE)
_ALIKE = "write them alike: SQL cannot tell them apart"
_NO_ROWS = re.compile(rb"\[\s*\]\s*")


def json_query(
    job: Job, db: Session, shown: Mapping[Path, str], folders: FolderValues | None = None, *, lines: bool
) -> tuple[str, list[str]]:
    """Return the query over files whose columns are those of all objects of all files, and the columns.

    Args:
        job: the running task.
        db: the session that will read the files.
        shown: the files -> what messages call them.
        folders: the columns that their folders give them.
        lines: whether an array is refused.
    """
    full, array = refuse_forms(shown, lines=lines)
    options = f"format={literal(_FORMS[array])}, records=true, hive_partitioning=false"
    source = f"{file_list(full)}, {options}"
    guessed = _types(job, full, source)
    _refuse_names(db, [name for name, _ in guessed], full, array=array)
    as_json = {name for name, kind in job.params.types.items() if "JSON" in kind.upper()}
    held = true_types(db, source, guessed)
    found = [was if was[0] in as_json else now for was, now in zip(guessed, held, strict=True)]
    names = [name for name, _ in found]

    def rows(files: Iterable[Path]) -> str:
        return f"read_json({file_list(files)}, {options}, columns={columns_sql(found)})"

    if folders is None or not folders.columns:
        return f"select * from {rows(full)}", names
    paths = {name: path for path, name in full.items()}
    runs = (folders.added(run[0], rows(paths[n] for n in run), names) for run in folders.runs(list(paths)))
    return " union all ".join(f"select * from {run}" for run in runs), [*names, *folders.columns]


def declared(params: ReadParams, names: Sequence[str], source: str) -> str:
    """Return the query of columns, those with a declared type in that; `source` is what follows `from`."""
    casts = (f"cast({quote(n)} as {params.types[n]}) as {quote(n)}" if n in params.types else quote(n) for n in names)
    return f"select {', '.join(casts)} from {source}"


def refuse_forms(shown: Mapping[Path, str], *, lines: bool) -> tuple[dict[Path, str], bool]:
    """Return the files that have rows, and whether they are arrays. Raises TaskError for what cannot be read together."""
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
    return full, True in kinds


def _types(job: Job, shown: Mapping[Path, str], source: str) -> list[tuple[str, str]]:
    """Return the columns of all rows of all files. On one thread: more could meet the columns in another order."""
    everything = "sample_size=-1, maximum_sample_files=2147483647, union_by_name=true"
    with session(job.scratch, files=shown, memory_limit=job.memory_limit, on_cancel=job.on_cancel) as db:
        for options in (everything, f"{everything}, {_NO_MAP}"):
            try:
                return db.columns(f"select * from read_json({source}, {options})")
            except TaskError as error:
                if "maximum_object_size" in error.what:
                    raise _too_long(shown) from error
                if twice := _TWICE.match(error.what):
                    raise TaskError(
                        f"objects inside of those in {_listed(shown)} have keys that differ in case only, such as '{twice[1]}'",
                        help=_ALIKE,
                    ) from error
                if "expected records" not in error.what:
                    raise
                refused = error
    raise TaskError(
        f"not all rows of {_listed(shown)} are JSON objects", help="write an array of objects, or one object a line"
    ) from refused


def _refuse_names(db: Session, names: Sequence[str], shown: Mapping[Path, str], *, array: bool) -> None:
    """Raise TaskError for keys that DuckDB makes columns without any value: empty ones, and those that differ in case only.

    It gives such columns names of its own; only where one may be such are all keys looked at.
    """
    lower = {name.lower() for name in names}
    numbered = (_NUMBERED.fullmatch(name) for name in names)
    if not any(n and (n[1] == "C" or n[1].lower() in lower) for n in numbered):
        return
    objects = f"read_json_objects({file_list(shown)}, format={literal(_FORMS[array])}, hive_partitioning=false)"
    keys = sorted(key for (key,) in db.rows(f"select distinct unnest(json_keys(json)) from {objects}"))
    if "" in keys:
        raise TaskError(f"an object in {_listed(shown)} has an empty key", help="give it a name")
    seen: dict[str, str] = {}
    for key in keys:
        if seen.setdefault(key.lower(), key) != key:
            raise TaskError(
                f"objects in {_listed(shown)} have the keys '{seen[key.lower()]}' and '{key}': they differ in case only",
                help=_ALIKE,
            )


def _too_long(shown: Mapping[Path, str]) -> TaskError:
    """Return the error for an object that does not fit into DuckDB's buffer, at its line where it is on one."""
    what = f"this object is longer than {OBJECT_BYTES >> 20} MB"
    for path, name in shown.items():
        if _start(path).startswith(b"["):
            continue
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            for number, line in enumerate(lines_of(file, ROOM_BYTES), 1):
                if is_cut(line, ROOM_BYTES) or len(line.encode()) > ROOM_BYTES:
                    return TaskError(what, Where(name, number, 1, line[:SHOWN_LINE]), MEND_LONG)
    return TaskError(what, help="write smaller objects")


def _start(path: Path) -> bytes:
    """Return the first bytes of a file that mean something."""
    with path.open("rb") as file:
        return file.read(_START_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()


def _listed(shown: Mapping[Path, str]) -> str:
    return ", ".join(f"'{name}'" for name in list(shown.values())[:3])
