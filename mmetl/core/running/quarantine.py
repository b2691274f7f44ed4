"""The rows that tasks have set aside: how many, since when, why; whatever set them aside, and whatever their columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from mmetl.cache.artifacts import PartStore
from mmetl.cache.python_rows import python_rows
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.transform import Input, Table, View
from mmetl.core.project import Project
from mmetl.core.running.inputs import Inputs
from mmetl.utils.text import quote

ERROR = "_error"
"""The column of every such table that says why."""


class Aside(NamedTuple):
    """What one task has set aside.

    Attributes:
        run_id: the run that made or restored its artifact.
        manifest: the table of the rows.
    """

    pipeline: str
    task: str
    run_id: str
    manifest: Manifest


def all_aside(project: Project) -> list[Aside]:
    """Return what the tasks of all pipelines have set aside; reads only SQLite."""
    found = project.store.rows(
        "select t.pipeline, t.task, t.run_id, m.body from tasks t join manifests m on m.fingerprint = t.quarantine"
        " where t.quarantine <> '' order by 1, 2"
    )
    return [Aside(pipeline, task, run, Manifest.from_json(body)) for pipeline, task, run, body in found]


def commonest_error(project: Project, aside: Aside) -> tuple[str, int]:
    """Return the error that most of the rows have, and how many have it. Raises TaskError if a part is damaged."""
    from mmetl.cache.tables import read_table

    errors: Counter[str] = Counter()
    for batch in read_table(_table(project, aside), [ERROR]):
        errors.update(batch.column(0).to_pylist())
    error, rows = min(errors.items(), key=lambda found: (-found[1], found[0]))
    return error, rows


def rows_aside(project: Project, aside: Aside) -> Iterator[dict[str, Any]]:
    """Yield the rows, in their order. Raises TaskError if a part is damaged."""
    from mmetl.cache.tables import read_table

    for batch in read_table(_table(project, aside)):
        yield from python_rows(batch)


def with_aside(table: Input, aside: Input | None = None) -> Input:
    """Return a table with the rows that its checks have set aside, as it was before."""
    if aside is None:
        return table
    columns = ", ".join(quote(c.name) for c in table.manifest.columns)
    both = " union all ".join(f"select {columns} from {name}" for name in ("kept", "aside"))
    found = table.manifest
    manifest = Manifest("view", (), found.key, found.columns, found.buckets, sql=both)
    return View(table.task, manifest, {"kept": table, "aside": aside})


def _table(project: Project, aside: Aside) -> Table:
    found = Inputs(project.store, PartStore(project.files), project.root).find(aside.task, aside.manifest)
    assert isinstance(found, Table)
    return found
