"""Leftovers: files that tasks wrote and that no task declares any more.

No glob lists them, or what a task wrote before it was renamed would feed what is downstream. A run removes those of the tasks that
it works on; those of tasks that are gone from the YAML stay until `mmetl clean --orphans`. A file that a task names by its own path
is a source, whoever wrote it. So is one that was changed since.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping

from mmetl.cache.artifacts import remove_if_ours
from mmetl.cache.store import Store
from mmetl.cache.trees import Page, Tree
from mmetl.contracts.artifact import Fingerprint
from mmetl.contracts.plan import Plan
from mmetl.core.facts import Facts, Leftover, Record
from mmetl.core.outside import is_outside
from mmetl.observability.runs import write_event


def find_leftovers(
    store: Store, plan: Plan, records: Mapping[str, Record], read: Callable[[Fingerprint], Page]
) -> dict[str, Leftover]:
    """Return path -> leftover for the tasks of a pipeline; what another pipeline writes or reads is none.

    A no-op pays nothing: only a task that is gone, or whose recipe is another, can have left something.

    Args:
        store: the project's store.
        plan: of the pipeline.
        records: of its tasks.
        read: finds a page of a tree.
    """
    nodes = plan.tasks
    suspects = {t for t, r in records.items() if t not in nodes or nodes[t].recipe != r.recipe}
    if not suspects:
        return {}
    declared = {p for node in nodes.values() for p in (*node.outputs, *node.files)}
    sql = "select task, output_list from tasks where pipeline = ? and output_list != '{}'"
    rows = [(task, json.loads(listed)) for task, listed in store.rows(sql, (plan.pipeline,))]
    declared |= {
        p for t, listed in rows if t in nodes and nodes[t].folder for p in listed if p.startswith(nodes[t].folder)
    }
    found = {
        path: Leftover(fingerprint, task)
        for task, listed in rows
        if task in suspects
        for path, fingerprint in listed.items()
        if path not in declared and not is_outside(path)
    }
    if found:
        for lists in store.rows("select input_list, output_list from tasks where pipeline != ?", (plan.pipeline,)):
            for path in (p for listed in lists for p in json.loads(listed or "{}")):
                found.pop(path, None)
        rows_of = store.rows("select trees from tasks where pipeline != ? and trees <> '{}'", (plan.pipeline,))
        others = [Tree.from_json(folders, read) for (body,) in rows_of for folders in json.loads(body).values()]
        found = {path: left for path, left in found.items() if not any(tree.find(path) for tree in others)}
    return found


def remove_leftovers(store: Store, facts: Facts, tasks: Iterable[str], run_id: str) -> None:
    """Remove what some tasks left, where it still has the bytes that they wrote; an event tells of every other file."""
    if not facts.leftovers:
        return
    wanted = set(tasks)
    for path in [p for p, left in facts.leftovers.items() if left.task in wanted]:
        left = facts.leftovers[path]
        if not remove_if_ours(facts.files, path, left.fingerprint):
            del facts.leftovers[path]
            with store.transaction() as db:
                write_event(db, run_id, "leftover_kept", left.task, path=path)
