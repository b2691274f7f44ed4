"""One task while its pipeline is planned: what the YAML says, what its transform declares, what was found of both."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmetl.cache.listing import is_glob
from mmetl.config.schema import Pipeline, TaskSpec
from mmetl.contracts.artifact import Fingerprint
from mmetl.contracts.plan import TaskDetail, TaskNode
from mmetl.contracts.transform import Declaration, Transform
from mmetl.core.planning.clashes import Writes
from mmetl.utils.hashing import to_json

MARK = "{secret:"
"""Begins a secret in a text."""


@dataclass
class Draft:
    """One task while it is planned.

    Attributes:
        params: with their defaults, as JSON values.
        inputs: alias -> task, or a family of tasks.
        families: alias -> the members, for those that are one.
        outside: what it keeps in a store of others (see core.outside).
        connection: where that is, as the recipe has it.
        related: `task.column` of a check -> the task.
    """

    spec: TaskSpec
    transform: Transform
    params: dict[str, Any]
    declared: Declaration
    inputs: dict[str, str]
    families: dict[str, list[str]]
    sources: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    folder: str = ""
    after: list[str] = field(default_factory=list)
    outside: str = ""
    connection: dict[str, Any] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)
    related: dict[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> tuple[str, ...]:
        """What is read, as paths and globs: by the transform, and by the YAML's `files`."""
        return (*self.sources, *self.extra)

    @property
    def tables(self) -> list[str]:
        """The tasks whose artifacts are read, in the order of their aliases, members of a family in theirs."""
        if not (self.inputs or self.related):
            return []
        read = [t for alias in sorted(self.inputs) for t in self.families.get(alias, [self.inputs[alias]])]
        return [*read, *(t for t in dict.fromkeys(self.related.values()) if t not in read)]

    @property
    def writes(self) -> Writes:
        """What it writes."""
        return Writes(self.outputs, self.folder)

    def node(self, name: str, recipe: Fingerprint) -> TaskNode:
        """Return what deciding needs of the task."""
        paths = list(dict.fromkeys(self.paths))
        globs = [p for p in paths if is_glob(p)]
        outside = self.declared.outside
        return TaskNode(
            name,
            recipe,
            self.tables,
            self.after,
            [p for p in paths if p not in globs] if globs else paths,
            globs,
            [posixpath.normpath(p) for p in self.declared.optional],
            self.outputs,
            self.spec.always,
            self.spec.max_age,
            self.folder,
            self.declared.kept,
            self.outside,
            outside.probe_s if outside else 0.0,
        )

    def pushed_to(self, drafts: Mapping[str, Draft]) -> str:
        """Return the engine that a task's query runs in, by the params of the tasks that it reads; empty for all other tasks."""
        query_engine = getattr(self.transform, "query_engine", None)
        if query_engine is None:
            return ""
        found: str = query_engine({a: drafts[task].params for a, task in self.inputs.items() if task in drafts})
        return found

    def values(self, pipeline: Pipeline, members: Iterable[str]) -> list[dict[str, Any]]:
        """Return the values that the members of a family stand for."""
        return [dict(pipeline.tasks[m].matrix) for m in members]

    def detail(
        self, pipeline: Pipeline, drafts: Mapping[str, Draft], recipe: str, missing: Sequence[str]
    ) -> TaskDetail:
        """Return what running the task needs.

        Args:
            pipeline: that it stands in.
            drafts: all tasks.
            recipe: its recipe as JSON, in which the params stand that the transform does not leave out.
            missing: packages that it needs and that are not installed.
        """
        spec, pushed = self.spec, self.pushed_to(drafts)
        return TaskDetail(
            transform=spec.transform,
            params=self.params,
            inputs={alias: task for alias, task in self.inputs.items() if alias not in self.families},
            families={a: list(zip(n, self.values(pipeline, n), strict=True)) for a, n in self.families.items()},
            sources=self.sources,
            functions=(*self.declared.functions, *(c.entry for c in spec.expect if c.entry)),
            imports=tuple(pipeline.imports),
            key=spec.key,
            notes=(*self.declared.notes, *([f"runs in {pushed}"] if pushed else [])),
            promise=self.declared.promise,
            cache=spec.cache,
            retries=spec.retries,
            timeout_s=spec.timeout_s,
            tags=spec.tags,
            description=spec.description or "",
            templated=MARK in recipe or bool(self.declared.recipe and MARK in to_json(self.params)),
            whole=self.whole,
            view=spec.materialize == "view",
            pool=spec.pool or "",
            pool_size=pipeline.pools.get(spec.pool or "", 0),
            matrix=spec.matrix,
            expect=[check.as_json() for check in spec.expect],
            related=self.related,
            counted=hasattr(self.transform, "estimate"),
            prepared=self.declared.prepared,
            filled=getattr(self.transform, "filled", False),
            selective=self.declared.selective,
            missing=missing,
        )
