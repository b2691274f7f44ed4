"""Earlier outputs: find the build of a recipe over some inputs, and tell whether it can be put back."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from mmetl.cache.layout import part_path
from mmetl.contracts.artifact import Fingerprint, Manifest, Part
from mmetl.contracts.items import ItemIndex
from mmetl.contracts.plan import TaskDetail, TaskNode
from mmetl.core.facts import Facts, Record
from mmetl.core.project import Project
from mmetl.core.reasons import Reason
from mmetl.utils.hashing import xxh3_hex

AGAIN = frozenset({"forced", "retried", "always"})
"""Reasons for which an earlier output is no answer."""


class Build(NamedTuple):
    """An earlier output: its manifest, what was set aside, its items, and how far it had read."""

    manifest: Manifest
    quarantine: Manifest | None
    items: ItemIndex | None
    watermark: Any

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts that it needs to be whole."""
        return parts_of(self.manifest, self.quarantine, self.items)


class Restorable(NamedTuple):
    """A build that can be put back.

    Attributes:
        build: it.
        lost: the parts of it that are missing or damaged -> an output that still has their bytes.
    """

    build: Build
    lost: Mapping[Fingerprint, str]


def parts_of(manifest: Manifest, quarantine: Manifest | None, items: ItemIndex | None) -> tuple[Part, ...]:
    """Return the parts of an artifact and of what stands beside it."""
    return (*manifest.parts, *(quarantine.parts if quarantine else ()), *(items.parts if items else ()))


def find_build(project: Project, key: Fingerprint) -> Build | None:
    """Return what the index holds for a recipe over some inputs."""
    found = project.store.rows(
        "select m.body, q.body, i.body, b.watermark from builds b join manifests m on m.fingerprint = b.manifest"
        " left join manifests q on q.fingerprint = b.quarantine left join manifests i on i.fingerprint = b.items"
        " where b.key = ?",
        (key,),
    )
    if not found:
        return None
    body, quarantine, items, watermark = found[0]
    return Build(
        Manifest.from_json(body),
        Manifest.from_json(quarantine) if quarantine else None,
        ItemIndex.from_json(items) if items else None,
        json.loads(watermark) if watermark else None,
    )


def against(reasons: Iterable[Reason]) -> frozenset[str]:
    """Return those of some reasons for which an earlier output is no answer."""
    return AGAIN.intersection([r.kind for r in reasons])


def may_restore(node: TaskNode, detail: TaskDetail, again: Collection[str]) -> bool:
    """Tell whether an earlier output could do; `again`: see `against`. One of a task with `max_age` may be older than that."""
    return detail.cache and not again and node.max_age_s is None and not node.kept


def restorable(project: Project, key: Fingerprint) -> Restorable | None:
    """Return the build with a key, if all of it can be had; changes nothing. `run` and `dry-run` both ask this."""
    build = find_build(project, key)
    if build is None:
        return None
    files = project.files
    files.observe(part_path(p.fingerprint) for p in build.parts)
    lost: dict[Fingerprint, str] = {}
    for part in build.parts:
        fingerprint = part.fingerprint
        if files.seen[part_path(fingerprint)] == fingerprint or fingerprint in lost:
            continue
        written = (p.path for p in build.manifest.parts if p.path and p.fingerprint == fingerprint)
        there = next((path for path in written if files.again(path) == fingerprint), None)
        if there is None:
            return None
        lost[fingerprint] = there
    return Restorable(build, lost)


def suppose_restored(node: TaskNode, facts: Facts, build: Build) -> None:
    """Let the facts be as if a task had been restored, so that what needs it can be decided."""
    manifest = build.manifest
    for part in manifest.parts:
        if part.path:
            facts.files.seen[part.path] = part.fingerprint
            (facts.files.executable.add if part.executable else facts.files.executable.discard)(part.path)
    facts.files.seen.update({part_path(p.fingerprint): p.fingerprint for p in build.parts})
    kept = " ".join(dict.fromkeys(p.fingerprint for p in build.parts))
    fingerprint = xxh3_hex(manifest.to_json().encode())
    lists = facts.lists(node.name)._replace(outputs=manifest.written, executable=manifest.executable)
    facts.suppose(node.name, lists)
    facts.put(
        Record(
            node.name, "done", node.recipe, facts.inputs(node), facts.outputs(node), fingerprint, kept, facts.now_ms, ""
        ),
        facts.lists(node.name),
    )
    facts.settled.add(node.name)
