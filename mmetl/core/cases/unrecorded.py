"""A project that is read and planned, and whose state is neither read nor written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from mmetl.cache.fingerprints import FileCache
from mmetl.cache.plans import plan_key, relative
from mmetl.cache.store import Store
from mmetl.config.loader import Loaded, read_pipeline
from mmetl.contracts.plan import Plan, TaskDetail
from mmetl.core.planner import Planner
from mmetl.core.project import Project
from mmetl.core.settings import Settings, read_settings
from mmetl.utils.env import Env


class Pipeline(NamedTuple):
    """A pipeline, planned for some values of its variables."""

    loaded: Loaded
    plan: Plan
    details: Mapping[str, TaskDetail]


class Unrecorded(Project):
    """What `Project` is, without the store."""

    @cached_property
    def settings(self) -> Settings:
        """What `mmetl.yml` says, or the defaults."""
        return read_settings(self.file) if self.file else Settings()

    @property
    def store(self) -> Store:
        """Nothing here may ask for it."""
        raise AssertionError("a test asks for the state of the project")

    @cached_property
    def files(self) -> FileCache:
        """The files of the project; nothing is known of them before, or kept."""
        return FileCache(str(self.root), {})

    def plan(self, path: Path, variables: Mapping[str, str] | None = None) -> Plan:
        """Return the plan of a pipeline file. Raises ConfigError."""
        return self.pipeline(path, variables or {}).plan

    def details(self, plan: Plan, tasks: Iterable[str]) -> dict[str, TaskDetail]:
        """Return what running some tasks of a plan needs."""
        details = self._pipelines[plan.key].details
        return {task: details[task] for task in tasks}

    def pipeline(self, path: Path, variables: Mapping[str, str]) -> Pipeline:
        """Plan a pipeline file, once for the same values.

        Raises:
            ConfigError: with every problem of the file.
        """
        key = plan_key(relative(self.root, path), variables)
        if key not in self._pipelines:
            loaded = read_pipeline(path, root=self.root, variables=variables, env=self.env)
            made = Planner(loaded, self.root, Env(self.env), self.file).compile()
            self._pipelines[key] = Pipeline(loaded, Plan(key, made.pipeline, made.nodes), made.details)
        return self._pipelines[key]

    @cached_property
    def _pipelines(self) -> dict[str, Pipeline]:
        return {}


def as_option(value: object) -> str:
    """Return a variable's value as `--var` takes it: a text stays one, whatever it looks like.

    >>> as_option(True), as_option(3), as_option("3")
    ('true', '3', '"3"')
    """
    return json.dumps(value, ensure_ascii=False)
