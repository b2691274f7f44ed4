"""What is written of a task that succeeded: its record, its build, its row of the run."""

from __future__ import annotations

import json
from typing import NamedTuple

from mmetl.cache.commits import Commit
from mmetl.cache.fingerprints import build_key, combine, mark_executable
from mmetl.cache.layout import part_path
from mmetl.contracts.plan import Plan, TaskDetail, TaskNode
from mmetl.core.decide import seen_anew
from mmetl.core.facts import Facts, Lists, Record
from mmetl.core.running.done import Done
from mmetl.core.running.execution import RunContext
from mmetl.core.running.restore import parts_of
from mmetl.observability.runs import TaskRun, task_run_row
from mmetl.utils.time import now_ms


class Recorded(NamedTuple):
    """What is written, and what the rest of the run knows of it."""

    commit: Commit
    record: Record
    lists: Lists


def record(
    context: RunContext, plan: Plan, node: TaskNode, facts: Facts, detail: TaskDetail, done: Done, result: TaskRun
) -> Recorded:
    """Return what is to be written of a task that came to `done`, and is told as `result`."""
    body, now = done.manifest.to_json(), now_ms()
    fingerprint = context.jobs.remember(done.manifest, body)
    outputs, executable = done.manifest.written | seen_anew(node, facts), done.manifest.executable
    quarantine, items = done.beside()
    own = done.manifest if detail.cache or done.manifest.kind != "files" else done.manifest._replace(parts=())
    kept = parts_of(own, done.quarantine, done.items)
    made = Record(
        node.name,
        "changed" if done.changed else "done",
        node.recipe,
        done.digest,
        combine(mark_executable(outputs[p]) if p in executable else outputs[p] for p in outputs),
        fingerprint,
        " ".join(dict.fromkeys(p.fingerprint for p in kept)),
        now,
        context.run_id,
    )
    watermark = None if done.watermark is None else json.dumps(done.watermark)
    key = build_key(node.recipe, done.digest)
    build = (key, node.recipe, fingerprint, watermark, plan.pipeline, node.name, now, now, quarantine[0], items[0])
    full = facts.files.full
    commit = Commit(
        plan.pipeline,
        node.name,
        task_run_row(context.run_id, plan.pipeline, result),
        made,
        (quarantine[0], items[0], json.dumps(done.inputs), json.dumps(outputs), done.trees_json()),
        None if done.changed or not detail.cache else build,
        (fingerprint, body),
        [b for b in (quarantine, items) if b[0]],
        done.items.basis if done.items else None,
        done.watermark,
        [*(full(p) for p in outputs if p != node.place), *(full(part_path(p.fingerprint)) for p in kept)],
    )
    return Recorded(commit, made, Lists(dict(done.inputs), outputs, executable, done.trees))
