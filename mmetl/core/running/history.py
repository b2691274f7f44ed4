"""What earlier runs computed for the items of a task, from the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property

from mmetl.cache.artifacts import sync
from mmetl.cache.fingerprints import fingerprint_recipe
from mmetl.cache.layout import part_path
from mmetl.cache.plans import load_recipe
from mmetl.cache.unfinished import note_unfinished, unfinished
from mmetl.contracts.artifact import Fingerprint
from mmetl.contracts.items import Basis, ItemIndex, Unit
from mmetl.contracts.plan import TaskNode
from mmetl.core.project import Project

NOT_OF_ITEMS = ("key", "expect", "check_code", "check_packages", "inputs")
SETTING = ("on_error", "max_fraction", "keep", "drop")
"""Params that decide what becomes of items that fail, or which columns go beside the made ones; no item is another."""


class ItemHistory:
    """The `Earlier` of one task.

    Args:
        project: the project.
        node: the task.
        pipeline: its pipeline.
        forced: whether nothing that was computed earlier may be used.
        retried: whether items that failed are tried again.
        moved: tells which inputs were written since the run began; what is computed from then on is noted for no later run.
    """

    def __init__(
        self,
        project: Project,
        node: TaskNode,
        pipeline: str,
        *,
        forced: bool,
        retried: bool,
        moved: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._project, self._node, self._pipeline = project, node, pipeline
        self.forced, self.retried = forced, retried
        self._moved = moved

    @cached_property
    def recipe(self) -> Fingerprint:
        """See `Earlier`."""
        whole = load_recipe(self._project.store, self._node.recipe) or {"recipe": self._node.recipe}
        recipe = {k: v for k, v in whole.items() if k not in NOT_OF_ITEMS}
        recipe["params"] = {k: v for k, v in recipe.get("params", {}).items() if k not in SETTING}
        return fingerprint_recipe(recipe)

    def last(self) -> ItemIndex | None:
        """See `Earlier`."""
        return self._index(
            "select m.body from tasks t join manifests m on m.fingerprint = t.items where t.pipeline = ? and t.task = ?",
            (self._pipeline, self._node.name),
        )

    def like(self, basis: Basis) -> ItemIndex | None:
        """See `Earlier`."""
        begin = ItemIndex(basis, ()).to_json().partition(f',"{basis.columns}')[0]
        return self._index(
            "select m.body from builds b join manifests m on m.fingerprint = b.items"
            " where b.items <> '' and substr(m.body, 1, ?) = ? order by b.made_ms desc limit 1",
            (len(begin), begin),
        )

    def noted(self, basis: Basis) -> Sequence[tuple[Basis, Unit]]:
        """See `Earlier`."""
        return unfinished(self._project.store, basis)

    def note(self, basis: Basis, units: Sequence[Unit]) -> None:
        """See `Earlier`."""
        if self._moved():
            return
        parts = [p for u in units for p in (u.ledger, *u.parts)]
        sync([self._project.files.full(part_path(p.fingerprint)) for p in parts])
        with self._project.store.transaction() as db:
            note_unfinished(db, basis, list(units))

    def _index(self, sql: str, values: tuple[str | int, ...]) -> ItemIndex | None:
        rows = self._project.store.rows(sql, values)
        return ItemIndex.from_json(rows[0][0]) if rows else None
