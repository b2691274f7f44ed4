"""Output folders: a task writes files into them whose names are known only when it has run; only what changed is written."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmetl.cache.artifacts import PartStore, remove_if_ours, sync
from mmetl.cache.fingerprints import FileCache, hash_file
from mmetl.cache.layout import WRITING
from mmetl.contracts.artifact import Fingerprint, Manifest, Part
from mmetl.contracts.plan import TaskNode
from mmetl.core.facts import Facts
from mmetl.utils.hashing import xxh3_hex

SHOWN = 3


def publish(parts: PartStore, node: TaskNode, facts: Facts, made: Mapping[str, Path], *, cached: bool) -> Manifest:
    """Put the finished files of a task into its folder; return what it holds.

    Args:
        parts: where copies are kept.
        node: the task.
        facts: of its pipeline.
        made: path inside the folder -> finished temporary file.
        cached: whether copies are kept (`cache: true`).
    """
    temps = {node.folder + path: temp for path, temp in made.items()}
    if cached:
        files = []
        for path, temp in temps.items():
            fingerprint, size = parts.adopt(temp)
            files.append(Part(fingerprint, 0, size, 0, path))
        temps = {}
    else:
        files = [Part(hash_file(str(t)), 0, t.stat().st_size, 0, path) for path, t in temps.items()]
    manifest = Manifest("files", tuple(files))
    place(parts, node, facts, manifest, temps)
    return manifest


def place(
    parts: PartStore, node: TaskNode, facts: Facts, manifest: Manifest, temps: Mapping[str, Path] | None = None
) -> None:
    """Make a folder hold the files of a manifest: write those that differ, remove what the task wrote before and has no more.

    What is to be written is noted first, so that after a kill the next run knows these files for ours.
    """
    files, temps = facts.files, temps or {}
    before = written_before(node, facts)
    todo = [p for p in manifest.parts if files.again(p.path) != p.fingerprint]
    _note(files, node.folder, before, todo)
    for part in todo:
        if files.has(part.path) and files.seen[part.path] not in before.get(part.path, ()):
            parts.set_aside(part.path)
        if part.path in temps:
            parts.move_out(temps[part.path], part)
        else:
            parts.write_out(part)
    for temp in temps.values():
        temp.unlink(missing_ok=True)
    for part in manifest.parts:
        if part.path in files.executable:
            parts.mend_mode(part)
    kept = {p.path for p in manifest.parts}
    gone = [p for p in before if p not in kept]
    for path in gone:
        for fingerprint in before[path]:
            remove_if_ours(files, path, fingerprint)
    remove_empty(files, gone)
    for path in before:
        facts.leftovers.pop(path, None)


def strangers(node: TaskNode, facts: Facts, manifest: Manifest) -> str:
    """Return a sentence about files in a task's folder that it did not write; empty if there are none."""
    if not node.folder or node.kept:
        return ""
    ours = {p.path for p in manifest.parts}
    root = facts.files.root
    found = sorted(
        path
        for where, _, names in os.walk(facts.files.full(node.folder))
        for name in names
        if name[0] not in "._" and (path := os.path.join(where, name).removeprefix(root)) not in ours
    )
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"kept in '{node.folder}', and not written by this task: {', '.join(found[:SHOWN])}{more}" if found else ""


def written_before(node: TaskNode, facts: Facts) -> dict[str, set[Fingerprint]]:
    """Return what mmETL has written into a folder: by the task's last success, by the task that had it, by a killed run."""
    committed = facts.lists(node.name).outputs
    left = {p: x.fingerprint for p, x in facts.leftovers.items()}
    pairs = [*committed.items(), *left.items(), *_noted(facts.files, node.folder)]
    found: dict[str, set[Fingerprint]] = {}
    for path, fingerprint in pairs:
        if path.startswith(node.folder):
            found.setdefault(path, set()).add(fingerprint)
    return found


def remove_empty(files: FileCache, paths: Iterable[str]) -> None:
    """Remove the partitions' folders above removed files that are empty now, and the folder that held them."""
    for path in paths:
        folder = os.path.dirname(path)
        while "=" in os.path.basename(folder):
            with contextlib.suppress(OSError):
                os.rmdir(files.full(folder))
            folder = os.path.dirname(folder)
        if folder != os.path.dirname(path):
            with contextlib.suppress(OSError):
                os.rmdir(files.full(folder))


def _journal(files: FileCache, folder: str) -> str:
    return files.full(f"{WRITING}/{xxh3_hex(folder.encode())}.json")


def _noted(files: FileCache, folder: str) -> list[tuple[str, Fingerprint]]:
    try:
        with open(_journal(files, folder), encoding="utf-8") as f:
            return [(path, fingerprint) for path, fingerprint in json.load(f)]
    except (FileNotFoundError, ValueError):
        return []


def _note(files: FileCache, folder: str, before: Mapping[str, set[Fingerprint]], todo: Iterable[Part]) -> None:
    pairs = [(p.path, p.fingerprint) for p in todo]
    if not pairs:
        return
    pairs += [(path, f) for path, found in before.items() for f in sorted(found)]
    journal = _journal(files, folder)
    os.makedirs(os.path.dirname(journal), exist_ok=True)
    temp = f"{journal}.tmp"
    with open(temp, "w", encoding="utf-8") as f:
        json.dump(list(dict.fromkeys(pairs)), f)
    sync([temp])
    os.replace(temp, journal)
