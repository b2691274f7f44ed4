"""Earlier outputs: find the build of a recipe over some inputs, and tell whether it can be put back."""

from __future__ import annotations

import json
from typing import Any

from mmetl.cache.fingerprints import build_key
from mmetl.cache.layout import part_path
from mmetl.contracts.artifact import Fingerprint, Manifest
from mmetl.contracts.plan import TaskNode
from mmetl.core.decide import Facts, Record
from mmetl.core.project import Project
from mmetl.utils.hashing import xxh3_hex

AGAIN = frozenset({"forced", "always", "max_age"})
"""Reasons for which an earlier output is no answer."""


def find_build(project: Project, key: Fingerprint) -> tuple[Manifest, Any] | None:
    """Return the manifest and the watermark that the index holds for a recipe over some inputs."""
    found = project.store.rows(
        "select m.body, b.watermark from builds b join manifests m on m.fingerprint = b.manifest where b.key = ?",
        (key,),
    )
    if not found:
        return None
    body, watermark = found[0]
    return Manifest.from_json(body), json.loads(watermark) if watermark else None


def restorable(project: Project, node: TaskNode, facts: Facts) -> Manifest | None:
    """Return what an observed stale task would be restored to, or None; changes nothing."""
    found = find_build(project, build_key(node.recipe, facts.inputs(node)))
    if found is None:
        return None
    files = project.files
    paths = {part_path(p.fingerprint): p for p in found[0].parts}
    files.observe((*paths, *(p.path for p in paths.values() if p.path)))
    there = (files.seen[path] == p.fingerprint or files.seen.get(p.path) == p.fingerprint for path, p in paths.items())
    return found[0] if all(there) else None


def suppose_restored(node: TaskNode, facts: Facts, manifest: Manifest) -> None:
    """Let the facts be as if a task had been restored, so that what needs it can be decided."""
    for part in manifest.parts:
        if part.path:
            facts.files.seen[part.path] = part.fingerprint
            (facts.files.executable.add if part.executable else facts.files.executable.discard)(part.path)
    facts.files.seen.update({part_path(p.fingerprint): p.fingerprint for p in manifest.parts})
    kept = " ".join(dict.fromkeys(p.fingerprint for p in manifest.parts))
    fingerprint = xxh3_hex(manifest.to_json().encode())
    facts.put(
        Record(
            node.name, "done", node.recipe, facts.inputs(node), facts.outputs(node), fingerprint, kept, facts.now_ms, ""
        ),
        facts.lists(node.name),
    )
    facts.settled.add(node.name)
