"""What a run was asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


class Retry(NamedTuple):
    """The run that is tried again.

    Attributes:
        tasks: those of it that came to no result, and those with items that failed.
        aside: those with items that failed.
    """

    run_id: str
    tasks: frozenset[str]
    aside: frozenset[str] = frozenset()


class RunOptions(NamedTuple):
    """What was asked for.

    Attributes:
        select: selectors; empty for all tasks.
        force: tasks named (or all) run whatever is fresh, and read neither index nor earlier items.
        jobs: tasks that may run at the same time.
        keep_going: go on with what does not need the failed task.
        variables: `--var` values.
        allow_shrink: tasks whose source may list fewer than half of what it listed before.
        exclude: selectors of tasks to leave out.
        max_tokens: how many tokens may be spent on paid services; None: as many as it takes.
        max_cost: what they may cost; None: whatever it is.
        retry: takes the place of `select` and `exclude`, which then only say what `force` is for.
    """

    select: Sequence[str] = ()
    force: bool = False
    jobs: int = 1
    keep_going: bool = False
    variables: Mapping[str, str] = NO_VARIABLES
    allow_shrink: frozenset[str] = frozenset()
    exclude: Sequence[str] = ()
    retry: Retry | None = None
    max_tokens: int | None = None
    max_cost: float | None = None

    def arguments(self) -> dict[str, Any]:
        """Return what the run record keeps of it, as JSON values; `recorded` reads them.

        Variables with names of secrets are kept by name only.
        """
        said: dict[str, Any] = {
            "select": list(self.select),
            "exclude": list(self.exclude),
            "force": self.force,
            "jobs": self.jobs,
            "keep_going": self.keep_going,
            "allow_shrink": sorted(self.allow_shrink),
            "retry_of": self.retry.run_id if self.retry else None,
        }
        kept = {k: v for k, v in said.items() if v}
        limits = {"max_tokens": self.max_tokens, "max_cost": self.max_cost}
        kept |= {k: v for k, v in limits.items() if v is not None}
        if self.variables:
            from mmetl.config.secrets import looks_secret

            kept["vars"] = sorted(self.variables)
            kept["values"] = {n: v for n, v in sorted(self.variables.items()) if not looks_secret(n)}
        return kept

    @classmethod
    def recorded(cls, arguments: Mapping[str, Any]) -> RunOptions:
        """Return the options of a recorded run, without the variables of which only the names were kept."""
        plain = cls()
        return cls(
            select=tuple(arguments.get("select", ())),
            force=arguments.get("force", False),
            jobs=arguments.get("jobs", plain.jobs),
            keep_going=arguments.get("keep_going", False),
            variables=arguments.get("values", NO_VARIABLES),
            allow_shrink=frozenset(arguments.get("allow_shrink", ())),
            exclude=tuple(arguments.get("exclude", ())),
            max_tokens=arguments.get("max_tokens"),
            max_cost=arguments.get("max_cost"),
        )
