"""Frozen data about what tasks made: parts and manifests."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

Fingerprint = str
"""XXH3-128 of content, 32 lower-case hexadecimal digits."""

MANIFEST_FORMAT = 1

encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Part(NamedTuple):
    """One immutable file of an artifact.

    Attributes:
        fingerprint: of the part's bytes; also its name in the part store.
        rows: rows of a table part, 0 for a file.
        size_bytes: length of the part.
        bucket: which bucket of the key's hash it belongs to; 0 without a key. Pages of one bucket follow each other.
        path: for an output file, where it lies in the project; empty for a table part.
        executable: whether an output file has its user-execute bit set.
    """

    fingerprint: Fingerprint
    rows: int
    size_bytes: int
    bucket: int = 0
    path: str = ""
    executable: bool = False


class Column(NamedTuple):
    """One column: its name, its Arrow type as text (`int64`, `timestamp[us, tz=UTC]`), and whether it may be null."""

    name: str
    type: str
    nullable: bool = True


class Manifest(NamedTuple):
    """What an artifact consists of. Deterministic: no time, no absolute path, no name of a task.

    Attributes:
        kind: a table of Parquet parts, a view, which is a query in the place of parts, or output files kept as bytes.
        parts: in order; for a keyed table by bucket, then page.
        key: the columns that name a row; empty without a key.
        columns: the declared schema, in order; empty for files.
        buckets: how many buckets the key's hash is cut into (a power of two); 1 without a key.
        sql: the query of a view, in canonical form.
        inputs: what a view reads: alias and fingerprint of a manifest, sorted by alias.
    """

    kind: Literal["table", "view", "files"]
    parts: tuple[Part, ...] = ()
    key: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    buckets: int = 1
    sql: str = ""
    inputs: tuple[tuple[str, Fingerprint], ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all parts together."""
        return sum(p.rows for p in self.parts)

    @property
    def size_bytes(self) -> int:
        """Bytes of all parts together."""
        return sum(p.size_bytes for p in self.parts)

    @property
    def written(self) -> dict[str, Fingerprint]:
        """The output files: path -> fingerprint."""
        return {p.path: p.fingerprint for p in self.parts if p.path}

    @property
    def executable(self) -> frozenset[str]:
        """Those of them that can be executed."""
        return frozenset(p.path for p in self.parts if p.executable)

    def to_json(self) -> str:
        """Return the canonical text: the same manifest is always the same bytes."""
        body: dict[str, Any] = {"format": MANIFEST_FORMAT, "kind": self.kind}
        if self.kind == "table":
            body["key"] = self.key
            body["buckets"] = self.buckets
            body["schema"] = [[c.name, c.type, c.nullable] for c in self.columns]
            body["parts"] = [[p.bucket, p.fingerprint, p.rows, p.size_bytes] for p in self.parts]
        elif self.kind == "view":
            body["schema"] = [[c.name, c.type, c.nullable] for c in self.columns]
            body["sql"] = self.sql
            body["inputs"] = self.inputs
        else:
            body["files"] = [[p.path, p.fingerprint, p.size_bytes, int(p.executable)] for p in self.parts]
        return encode(body) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read what `to_json` wrote. Raises ValueError for a format that this version does not know."""
        body = json.loads(text)
        if body.get("format") != MANIFEST_FORMAT:
            raise ValueError(f"manifest format {body.get('format')} is not {MANIFEST_FORMAT}")
        if body["kind"] == "table":
            parts = tuple(Part(fp, rows, size, bucket) for bucket, fp, rows, size in body["parts"])
            columns = tuple(Column(*c) for c in body["schema"])
            return cls("table", parts, tuple(body["key"]), columns, body["buckets"])
        if body["kind"] == "view":
            columns = tuple(Column(*c) for c in body["schema"])
            inputs = tuple((alias, fingerprint) for alias, fingerprint in body["inputs"])
            return cls("view", columns=columns, sql=body["sql"], inputs=inputs)
        return cls("files", tuple(Part(fp, 0, size, 0, path, bool(x)) for path, fp, size, x in body["files"]))
