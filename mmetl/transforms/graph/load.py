"""`graph.load`: a graph database is kept equal to a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.graph import KEY, OWN, is_graph
from mmetl.contracts.transform import Declaration, Job, Made, Scope, Table
from mmetl.engines.packages import require
from mmetl.errors import ParamError, TaskError
from mmetl.items.frugal import frugal

if TYPE_CHECKING:
    from pathlib import Path

    from mmetl.contracts.graph import GraphStore


class LoadParams(BaseModel):
    """Params of `graph.load`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: Literal["ladybug"] = Field("ladybug", description="ladybug: an embedded database (extra `graph`)")
    path: str = Field("", description="ladybug: a folder of its own, relative to the project")


def open_graph(params: LoadParams, root: Path, **limits: Any) -> GraphStore:
    """Return the database of a task.

    Args:
        params: of the task.
        root: the project's folder.
        limits: threads, memory, on_cancel and declared, as in `LadybugGraph`.
    """
    from mmetl.engines.ladybug import LadybugGraph

    return LadybugGraph(root / params.path, **limits)


def refuse_others(table: Table, *, given: bool = False) -> None:
    """Raise TaskError for a table that is no graph; rows that are `given` by a test have no key."""
    if not is_graph(KEY if given else table.manifest.key, table.manifest.columns):
        raise TaskError(
            f"'{table.task}' is no graph",
            help=f"name a task that makes one, such as graph.build; a graph has the columns {', '.join(OWN)}",
        )


class Load:
    """See the module. Its table is that of its input: what the database holds, and what can be read of it, is one."""

    name = "graph.load"
    version = 1
    grain = "item: only nodes and edges that are new, changed or gone are written"
    params = LoadParams
    packages: tuple[str, ...] = ()
    code: tuple[str, ...] = ()

    def declare(self, params: LoadParams, scope: Scope) -> Declaration:
        """Name the folder. Raises ParamError without exactly one input, and without what the target needs."""
        if len(scope.inputs) != 1:
            raise ParamError("'graph.load' needs one input: a graph", help="name a task in `inputs:`")
        if not params.path:
            raise ParamError("'graph.load' needs a folder for the database", help="set `path`, such as `path: graph/`")
        notes = (f"kept in {params.target}",)
        return Declaration(folder=params.path, kept=True, packages=("ladybug",), notes=notes)

    def run(self, job: Job) -> Made:
        """Bring the database up to date. Raises TaskError for an input that is no graph, and for a folder of others."""
        frugal()
        require("graph", "pyarrow", "ladybug")
        from mmetl.items.keeping import keep_equal, keyed_input
        from mmetl.transforms.graph.declared import declared_by
        from mmetl.utils.memory import memory_bytes

        table = keyed_input(job, "nodes and edges")
        manifest, params = table.manifest, job.params
        refuse_others(table)
        memory = memory_bytes(job.memory_limit) if job.memory_limit else None
        declared = declared_by(job, manifest.columns)
        target = open_graph(
            params, job.root, threads=job.threads, memory=memory, on_cancel=job.on_cancel, declared=declared
        )
        columns = [c.name for c in manifest.columns if c.name not in manifest.key]
        said = sorted([*group, *sorted(properties)] for group, properties in declared.items())
        return keep_equal(job, target, table, columns, [params.model_dump(), self.version, said], named=False)


LOAD = Load()
