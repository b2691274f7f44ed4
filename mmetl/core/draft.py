"""One task while its pipeline is planned: what the YAML says, what its transform declares, what was found of both."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from mmetl.cache.listing import is_glob
from mmetl.config.schema import TaskSpec
from mmetl.contracts.artifact import Fingerprint
from mmetl.contracts.plan import TaskNode
from mmetl.contracts.transform import Declaration, Transform
from mmetl.core.clashes import Writes


@dataclass
class Draft:
    """One task while it is planned.

    Attributes:
        inputs: alias -> task, or a family of tasks.
        families: alias -> the members, for those that are one.
        outside: what it keeps in a store of others (see core.outside).
        connection: where that is, as the recipe has it.
        related: `task.column` of a check -> the task.
    """

    spec: TaskSpec
    transform: Transform
    params: BaseModel
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

    @cached_property
    def params_json(self) -> dict[str, Any]:
        """The params with their defaults, as JSON values."""
        return self.params.model_dump(mode="json")

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
        paths = list(dict.fromkeys((*self.sources, *self.extra)))
        outside = self.declared.outside
        return TaskNode(
            name,
            recipe,
            self.tables,
            self.after,
            [p for p in paths if not is_glob(p)],
            [p for p in paths if is_glob(p)],
            [posixpath.normpath(p) for p in self.declared.optional],
            self.outputs,
            self.spec.always,
            self.spec.max_age,
            self.folder,
            self.declared.kept,
            self.outside,
            outside.probe_s if outside else 0.0,
        )
