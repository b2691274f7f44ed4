"""What `mmetl.yml` may say: `ProjectFile`."""

from __future__ import annotations

import posixpath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from mmetl.config.connections import Neo4jConnection
from mmetl.config.schema import Name, Number, Strict, Text, expected, unique
from mmetl.utils.memory import MEMORY


def _inside(glob: str) -> str:
    if posixpath.normpath(glob).split("/", 1)[0] in {"..", ""}:
        raise expected("a path or glob inside of the project's root, relative to it")
    return glob


Globs = Annotated[tuple[Annotated[Text, AfterValidator(_inside)], ...], AfterValidator(unique)]


class Retention(Strict):
    """How long outputs that are no longer current are kept; what either rule keeps is kept.

    Attributes:
        days: builds that were used in so many days.
        builds: the last so many builds of every task, the current one included.
    """

    days: Annotated[float, Field(ge=0), Number] = 14
    builds: Annotated[int, Field(ge=1), Number] = 3


class ProjectFile(Strict):
    """The settings of a project.

    Attributes:
        version: of this format.
        name: for people; the folder's name where it is not given.
        root: the folder that all paths are relative to, relative to the file.
        pipelines: globs, relative to `root`, of the pipeline files. `mmetl.yml` itself is never one of them.
        tests: globs, relative to `root`, of the files of tests.
        memory_limit: for the queries of a run together, such as `8GB`; above it they spill to disk. None: 80 % of the machine's.
        connections: name -> a server outside the project, for tasks that name it.
        retention: what garbage collection keeps.
    """

    version: Annotated[Literal[1], Number]
    name: Text | None = None
    root: Text = "."
    pipelines: Globs = ("*.yaml", "pipelines/*.yaml")
    tests: Globs = ("mmetl_tests/*.yaml", "mmetl_tests/*.yml")
    memory_limit: Annotated[str, StringConstraints(pattern=MEMORY)] | None = None
    connections: dict[Name, Neo4jConnection] = {}  # noqa: RUF012  pydantic copies it
    retention: Retention = Retention()
