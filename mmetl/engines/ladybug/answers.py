"""What Ladybug answers: rows, and what is wrong with a query, at its place."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmetl.engines.cypher_text import place_of, where_of
from mmetl.errors import QueryError
from mmetl.utils.text import near

ROWS = 1000  # fetched at a time

_ENTITY = re.compile(r"\b(NODE|REL|RECURSIVE_REL|INTERNAL_ID)\b")
_KIND = re.compile(r"^\w+ exception: ", re.IGNORECASE)
_AT = re.compile(r"\(line: (\d+), offset: (\d+)\)")
_ONLY = re.compile(r" expecting (\w+|'[^']*') \(line:")
_NAMED = (
    re.compile(r"[Cc]annot find property (?P<b>\S+) for (?P<a>\w+)"),
    re.compile(r"Variable (?P<a>\S+) is not in scope"),
    re.compile(r"Table (?P<a>\S+) does not exist"),
    re.compile(r"[Ff]unction (?P<a>\S+) (?:does not exist|did not receive)"),
    re.compile(r"Cannot order by (?P<a>\w+)"),
)


class LadybugAnswer:
    """See `Answer`."""

    def __init__(self, result: Any) -> None:
        self._result = result
        self.names: list[str] = result.get_column_names()
        kinds = dict(zip(self.names, result.get_column_data_types(), strict=True))
        self.entities = [name for name, kind in kinds.items() if _ENTITY.search(kind)]

    def rows(self) -> Iterator[dict[str, Any]]:
        """See `Answer`."""
        while self._result.has_next():
            for row in self._result.get_n(ROWS):
                yield {
                    name: plain(value) if name in self.entities else value
                    for name, value in zip(self.names, row, strict=True)
                }

    def table(self) -> pa.Table:
        """See `Answer`."""
        if not self.entities:
            return self._result.get_as_arrow(fallbackExtensionTypes=True)
        values = list(self.rows())
        made = {}
        for name in self.names:
            column = [row[name] for row in values]
            if name in self.entities:
                column = [None if v is None else json.dumps(v, ensure_ascii=False, default=str) for v in column]
            made[name] = pa.array(column, pa.string() if name in self.entities else None)
        return pa.table(made)

    @contextmanager
    def stream(self, scratch: Path) -> Iterator[pa.RecordBatchReader]:  # noqa: ARG002  the engine holds its own rows
        """See `Answer`."""
        yield self.table().to_reader()

    def warnings(self) -> list[str]:
        """See `Answer`. A name that is nowhere is an error of this engine."""
        return []


def plain(value: Any) -> Any:
    """Return a node, an edge or a path without where the database keeps it, and without properties that it does not have."""
    if isinstance(value, list):
        return [plain(v) for v in value]
    if not isinstance(value, Mapping):
        return value
    if "_NODES" in value:
        return {"nodes": plain(value["_NODES"]), "edges": plain(value["_RELS"])}
    if "_LABEL" not in value:
        return {k: plain(v) for k, v in value.items()}
    own = {k: v for k, v in value.items() if v is not None and k not in {"_ID", "_SRC", "_DST", "_LABEL"}}
    return {"_label": value["_LABEL"], **own}


def explain(message: str, query: str, names: Collection[str] = ()) -> QueryError:
    """Turn a message of Ladybug into an error at its place in the query.

    Args:
        message: as Ladybug wrote it.
        query: what it was given.
        names: labels, types and properties that there are, to suggest one.
    """
    first, *more = message.splitlines() or [""]
    at = _AT.search(message)
    what, help_, offset = _KIND.sub("", first).rstrip(". ").replace(": expected rule oC_SingleQuery", ""), "", 0
    if at:
        lines = query.splitlines(keepends=True)
        offset = sum(map(len, lines[: int(at[1]) - 1])) + int(at[2])
        word = (re.compile(r"\w+|\S").search(query, offset) or [""])[0]
        only = _ONLY.search(first)  # one thing that could stand here; a list of all would fill the screen
        what = f"the query is wrong at '{word}'" + (f": {only[1]} is expected" if only else "")
    else:
        for pattern in _NAMED:
            found = pattern.search(message)
            if found:
                words = found.groupdict()
                wrong = words.get("b") or words["a"]
                offset = place_of(query, words["a"], ".", words["b"]) if "b" in words else place_of(query, words["a"])
                close = near(wrong, [n for n in names if n != wrong])
                help_ = f"did you mean '{close}'?" if close else ""
                break
    if "read-only database" in message:
        help_ = "a query only reads; `writes: true` in a graph.cypher task allows it"
    if not help_ and more and not at:
        help_ = "; ".join(line.strip() for line in more[:3] if line.strip())
    what = what[:1].lower() + what[1:] if not what.startswith(("'", "`")) else what
    return QueryError(what, where_of(query, offset), help_, query, offset, ("query",))
