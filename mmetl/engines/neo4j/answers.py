"""What Neo4j answers: rows whose types only their values tell, warnings, and what is wrong with a query, at its place."""

from __future__ import annotations

import datetime as dt
import itertools
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmetl.engines.cypher_text import where_of
from mmetl.engines.neo4j.text import PREFIX
from mmetl.errors import QueryError, TaskError

ROWS = 1000
"""Rows that are held at a time: as many as the driver fetches."""

LONGEST = 300
"""Characters of a message that are told."""

_AT = re.compile(r"\s*\(line (\d+), column (\d+) \(offset: \d+\)\).*", re.DOTALL)
_INVALID = re.compile(r"Invalid input '(?P<word>.*?)': expected (?P<expected>.*)", re.DOTALL)
_UNKNOWN = "UNRECOGNIZED"  # the class of notes about labels, types and properties that are nowhere in the database


class Neo4jAnswer:
    """See `Answer`. Which columns hold nodes, edges or paths is known when rows were read.

    Args:
        result: of the driver, in an open transaction.
    """

    def __init__(self, result: Any) -> None:
        self._result = result
        self.names: list[str] = list(result.keys())
        self.entities: list[str] = []

    def rows(self) -> Iterator[dict[str, Any]]:
        """See `Answer`."""
        for record in self._result:
            yield {name: _value(value) for name, value in zip(self.names, record, strict=True)}

    def table(self) -> pa.Table:
        """See `Answer`."""
        with tempfile.TemporaryFile() as file:
            schema = self._spool(file)
            return pa.Table.from_batches(_unspool(file, schema), schema)

    @contextmanager
    def stream(self, scratch: Path) -> Iterator[pa.RecordBatchReader]:
        """See `Answer`."""
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=scratch) as file:
            schema = self._spool(file)
            yield pa.RecordBatchReader.from_batches(schema, _unspool(file, schema))

    def warnings(self) -> list[str]:
        """See `Answer`."""
        found = self._result.consume().gql_status_objects
        return [s.status_description.removeprefix("warn: ") for s in found if s.raw_classification == _UNKNOWN]

    def _spool(self, file: Any) -> pa.Schema:
        """Write all rows into a file, in batches that each have the types of their own values; return the types that hold for all."""
        schema = pa.schema([(name, pa.null()) for name in self.names])
        records = iter(self._result)
        while rows := list(itertools.islice(records, ROWS)):
            columns = []
            for name, values in zip(self.names, zip(*rows, strict=True), strict=True):
                self._note_entities(name, values)
                columns.append(_array(name, [_value(v) for v in values]))
            batch = pa.record_batch(columns, names=self.names)
            schema = _unified(schema, batch.schema)
            with pa.ipc.new_stream(file, batch.schema) as writer:
                writer.write_batch(batch)
        return pa.schema([(f.name, _known(f.type)) for f in schema])

    def _note_entities(self, name: str, values: Any) -> None:
        if name not in self.entities and any(map(_has_entity, values)):
            self.entities.append(name)


def _unspool(file: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    end = file.tell()
    file.seek(0)
    while file.tell() < end:
        with pa.ipc.open_stream(file) as reader:
            batch = reader.read_next_batch()
            for _ in reader:
                pass  # to the mark of its end: the next one begins behind it
        columns = [
            c if c.type == f.type else pa.array(c.to_pylist(), f.type)
            for c, f in zip(batch.columns, schema, strict=True)
        ]
        yield pa.record_batch(columns, schema=schema)


def _array(name: str, values: list[Any]) -> pa.Array:
    try:
        found = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        kinds = sorted({type(v).__name__ for v in values if v is not None})
        raise _mixed(name, " and ".join(kinds) if len(kinds) > 1 else str(error)) from error
    if pa.types.is_timestamp(found.type) and len({v.tzinfo is None for v in values if v is not None}) > 1:
        raise _mixed(name, "times with and without a zone")
    return found


def _unified(first: pa.Schema, second: pa.Schema) -> pa.Schema:
    fields = []
    for a, b in zip(first, second, strict=True):
        try:
            fields.append(pa.unify_schemas([pa.schema([a]), pa.schema([b])], promote_options="permissive").field(0))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise _mixed(a.name, f"{a.type} and {b.type}") from error
    return pa.schema(fields)


def _mixed(name: str, kinds: str) -> TaskError:
    return TaskError(
        f"the column '{name}' holds values of several types: {kinds[:LONGEST]}",
        help=f"make them one type, such as toString({name}) or toFloat({name})",
    )


def _known(kind: pa.DataType) -> pa.DataType:
    """Return a type whose parts are all known: what has no value anywhere is text."""
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_known(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(kind.field(i).name, _known(kind.field(i).type)) for i in range(kind.num_fields)])
    return kind


# --- values


def _value(value: Any) -> Any:
    """Return a value of the driver as Python's own, or as plain data: see the reference of `graph.cypher`."""
    if value is None or isinstance(value, (str, int, float, bytes)):
        return value
    if isinstance(value, list):
        return [_value(v) for v in value]
    if isinstance(value, dict):
        return {k: _value(v) for k, v in value.items()}
    from neo4j import graph

    return _entity(value) if isinstance(value, (graph.Path, graph.Entity)) else _special(value)


def _special(value: Any) -> Any:
    """Return a point as plain data, a time as Python's own; one that Python has none for as text.

    Raises:
        TaskError: for a time that is out of Python's reach.
    """
    from neo4j import spatial, time

    if isinstance(value, spatial.Point):
        return {"srid": value.srid, **dict(zip("xyz", value, strict=False))}
    if isinstance(value, time.Duration) or (isinstance(value, time.Time) and value.tzinfo):
        return value.iso_format()
    try:
        native = value.to_native()
    except ValueError as error:
        raise TaskError(f"no column holds the time {value.iso_format()}", help="return toString(...) of it") from error
    aware = isinstance(native, dt.datetime) and native.tzinfo is not None
    return native.astimezone(dt.UTC) if aware else native


def _entity(value: Any) -> Mapping[str, Any]:
    """Return a node, an edge or a path without what says which tasks keep it."""
    if hasattr(value, "nodes") and hasattr(value, "relationships"):
        return {"nodes": [_value(n) for n in value.nodes], "edges": [_value(e) for e in value.relationships]}
    own = {k: _value(v) for k, v in sorted(value.items()) if not k.startswith(PREFIX)}
    labels = getattr(value, "labels", None)
    name = value.type if labels is None else ":".join(sorted(n for n in labels if not n.startswith(PREFIX)))
    return {"_label": name, **own}


def _has_entity(value: Any) -> bool:
    if value is None or isinstance(value, (str, int, float)):
        return False
    if isinstance(value, list):
        return any(map(_has_entity, value))
    if isinstance(value, dict):
        return any(map(_has_entity, value.values()))
    from neo4j import graph

    return isinstance(value, (graph.Entity, graph.Path))


# --- errors


def is_about_query(error: Any) -> bool:
    """Tell whether an error of the server is about what a query says, or about a value that it came to."""
    return str(error.code).startswith(("Neo.ClientError.Statement.", "Neo.ClientError.Procedure."))


def explain(error: Any, query: str) -> QueryError:
    """Turn an error of the server about a query into one at its place.

    Args:
        error: a `Neo4jError`.
        query: what the server was given.
    """
    message = str(error.message or error)
    at = _AT.search(message)
    what, help_, offset = " ".join(_AT.sub("", message).split())[:LONGEST], "", 0
    if at:
        lines = query.splitlines(keepends=True)
        offset = sum(map(len, lines[: int(at[1]) - 1])) + int(at[2]) - 1
    if invalid := _INVALID.match(message):
        expected = " ".join(_AT.sub("", invalid["expected"]).split())
        only = "" if "," in expected or " or " in expected else f": {expected} is expected"
        what = f"the query is wrong at '{invalid['word']}'{only}"
    if error.code == "Neo.ClientError.Statement.AccessMode":
        what = "the query would change the database"
        help_ = "a query only reads; `writes: true` in a graph.cypher task allows it"
    what = what[:1].lower() + what[1:] if what[:2].strip(" '`") != what[:2].upper() else what
    return QueryError(what, where_of(query, offset), help_, query, offset, ("query",))
