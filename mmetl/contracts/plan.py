"""Frozen data of a compiled pipeline: what deciding needs of every task, as lean as 10,000 of them demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from mmetl.contracts.artifact import Fingerprint

NOTHING: Mapping[str, Any] = MappingProxyType({})


class TaskNode(NamedTuple):
    """One task of a plan, as far as deciding and ordering need it.

    Attributes:
        name: the task's short name.
        recipe: fingerprint of all that decides its output besides its inputs.
        tables: upstream tasks whose artifacts are inputs, in the order of their aliases.
        after: other upstream tasks: `depends_on`, and those that write a file which this one reads.
        files: paths read, relative to the project.
        globs: patterns read, relative to the project.
        optional: paths read where they exist; an empty file counts as none.
        outputs: paths written, relative to the project.
        folder: a folder that only this task writes into, with a slash at its end; which files is known when it has run.
        kept: whether an engine keeps what the task writes: the folder is seen as one thing, by its look (see cache.looks).
        outside: the store of others that the engine keeps it in instead: `kind://connection`.
        probe_s: seconds after which that store is asked again whether anybody has changed it; 0: in each run; None: never.
        always: run whenever asked, whatever is fresh.
        max_age_s: run again after so many seconds; None never.
    """

    name: str
    recipe: Fingerprint
    tables: Sequence[str] = ()
    after: Sequence[str] = ()
    files: Sequence[str] = ()
    globs: Sequence[str] = ()
    optional: Sequence[str] = ()
    outputs: Sequence[str] = ()
    always: bool = False
    max_age_s: float | None = None
    folder: str = ""
    kept: bool = False
    outside: str = ""
    probe_s: float | None = 0.0

    @property
    def place(self) -> str:
        """The name of what an engine keeps for the task, or of its folder."""
        return self.outside or self.folder


class Plan(NamedTuple):
    """A compiled pipeline. `tasks` is in topological order; `key` names the plan in the store."""

    key: str
    pipeline: str
    tasks: Mapping[str, TaskNode]

    @property
    def needs(self) -> dict[str, tuple[str, ...]]:
        """Task -> the tasks that it needs, for their data or for the order only."""
        return {name: (*node.tables, *node.after) for name, node in self.tasks.items()}


class TaskDetail(NamedTuple):
    """What running one task needs, kept apart from the node: only stale tasks pay for it.

    Attributes:
        transform: its registered name.
        params: validated params as JSON values; `${secret:NAME}` still unresolved.
        inputs: alias -> task.
        families: alias -> the members of a matrix, each with its values.
        sources: declared paths and globs that the transform reads (a part of the node's files and globs).
        functions: `module:qualname` of project functions that the transform calls.
        imports: project modules to import first, because they register transforms.
        notes: sentences for `dry-run`.
        templated: whether params hold `${secret:NAME}`, live or literal, to be resolved when the task runs.
        whole: file -> why all of its code counts, for `why`.
        view: `materialize: view`.
        pool: the pool that the task runs in; empty for none.
        pool_size: how many tasks that pool lets run at the same time.
        matrix: of a member of a family, the values that it stands for.
        expect: checks of the table, as the YAML has them.
        related: `task.column` of a check -> the task.
        counted: whether the transform can tell, before it runs, how many items it would compute.
        prepared: what the transform has found out of the params (see `Declaration`).
        filled: whether its globs have to stand for a file at least.
        selective: whether it keeps only some of the listed files (see `Declaration`).
        missing: packages of extras that it is sure to need and that were not installed when it was planned.
    """

    transform: str
    params: Mapping[str, Any]
    inputs: Mapping[str, str] = NOTHING
    families: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]] = NOTHING
    sources: Sequence[str] = ()
    functions: Sequence[str] = ()
    imports: Sequence[str] = ()
    key: Sequence[str] = ()
    notes: Sequence[str] = ()
    promise: str = "pure"
    cache: bool = True
    retries: int = 0
    timeout_s: float | None = None
    tags: Sequence[str] = ()
    description: str = ""
    templated: bool = False
    whole: Mapping[str, str] = NOTHING
    view: bool = False
    pool: str = ""
    pool_size: int = 0
    matrix: Mapping[str, Any] = NOTHING
    expect: Sequence[Mapping[str, Any]] = ()
    related: Mapping[str, str] = NOTHING
    counted: bool = False
    prepared: Sequence[Any] = ()
    filled: bool = False
    selective: bool = False
    missing: Sequence[str] = ()
