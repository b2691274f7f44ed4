"""A bench on which one transform runs as the executor would run it: real files, real parts, no plan."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from parts import Parts

from mmetl.cache.arrow_types import arrow_schema
from mmetl.cache.tables import read_table
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.transform import Base, Declaration, Job, Made, Scope, Table
from mmetl.transforms.tabular.python import PYTHON

Content = str | bytes | Callable[[], str | bytes]


class Bench:
    """Runs transforms in a project folder."""

    def __init__(self, root: Path) -> None:
        self.root = root / "project"
        self.scratch = root / "scratch"
        self.parts = Parts(root / "parts")
        for folder in (self.root, self.scratch, self.parts.root):
            folder.mkdir()
        self.log = io.StringIO()
        self.watermark: Any = None

    def file(self, path: str, content: Content) -> Path:
        """Write a file. A function makes its content: what is large should not be there before it is needed."""
        if not isinstance(content, (str, bytes)):
            content = content()
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(content if isinstance(content, bytes) else content.encode())
        return full

    def declare(
        self,
        transform: Any,
        params: Mapping[str, Any],
        inputs: Mapping[str, str] | None = None,
        key: Sequence[str] = (),
        tasks: Sequence[str] = (),
    ) -> Declaration:
        scope = Scope("me", frozenset({"me", *tasks}), inputs or {}, tuple(key))
        return transform.declare(transform.params.model_validate(params), scope)

    def job(
        self,
        params: Any,
        declared: Declaration,
        inputs: Mapping[str, Table] | None = None,
        key: Sequence[str] = (),
        base: Base | None = None,
        threads: int = 2,
        functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> Job:
        sources = {s: sorted(self.root.glob(s)) or [self.root / s] for s in declared.sources}
        outputs = [self.root / o for o in declared.outputs]
        return Job(
            "p:me", params, inputs or {}, sources, outputs, tuple(key), base, functions or {},
            self.parts, self.root, str(self.scratch), self.log, threads=threads,
        )  # fmt: skip

    def run(
        self,
        transform: Any,
        params: Mapping[str, Any],
        inputs: Mapping[str, Table] | None = None,
        key: Sequence[str] = (),
        base: Base | None = None,
        threads: int = 2,
        functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> Table:
        model = transform.params.model_validate(params)
        scope_inputs = {alias: alias for alias in inputs or {}}
        scope = Scope("me", frozenset({"me", *scope_inputs}), scope_inputs, tuple(key))
        declared = transform.declare(model, scope)
        made = transform.run(self.job(model, declared, inputs, key, base, threads, functions))
        if made is None:
            return Table("me", Manifest("files"), ())
        return self.table_of(made, key)

    def table_of(self, made: Made, key: Sequence[str]) -> Table:
        self.watermark = made.watermark
        manifest = Manifest("table", made.parts, tuple(key), made.columns, made.buckets)
        return Table("me", manifest, tuple(self.parts.root / p.fingerprint for p in made.parts))

    def table(self, rows: pa.Table | dict[str, Any], key: Sequence[str] = ()) -> Table:
        """Make an input table of Arrow rows."""
        rows = rows if isinstance(rows, pa.Table) else pa.table(rows)

        def give() -> pa.Table:
            return rows

        return self.run(PYTHON, {"function": "m:give"}, key=key, functions={"m:give": give})

    def rows(self, table: Table) -> list[dict[str, Any]]:
        read = read_table(table).read_all()
        assert read.schema.equals(arrow_schema(table.manifest.columns))
        return read.to_pylist()
