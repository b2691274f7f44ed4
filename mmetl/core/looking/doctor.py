"""What an installation and a project are like, and what is wrong with them: what `mmetl doctor` prints."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from mmetl.cache.fingerprints import COARSE_TICK_NS, TICK_NS, hash_file
from mmetl.cache.layout import PARTS, REPLACED, STATE_DIR, UNFINISHED, part_path
from mmetl.cache.lock import RunLock, reading
from mmetl.cache.store import NETWORK_FILE_SYSTEMS, SCHEMA_VERSION, file_system
from mmetl.contracts.artifact import Manifest
from mmetl.core.extras import NOT_INSTALLED, extras, required, version
from mmetl.core.project import Project
from mmetl.errors import MmetlError

State = Literal["good", "missing", "bad"]
TIGHT_BYTES = 1_000_000_000  # free space below which a warning is due


class Finding(NamedTuple):
    """One thing that was looked at. `missing` is no harm as long as nobody needs it; `bad` is."""

    group: str
    name: str
    value: str
    state: State = "good"
    help: str = ""


def examine(project: Project, *, deep: bool = False) -> Iterator[Finding]:
    """Yield what there is to know; `deep` also hashes every part."""
    yield from _installation()
    yield from _disk(project)
    yield from _safely("state", "state file", lambda: list(_state(project)))
    yield from _safely("parts", "parts", lambda: list(_parts(project, deep=deep)))


def _safely(group: str, name: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what was found, or what kept us from looking."""
    try:
        return look()
    except MmetlError as e:
        return [Finding(group, name, e.what, "bad", e.help)]
    except (OSError, sqlite3.Error) as e:
        return [Finding(group, name, str(e), "bad")]


def _installation() -> Iterator[Finding]:
    yield Finding("installation", "mmetl", version("mmetl"))
    yield Finding("installation", "python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("installation", "system", f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs")
    yield Finding("installation", "sqlite", sqlite3.sqlite_version)
    for name in required():
        yield Finding("installation", name, version(name))
    for name, extra in extras().items():
        found = version(name)
        if found == NOT_INSTALLED:
            yield Finding(f"extra {extra}", name, found, "missing", f"pip install 'mmetl[{extra}]'")
        else:
            yield Finding(f"extra {extra}", name, found)


def _disk(project: Project) -> Iterator[Finding]:
    yield Finding("project", "root", str(project.root))
    folder = project.root / STATE_DIR
    there = folder if folder.exists() else project.root
    kind = file_system(there)
    if kind in NETWORK_FILE_SYSTEMS:
        yield Finding("disk", "file system", kind, "bad", f"make '{STATE_DIR}' a link to a folder on a local disk")
    else:
        yield Finding("disk", "file system", kind or "unknown")
    free = shutil.disk_usage(there).free
    tight = free < TIGHT_BYTES
    yield Finding(
        "disk", "free", _size(free), "bad" if tight else "good", "make room, or run: mmetl gc" if tight else ""
    )
    yield Finding(
        "disk",
        "tick of file times",
        f"{TICK_NS / 1e6:.0f} ms ({COARSE_TICK_NS / 1e9:.1f} s if times are whole seconds)",
    )


def _state(project: Project) -> Iterator[Finding]:
    store = project.store
    if not store.exists():
        yield Finding("state", "state file", "none: nothing ran here yet")
        return
    ((version,),) = store.rows("pragma user_version")
    size = sum(p.stat().st_size for p in store.folder.glob(f"{store.path.name}*"))
    yield Finding("state", "state file", f"{_size(size)}, schema {version} of {SCHEMA_VERSION}")
    problems = [text for (text,) in store.rows("pragma quick_check(5)") if text != "ok"]
    lost = "move the file away to start over: outputs and parts are kept, tasks run again"
    yield Finding(
        "state", "integrity", "; ".join(problems) or "ok", "bad" if problems else "good", lost if problems else ""
    )
    for table in ("tasks", "builds", "runs"):
        ((n,),) = store.rows(f"select count(*) from {table}")
        yield Finding("state", table, f"{n:,}")
    yield Finding("state", "run lock", "free" if RunLock(store.folder).is_free() else "held: a run is at work")


def _parts(project: Project, *, deep: bool) -> Iterator[Finding]:
    with reading(project.store.folder) if project.store.exists() else contextlib.nullcontext():
        files = list(_walk(project.root / PARTS))
        size = sum(e.stat().st_size for e in files)
        yield Finding("parts", "parts", f"{len(files):,}, {_size(size)}")
        users = _users(project)
        there = {e.name for e in files}
        for part, tasks in users.items():
            if part not in there:
                yield Finding("parts", "missing", f"{part} of {tasks}", "bad", "mmetl run makes it anew")
        if deep:
            damaged = [e for e in files if hash_file(e.path) != e.name]
            yield Finding("parts", "hashed", f"{len(files):,}, {len(damaged):,} damaged", "bad" if damaged else "good")
            for e in damaged:
                path, whose = part_path(e.name), users.get(e.name, "earlier builds")
                yield Finding("parts", "damaged", f"{path} of {whose}", "bad", f"rm {path}; mmetl run makes it anew")
    replaced = list(_walk(project.root / REPLACED))
    if replaced:
        said = f"{len(replaced):,}, {_size(sum(e.stat().st_size for e in replaced))}"
        yield Finding("parts", "replaced files", said, "good", "mmetl gc --replaced removes them")


def _walk(folder: Any) -> Iterator[os.DirEntry[str]]:
    """Yield the files below a folder; those being written are none yet."""
    if os.path.isdir(folder) and not os.fspath(folder).endswith(UNFINISHED):
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path)
            else:
                yield entry


def _users(project: Project) -> dict[str, str]:
    """Return part -> the tasks whose current table it belongs to. A written file may be without a copy (`cache: false`)."""
    sql = "select t.pipeline || ':' || t.task, m.body from tasks t join manifests m on m.fingerprint = t.manifest order by 1"
    users: dict[str, list[str]] = {}
    for task, body in project.store.rows(sql):
        manifest = Manifest.from_json(body)
        for part in manifest.parts if manifest.kind == "table" else ():
            users.setdefault(part.fingerprint, []).append(task)
    return {part: ", ".join(tasks) for part, tasks in users.items()}


def _size(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"
