"""The runs that are listed, and the logs that they left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmetl.cache.layout import LOGS
from mmetl.cache.lock import RunLock
from mmetl.cache.store import Store
from mmetl.observability.runs import Status


class Listed(NamedTuple):
    """One run, in short. `outcomes` counts its tasks, without those that were fresh; `ended_ms` as in `Run`."""

    id: str
    pipeline: str
    status: Status
    started_ms: int
    heartbeat_ms: int
    ended_ms: int | None
    arguments: Mapping[str, Any]
    outcomes: Mapping[str, int]

    @property
    def seconds(self) -> float:
        """How long it took, or was last known to be alive."""
        return ((self.ended_ms or self.heartbeat_ms) - self.started_ms) / 1000


def recent_runs(store: Store, limit: int) -> list[Listed]:
    """Return the latest runs, the newest first; a running one whose process is gone is `crashed`."""
    columns = "id, pipeline, status, started_ms, heartbeat_ms, ended_ms, arguments"
    rows = store.rows(f"select {columns} from runs order by started_ms desc, rowid desc limit ?", (limit,))
    counts: dict[str, dict[str, int]] = {}
    for run, outcome, n in store.rows("select run_id, outcome, count(*) from task_runs group by 1, 2 order by 2"):
        counts.setdefault(run, {})[outcome] = n
    dead = any(r[2] == "running" for r in rows) and RunLock(store.folder).is_free()
    found = []
    for id_, pipeline, status, started, heartbeat, ended, arguments in rows:
        now: Status = "crashed" if status == "running" and dead else status
        done = {o: n for o, n in counts.get(id_, {}).items() if o != "fresh"}
        found.append(Listed(id_, pipeline, now, started, heartbeat, ended, json.loads(arguments), done))
    return found


def logs_of(store: Store, run_id: str) -> dict[str, Path]:
    """Return `pipeline:task` -> log file, of the tasks of a run that wrote one."""
    folder = store.root / LOGS / run_id
    found = sorted(folder.glob("*.log")) if folder.is_dir() else []
    return {f.stem.replace(".", ":", 1): f for f in found}
