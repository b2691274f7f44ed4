"""What `mmetl.yml` says, kept in the store while its text is the same: a no-op must not pay for YAML and pydantic."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmetl.cache.store import Store
from mmetl.contracts.plan import NOTHING
from mmetl.utils.hashing import xxh3_hex

PIPELINES = ("*.yaml", "pipelines/*.yaml")
TESTS = ("mmetl_tests/*.yaml", "mmetl_tests/*.yml")
_ROOT = re.compile(r"""(?:^|[\s{,'"])root["']?\s*(?::|$)""", re.MULTILINE)  # in any way that YAML lets a key be written
_MOVING = re.compile(r"\$\{(?!secret:)|!include")  # what the text alone does not decide


class Settings(NamedTuple):
    """The settings of a project, checked; see `config.project_file.ProjectFile` for what each means."""

    root: str = "."
    pipelines: Sequence[str] = PIPELINES
    retention_days: float = 14
    retention_builds: int = 3
    memory_limit: str | None = None
    tests: Sequence[str] = TESTS
    connections: Mapping[str, Mapping[str, Any]] = NOTHING


def read_settings(path: Path) -> Settings:
    """Read a project file. Raises ConfigError."""
    from mmetl.config.loader import load_project

    said = load_project(path).project
    retention, connections = said.retention, {name: c.as_json() for name, c in said.connections.items()}
    return Settings(
        said.root, said.pipelines, retention.days, retention.builds, said.memory_limit, said.tests, connections
    )


def kept_settings(store: Store, path: Path) -> Settings:
    """Return what a project file says, from the store if its text is as it was; else read it, and keep that."""
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    key = xxh3_hex(text.encode(errors="surrogateescape"))
    found = store.rows("select body from settings where key = ?", (key,))
    if found:
        return Settings(*json.loads(found[0][0]))
    settings = read_settings(path)
    if not _MOVING.search(text):
        with store.transaction() as db:
            db.execute("delete from settings")
            db.execute("insert into settings values (?, ?)", (key, json.dumps(settings)))
    return settings


def names_root(path: Path) -> bool:
    """Tell, without parsing, whether a project file may name another root."""
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    return _ROOT.search(text) is not None or _MOVING.search(text) is not None
