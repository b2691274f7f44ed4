"""Earlier outputs: find the build of a recipe over some inputs, and tell whether it can be put back."""

from __future__ import annotations

import json
from typing import Any

from mmetl.cache.fingerprints import build_key
from mmetl.cache.layout import part_path
from mmetl.contracts.artifact import Fingerprint, Manifest
from mmetl.contracts.plan import TaskNode
from mmetl.core.decide import Facts
from mmetl.core.project import Project

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


def can_restore(project: Project, node: TaskNode, facts: Facts) -> bool:
    """Tell whether an observed stale task would be restored; changes nothing."""
    found = find_build(project, build_key(node.recipe, facts.inputs(node)))
    if found is None:
        return False
    files = project.files
    paths = {part_path(p.fingerprint): p for p in found[0].parts}
    files.observe((*paths, *(p.path for p in paths.values() if p.path)))
    return all(
        files.seen[path] == p.fingerprint or files.seen.get(p.path) == p.fingerprint for path, p in paths.items()
    )
