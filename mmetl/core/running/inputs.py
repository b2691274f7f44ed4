"""From the fingerprint of a manifest to what a transform reads: a table of parts, or a view over further manifests."""

from __future__ import annotations

from pathlib import Path

from mmetl.cache.artifacts import PartStore
from mmetl.cache.layout import part_path
from mmetl.cache.store import Store
from mmetl.contracts.artifact import Fingerprint, Manifest
from mmetl.contracts.plan import Plan
from mmetl.contracts.transform import Input, Table, View
from mmetl.core.project import Project
from mmetl.errors import TaskError, UsageError


class Inputs:
    """Finds what manifests stand for; each manifest is read once.

    Args:
        store: the project's store.
        parts: where parts lie.
        root: the project's folder.
    """

    def __init__(self, store: Store, parts: PartStore, root: Path) -> None:
        self._store, self._parts, self._root = store, parts, root
        self._manifests: dict[Fingerprint, Manifest] = {}

    def remember(self, fingerprint: Fingerprint, manifest: Manifest) -> None:
        """Keep a manifest at hand for the tasks that read it before it is committed."""
        self._manifests[fingerprint] = manifest

    def manifest(self, fingerprint: Fingerprint) -> Manifest:
        """Return a manifest that this run made or an earlier one committed. Raises TaskError if it was collected."""
        if fingerprint not in self._manifests:
            rows = self._store.rows("select body from manifests where fingerprint = ?", (fingerprint,))
            if not rows:
                raise TaskError("an input of a view is no longer kept", help="run again: the view will be made anew")
            self._manifests[fingerprint] = Manifest.from_json(rows[0][0])
        return self._manifests[fingerprint]

    def find(self, task: str, manifest: Manifest) -> Input:
        """Return the table or the view that a manifest describes. Raises TaskError if a part is missing or damaged."""
        if manifest.kind == "view":
            below = {alias: self.find(alias, self.manifest(fingerprint)) for alias, fingerprint in manifest.inputs}
            return View(task, manifest, below)
        for part in self._parts.missing(manifest):
            raise TaskError(
                f"a part of '{task}' is missing or damaged ({part.fingerprint})",
                help="run again: its producer will make it anew",
            )
        return Table(task, manifest, tuple(self._root / part_path(p.fingerprint) for p in manifest.parts))


def current_input(project: Project, plan: Plan, task: str) -> Input:
    """Return the current table or view of a task, as another task would read it.

    Raises:
        UsageError: if the task has no artifact yet, or has files.
        TaskError: if a part is damaged.
    """
    manifest, _ = project.artifact(plan, task)
    if manifest.kind == "files":
        raise UsageError(f"'{task}' writes files, it has no rows", help=f"mmetl show {task} lists them")
    return Inputs(project.store, PartStore(project.files), project.root).find(task, manifest)
