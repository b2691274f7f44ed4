"""`graph.load`: a graph database is kept equal to a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.graph import KEY, OWN, is_graph
from mmetl.contracts.lineage import Trace, same_rows
from mmetl.contracts.target import Target
from mmetl.contracts.transform import Declaration, Job, Made, Outside, Scope, Table
from mmetl.engines.packages import require
from mmetl.errors import ParamError, TaskError
from mmetl.items.frugal import frugal
from mmetl.utils.time import seconds_of

if TYPE_CHECKING:
    from pathlib import Path

    from mmetl.contracts.graph import GraphStore


class LoadParams(BaseModel):
    """Params of `graph.load`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: Literal["ladybug", "neo4j"] = Field(
        "ladybug",
        description="ladybug: an embedded database (extra `graph`); neo4j: a part of a database of a server (extra `neo4j`)",
    )
    path: str = Field("", description="ladybug: a folder of its own, relative to the project")
    connection: str = Field("", description="neo4j: the name of a connection in `mmetl.yml`")
    probe: str = Field(
        "run",
        pattern=r"^(run|never|\d+(\.\d+)?[smhdw])$",
        description="neo4j: when the server is asked whether anybody has changed the graph: in each `run`, `never`, or when it was "
        "asked longer ago, such as `12h`",
    )


def open_graph(params: LoadParams, root: Path, **limits: Any) -> GraphStore:
    """Return the embedded database of a task, to load it or to ask it.

    Args:
        params: of the task.
        root: the project's folder.
        limits: threads, memory, on_cancel and declared, as in `LadybugGraph`.
    """
    from mmetl.engines.ladybug.graph import LadybugGraph

    return LadybugGraph(root / params.path, **limits)


def find_graph(
    params: LoadParams,
    root: Path,
    owner: str,
    connect: Callable[[str], Mapping[str, Any]],
    *,
    on_cancel: Callable[[Callable[[], None]], None] = lambda _stop: None,
    threads: int = 1,
) -> GraphStore:
    """Return the database that a task has loaded its graph into, to ask it.

    Args:
        params: of the task.
        root: the project's folder.
        owner: the task, `pipeline:task`.
        connect: returns a connection by its name, secrets resolved.
        on_cancel: registers what interrupts a query.
        threads: how many an embedded engine may use.
    """
    if params.target == "ladybug":
        return open_graph(params, root, threads=threads, on_cancel=on_cancel)
    require("neo4j", "neo4j")
    from mmetl.engines.neo4j.graph import Neo4jGraph

    return Neo4jGraph(connect(params.connection), owner, on_cancel=on_cancel)


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
        """Name the folder, or the store. Raises ParamError without exactly one input, and without what the target needs."""
        if len(scope.inputs) != 1:
            raise ParamError("'graph.load' needs one input: a graph", help="name a task in `inputs:`")
        other = "path" if params.target == "neo4j" else "connection"
        if getattr(params, other):
            raise ParamError(f"a target `{params.target}` has no `{other}`", help="leave it out", param=(other,))
        if params.target == "neo4j":
            if not params.connection:
                help_ = "set `connection` to the name of one in mmetl.yml"
                raise ParamError("'graph.load' needs a connection to the server", help=help_)
            outside = Outside(params.connection, "neo4j", _probe_s(params.probe))
            notes = (f"kept in {params.target}",)
            # When the server is asked decides nothing about what it holds.
            return Declaration(kept=True, needs=("neo4j",), outside=outside, recipe={"probe": ""}, notes=notes)
        if not params.path:
            raise ParamError("'graph.load' needs a folder for the database", help="set `path`, such as `path: graph/`")
        notes = (f"kept in {params.target}",)
        return Declaration(folder=params.path, kept=True, packages=("ladybug",), notes=notes)

    def lineage(self, _params: LoadParams, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield that nodes and edges are those of the input: see contracts.lineage."""
        return same_rows(inputs)

    def run(self, job: Job) -> Made:
        """Bring the database up to date. Raises TaskError for an input that is no graph, and for a folder of others."""
        frugal()
        extra, package = ("neo4j", "neo4j") if job.params.target == "neo4j" else ("graph", "ladybug")
        require(extra, "pyarrow", package)
        from mmetl.items.keeping import keep_equal, keyed_input

        table = keyed_input(job, "nodes and edges")
        manifest = table.manifest
        refuse_others(table)
        target, said = _target(job, manifest)
        columns = [c.name for c in manifest.columns if c.name not in manifest.key]
        made_with = job.params.model_dump(exclude={"probe", "connection"})
        return keep_equal(job, target, table, columns, [made_with, self.version, said], named=False)


def _target(job: Job, manifest: Manifest) -> tuple[Target, Any]:
    """Return the target of a task, and what of the graph decides how it looks even where there are no rows."""
    if job.params.target == "neo4j":
        from mmetl.engines.neo4j.graph import Neo4jGraph

        return Neo4jGraph(job.connection, job.name, on_cancel=job.on_cancel, log=job.log.write), None
    from mmetl.transforms.graph.declared import declared_by
    from mmetl.utils.memory import memory_bytes

    memory = memory_bytes(job.memory_limit) if job.memory_limit else None
    declared = declared_by(job, manifest.columns)
    limits = {"threads": job.threads, "memory": memory, "on_cancel": job.on_cancel, "declared": declared}
    said = sorted([*group, *sorted(properties)] for group, properties in declared.items())
    return open_graph(job.params, job.root, **limits), said


def _probe_s(text: str) -> float | None:
    """Return seconds after which the server is asked again; None: never."""
    if text in {"run", "never"}:
        return 0.0 if text == "run" else None
    return seconds_of(text)


LOAD = Load()
