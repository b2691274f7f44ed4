"""A planned pipeline, before it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmetl.contracts.plan import TaskDetail, TaskNode


@dataclass(frozen=True)
class Compiled:
    """Nodes in topological order, and what each is made of.

    Attributes:
        nodes: task -> node.
        details: task -> what running it needs.
        recipes: recipe fingerprint -> its components as canonical JSON, for `why`.
        files: every file that decided how the plan looks, relative to the project or absolute.
        listings: folder -> fingerprint of the names of its Python files, of those that code may import by computed names.
        env: every environment variable that did, with the value found or None.
    """

    pipeline: str
    nodes: dict[str, TaskNode]
    details: dict[str, TaskDetail]
    recipes: dict[str, str]
    files: tuple[str, ...]
    listings: Mapping[str, str]
    env: Mapping[str, str | None]
