"""What a run was asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


class RunOptions(NamedTuple):
    """What was asked for.

    Attributes:
        select: names or `+name+`; empty for all tasks.
        force: tasks named (or all) run whatever is fresh, and read neither index nor earlier items.
        jobs: tasks that may run at the same time.
        keep_going: go on with what does not need the failed task.
        variables: `--var` values.
        allow_shrink: tasks whose source may list fewer than half of what it listed before.
    """

    select: Sequence[str] = ()
    force: bool = False
    jobs: int = 1
    keep_going: bool = False
    variables: Mapping[str, str] = NO_VARIABLES
    allow_shrink: frozenset[str] = frozenset()

    def arguments(self) -> dict[str, Any]:
        """Return what the run record keeps of it, as JSON values. Variables by name only: a value may be private."""
        said = {"select": list(self.select), "force": self.force, "jobs": self.jobs, "keep_going": self.keep_going}
        return {k: v for k, v in said.items() if v} | ({"vars": sorted(self.variables)} if self.variables else {})
