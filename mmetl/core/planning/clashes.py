"""Tasks that write one file, or into each other's output folders. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mmetl.contracts.plan import Plan
from mmetl.errors import Problem, Where


class Writes(NamedTuple):
    """What one task writes: files, and a folder (with a slash at its end) into which nobody else may write."""

    outputs: Sequence[str]
    folder: str


class Clash(NamedTuple):
    """Two tasks that write one file, or the second of which has an output folder that the first one writes into.

    Attributes:
        path: the file, or the folder.
        one: a task.
        other: another one.
    """

    path: str
    one: str
    other: str

    @property
    def into(self) -> bool:
        """Whether it is about a folder."""
        return self.path.endswith("/")

    def problem(self, where: Where | None = None, prefix: str = "") -> Problem:
        """Return what is wrong."""
        what = f"{prefix}'{self.one}' and '{self.other}' both write {'into ' * self.into}'{self.path}'"
        return Problem(what, where, f"give each its own {'folder' if self.into else 'file'}")


def clashes(writers: Mapping[str, Writes]) -> Iterator[Clash]:
    """Yield who writes where another one does: each file once a task, each folder once."""
    first: dict[str, str] = {}
    for name, writes in writers.items():
        for path in writes.outputs:
            if first.setdefault(path, name) != name:
                yield Clash(path, first[path], name)
    folders = [(name, writes.folder) for name, writes in writers.items() if writes.folder]
    written = {p: name for name, writes in writers.items() for p in writes.outputs} if folders else {}
    for name, folder in folders:
        for path, other in written.items():
            if other != name and (path.startswith(folder) or folder.startswith(f"{path.rstrip('/')}/")):
                yield Clash(_folder(path, folder), other, name)
                break
        written.setdefault(folder, name)


def between(own: Mapping[str, Writes], others: Mapping[str, Writes]) -> list[tuple[str, Clash]]:
    """Return where tasks of two pipelines clash, each with the task of `own`."""
    found = [(c.other if c.other in own else c.one, c) for c in clashes({**others, **own})]
    return [(name, c) for name, c in found if (c.one in own) != (c.other in own)]


def own_path(writes: Writes, clash: Clash) -> str:
    """Return which of the outputs of a task, or its folder, a clash is about."""
    mine = [p for p in (writes.folder, *writes.outputs) if p]
    return next((p for p in mine if p.startswith(clash.path) or clash.path.startswith(p)), clash.path)


def writes_of(plan: Plan) -> dict[str, Writes]:
    """Return `pipeline:task` -> what it writes, of tasks that write files."""
    found = {f"{plan.pipeline}:{n}": Writes(node.outputs, node.folder) for n, node in plan.tasks.items()}
    return {name: writes for name, writes in found.items() if any(writes)}


def _folder(path: str, folder: str) -> str:
    """Return the outer one of two places; a file in whose place a folder would be is told as one."""
    outer = min(path, folder, key=len)
    return outer if outer.endswith("/") else f"{outer}/"
