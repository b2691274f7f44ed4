"""Is a task fresh, stale, or waiting? `observe` does all I/O; `decide` is pure and is the only opinion there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from mmetl.cache.fingerprints import MISSING, UNUSABLE, trouble
from mmetl.cache.layout import part_path
from mmetl.cache.looks import look_of
from mmetl.cache.trees import NO_FILES, Tree
from mmetl.contracts.artifact import Fingerprint
from mmetl.contracts.plan import Plan, TaskNode
from mmetl.core.facts import Facts, Record
from mmetl.core.reasons import Reason
from mmetl.errors import TaskError
from mmetl.observability.attempts import Attempt

Freshness = Literal["fresh", "stale", "unknown"]


class Decision(NamedTuple):
    """`unknown`: an upstream task has to run first, and its output may turn out to be the same (early cutoff)."""

    freshness: Freshness
    reasons: tuple[Reason, ...] = ()


FRESH = Decision("fresh")


def observe(nodes: Iterable[TaskNode], facts: Facts) -> None:
    """Look at everything that the decisions about these tasks need; what was seen before is not looked at again.

    A glob is listed when the task is observed; `look_again` lists it anew after an upstream task has run.
    """
    paths: list[str] = []
    records = facts.records
    for node in nodes:
        paths += node.files
        if node.kept:
            look(node, facts)
        else:
            paths += node.outputs if not node.folder else facts.written(node)
        paths += node.optional
        for glob in node.globs:
            if glob not in facts.trees:
                _list(glob, facts)
        record = records.get(node.name)
        if record is not None and record.parts:
            parts = record.parts
            if len(parts) == 32:
                paths.append(part_path(parts))
            else:
                paths += map(part_path, parts.split(" "))
    facts.files.observe(paths)


def look(node: TaskNode, facts: Facts) -> None:
    """Look at what an engine keeps for a task, in a folder or a store of others."""
    if node.place not in facts.files.seen:
        full = facts.files.full
        facts.files.seen[node.place] = _asked(node, facts) if node.outside else look_of(full(node.folder))


def _asked(node: TaskNode, facts: Facts) -> Fingerprint:
    """Return what a store of others holds for a task, by its own word; as it was last, where it is not to be asked."""
    last = facts.lists(node.name).outputs.get(node.outside, MISSING)
    if last == MISSING or trouble(last):
        return last  # it will run, whatever is there
    stores, age = facts.stores, node.probe_s
    if stores is None or age is None or (age and facts.now_ms - stores.probed_ms(node.outside) < age * 1000):
        return last
    return stores.probe(node.outside)


def seen_anew(node: TaskNode, facts: Facts) -> dict[str, Fingerprint]:
    """Return how what an engine keeps for a task looks after it has run; nothing for other tasks."""
    if not node.kept:
        return {}
    facts.files.seen.pop(node.place, None)
    if node.outside and facts.stores:
        facts.files.seen[node.outside] = facts.stores.probe(node.outside)
    look(node, facts)
    return {node.place: facts.files.seen[node.place]}


def look_again(node: TaskNode, facts: Facts) -> None:
    """Observe a task whose upstream tasks have run meanwhile: what its globs stand for now, and the files that were not seen yet.

    And those that such a task may have written without declaring them.
    """
    for glob in node.globs:
        _list(glob, facts)
    ours = facts.files.ours
    if not (ours.issuperset(node.files) or facts.attempted.isdisjoint((*node.tables, *node.after))):
        facts.files.observe([p for p in node.files if p not in ours], again=True)
    observe((node,), facts)


def _list(glob: str, facts: Facts) -> None:
    """List a glob; one that cannot be listed is trouble of the tasks that read it, and of no others."""
    try:
        facts.trees[glob] = facts.listed.observe(glob)
        facts.unlisted.pop(glob, None)
    except TaskError as e:
        facts.trees[glob] = NO_FILES
        facts.unlisted[glob] = e


def decide(node: TaskNode, facts: Facts) -> Decision:
    """Return whether a task is fresh, stale with all its reasons, or waits for upstream tasks. Pure: no I/O.

    The task must have been observed. A task is `unknown` only where everything else about it is as it was.
    """
    settled = facts.settled
    waits = [t for t in (*node.tables, *node.after) if t not in settled]
    record = facts.records.get(node.name)
    if record is None:
        reasons = [_without_result(facts.attempt(node.name), Reason("never_ran"))]
    elif not waits and _is_current(node, record, facts):
        return FRESH
    else:
        reasons = _reasons(node, record, facts, settled=not waits)
    if not waits:
        reasons += [Reason("input_missing", p) for p in missing_inputs(node, facts)]
        reasons += [Reason("input_unusable", p, None, why) for p, why in unusable_inputs(node, facts).items()]
    if reasons:
        return Decision("stale", tuple(reasons))
    return Decision("unknown", tuple(Reason("waits_for", t) for t in waits)) if waits else FRESH


def decide_all(plan: Plan, names: Iterable[str], facts: Facts) -> dict[str, Decision]:
    """Decide over tasks in topological order; fresh ones become settled. Upstream tasks outside `names` count as settled."""
    decisions: dict[str, Decision] = {}
    wanted = dict.fromkeys(names)
    settled = facts.settled
    if len(wanted) < len(plan.tasks):
        upstream = (t for n in wanted for t in (*plan.tasks[n].tables, *plan.tasks[n].after))
        settled.update(t for t in upstream if t not in wanted)
    nodes, records = plan.tasks, facts.records
    for name in wanted:
        node, record = nodes[name], records.get(name)
        # The same questions as in `decide`, without the call: nearly all tasks of nearly all runs end here.
        if (
            record is not None
            and settled.issuperset(node.tables)
            and settled.issuperset(node.after)
            and _is_current(node, record, facts)
        ):
            settled.add(name)
            decisions[name] = FRESH
            continue
        decision = decide(node, facts)
        if decision is FRESH:
            settled.add(name)
        decisions[name] = decision
    return decisions


def _is_current(node: TaskNode, record: Record, facts: Facts) -> bool:
    """Tell in the cheapest way whether nothing changed; `_reasons` finds out what did."""
    seen = facts.files.seen
    if (
        record.state != "done"
        or record.recipe != node.recipe
        or not record.manifest
        or facts.inputs(node) != record.inputs
        or facts.outputs(node) != record.outputs
        or node.always
        or node.max_age_s is not None
        or node.name in facts.forced
    ):
        return False
    parts = record.parts
    if len(parts) == 32:  # one part, as most tasks have
        return seen[part_path(parts)] == parts
    return not parts or all(seen[part_path(p)] == p for p in parts.split(" "))


def _reasons(node: TaskNode, record: Record, facts: Facts, *, settled: bool) -> list[Reason]:
    name, now = node.name, facts.now_ms
    attempted = name in facts.attempted
    reasons: list[Reason] = []
    if name in facts.forced and not attempted:
        reasons.append(Reason(facts.forced[name]))
    if node.always and not attempted:
        reasons.append(Reason("always"))
    if node.max_age_s is not None and now - record.built_ms >= node.max_age_s * 1000:
        reasons.append(Reason("max_age", "", f"{(now - record.built_ms) / 1000:.0f} s", f"{node.max_age_s:.0f} s"))
    if record.recipe != node.recipe:
        reasons.append(Reason("recipe", "recipe", record.recipe, node.recipe))
    reasons += _input_reasons(node, record, facts, settled=settled)
    reasons += _output_reasons(node, record, facts)
    if record.state == "failed":
        reasons.append(_without_result(facts.attempt(name), Reason("failed")))
    elif not reasons and record.state == "changed":
        reasons.append(Reason("changed_while_running"))
    elif not reasons and record.state != "done":
        reasons.append(_without_result(facts.attempt(name), Reason("interrupted")))
    return reasons


def _without_result(attempt: Attempt | None, otherwise: Reason) -> Reason:
    """Return the reason for a task that was tried last time and came to no result."""
    if attempt is None:
        return otherwise
    if not attempt.began:
        return otherwise if otherwise.kind == "never_ran" else Reason("not_begun", attempt.run_id)
    return Reason("failed" if attempt.error else "interrupted", attempt.run_id, None, attempt.error)


def _input_reasons(node: TaskNode, record: Record, facts: Facts, *, settled: bool) -> list[Reason]:
    """Compare inputs one by one. While upstream tasks have yet to run, only what no task makes is compared."""
    if settled:
        if facts.inputs(node) == record.inputs:
            return []
    elif node.after:
        return []
    before, now = _inputs_that_differ(node, facts)
    found = []
    differ = {name for name, _ in before.items() ^ now.items()}
    for name in [*(n for n in before if n in differ), *(n for n in now if n in differ and n not in before)]:
        old, new = before.get(name), now.get(name)
        task = name.removeprefix("task ") if name.startswith("task ") else None
        if new in {old, MISSING} or (new and trouble(new)) or (task and task not in facts.settled):
            continue
        if task:
            found.append(Reason("upstream_changed", task, old, new))
        elif old is None or old == MISSING:
            found.append(Reason("input_added", name, None, new))
        elif new is None:
            found.append(Reason("input_removed", name, old, None))
        else:
            found.append(Reason("input_changed", name, old, new))
    return found


def _inputs_that_differ(node: TaskNode, facts: Facts) -> tuple[dict[str, Fingerprint], dict[str, Fingerprint]]:
    """Return inputs at the last success, and now: of listed files at least all that are not the same in both."""
    lists, trees = facts.lists(node.name), facts.trees_of(node)
    before = {**lists.inputs, **_files_of(lists.trees, trees)}
    now = {**facts.input_list(node), **_files_of(trees, lists.trees)}
    for one, other, listed in ((before, now, trees), (now, before, lists.trees)):
        for path in one.keys() - other.keys():
            there = next(filter(None, (t.find(path) for t in listed.values())), None)
            if there is not None:  # in a folder that is the same, of another glob
                other[path] = there.fingerprint
    return before, now


def _files_of(trees: Mapping[str, Tree], others: Mapping[str, Tree]) -> dict[str, Fingerprint]:
    """Return the files of those folders that are not the same in other trees."""
    known = {(folder, entry.page) for t in others.values() for folder, entry in t.folders.items()}
    return {
        folder + name: file.fingerprint
        for tree in trees.values()
        for folder, entry in tree.folders.items()
        if (folder, entry.page) not in known
        for name, file in tree.page(folder).items()
    }


def _output_reasons(node: TaskNode, record: Record, facts: Facts) -> list[Reason]:
    seen = facts.files.seen
    lists, executable = facts.lists(node.name), facts.files.executable
    found = []
    for path in facts.written(node):
        now, then = seen.get(path, MISSING), lists.outputs.get(path)
        if node.outside and trouble(now):
            found.append(Reason("output_unusable", path, None, trouble(now)))
        elif now == MISSING and (then is not None or record.recipe == node.recipe):
            found.append(Reason("output_missing", path, then))
        elif then is not None and now != then:
            found.append(Reason("output_changed", path, then, now))
        elif then is not None and (path in executable) != (path in lists.executable):
            found.append(Reason("output_executable" if path in executable else "output_not_executable", path))
    if not record.manifest:
        found.append(Reason("cleaned"))
    bad = [p for p in record.parts.split() if seen.get(part_path(p)) != p]
    if bad:
        found.append(Reason("part_missing", str(len(bad))))
    return found


def missing_inputs(node: TaskNode, facts: Facts) -> list[str]:
    """Return the inputs of a settled, observed task that are not there."""
    seen = facts.files.seen
    missing = [f"the artifact of {t}" for t in node.tables if facts.manifest(t) == MISSING]
    missing += [p for p in node.files if seen[p] == MISSING]
    if not node.globs:
        return missing
    empty = [g for g, tree in facts.trees_of(node).items() if not tree.files and g not in facts.unlisted]
    return missing if empty and node.name in facts.records and not listed_before(node, facts) else missing + empty


def listed_before(node: TaskNode, facts: Facts) -> int:
    """Return how many files globs listed at the last success; 0, if somebody has allowed that."""
    lists = facts.lists(node.name)
    singly = [p for p in lists.inputs if not p.startswith("task ") and p not in node.files]
    return sum(t.files for t in lists.trees.values()) + len(singly)


def unusable_inputs(node: TaskNode, facts: Facts) -> dict[str, str]:
    """Return the inputs of a settled, observed task that are there and cannot be used, each with why."""
    if not (node.globs or node.optional):
        seen = facts.files.seen
        return {path: trouble(seen[path]) for path in node.files if seen[path][:2] == UNUSABLE}
    looked = facts.input_list(node)
    looked.update(pair for tree in facts.trees_of(node).values() for pair in tree.unusable())
    return {name: why for name, found in looked.items() if (why := trouble(found))}
