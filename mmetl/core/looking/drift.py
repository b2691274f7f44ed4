"""What others have changed since tasks wrote it: files and folders, by what is recorded, without a plan."""

from __future__ import annotations

import json
from typing import NamedTuple

from mmetl.cache.fingerprints import MISSING
from mmetl.cache.looks import look_of
from mmetl.core.keep import orphans
from mmetl.core.outside import is_outside
from mmetl.core.project import Project
from mmetl.core.reasons import Kind, Reason


class Drifted(NamedTuple):
    """An output that is not as its task left it."""

    pipeline: str
    task: str
    reason: Reason


def drifted(project: Project) -> list[Drifted]:
    """Return the outputs that are not as the last success of their tasks left them.

    Stores of others are not asked. A task at work, one that has to run anyway because it failed, and one that was cleaned or is gone
    from its YAML have no output that anybody relies on.
    """
    gone = set(orphans(project))
    rows = project.store.rows(
        "select pipeline, task, output_list from tasks where state = 'done' and manifest <> '' order by pipeline, task"
    )
    recorded = [(p, t, json.loads(listed or "{}")) for p, t, listed in rows if (p, t) not in gone]
    project.files.observe(path for _, _, outputs in recorded for path in outputs if not _is_folder(path))
    found = []
    for pipeline, task, outputs in recorded:
        for path, then in outputs.items():
            if is_outside(path):
                continue
            now = look_of(project.files.full(path)) if _is_folder(path) else project.files.seen[path]
            if now != then:
                kind: Kind = "output_missing" if now == MISSING else "output_changed"
                found.append(Drifted(pipeline, task, Reason(kind, path, then, now)))
    return found


def _is_folder(path: str) -> bool:
    """Tell whether an engine keeps what is there: all of a folder is seen as one thing."""
    return path.endswith("/") or is_outside(path)
