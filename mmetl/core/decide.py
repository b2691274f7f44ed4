"""Is a task fresh, stale, or waiting? `observe` does all I/O; `decide` is pure and is the only opinion there is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import xxhash

from mmetl.cache.fingerprints import EMPTY, MISSING, UNUSABLE, FileCache, mark_executable, trouble, unusable
from mmetl.cache.layout import part_path
from mmetl.cache.looks import look_of
from mmetl.cache.tree_cache import TreeCache
from mmetl.cache.trees import NO_FILES, Tree
from mmetl.contracts.artifact import Fingerprint
from mmetl.contracts.plan import NOTHING, Plan, TaskNode
from mmetl.core.outside import Stores
from mmetl.core.reasons import Kind, Reason
from mmetl.errors import TaskError
from mmetl.observability.attempts import Attempt

Freshness = Literal["fresh", "stale", "unknown"]


class Decision(NamedTuple):
    """`unknown`: an upstream task has to run first, and its output may turn out to be the same (early cutoff)."""

    freshness: Freshness
    reasons: tuple[Reason, ...] = ()


FRESH = Decision("fresh")


class Record(NamedTuple):
    """What the store knows of a task's last success: columns of the table `tasks`; the long ones are in `Lists`."""

    task: str
    state: str
    recipe: Fingerprint
    inputs: Fingerprint
    outputs: Fingerprint
    manifest: Fingerprint
    parts: str
    built_ms: int
    run_id: str


class Leftover(NamedTuple):
    """A file that `task` wrote, and that no task declares any more."""

    fingerprint: Fingerprint
    task: str


class Lists(NamedTuple):
    """What a task's last success read and wrote, one by one, and which of the written files were executable.

    Needed only to give reasons. What globs stood for is in `trees`.
    """

    inputs: dict[str, Fingerprint]
    outputs: dict[str, Fingerprint]
    executable: frozenset[str] = frozenset()
    trees: Mapping[str, Tree] = NOTHING

    @property
    def files(self) -> dict[str, Fingerprint]:
        """All that was read, file by file."""
        listed = {
            f + n: file.fingerprint for t in self.trees.values() for f, page in t.walk() for n, file in page.items()
        }
        return {**self.inputs, **listed}


NO_LISTS = Lists({}, {})
RECORD_COLUMNS = ", ".join(Record._fields)


class Facts:
    """What was observed, each thing at most once in a run.

    Attributes:
        records: task -> what its last success was; absent if it never succeeded or was forgotten.
        files: fingerprints of files.
        listed: observes what globs stand for.
        trees: glob -> the files that it stands for.
        unlisted: glob -> why that cannot be told.
        forced: tasks to run whatever is fresh -> why.
        leftovers: files that no glob lists, as long as they have the bytes that mmETL wrote.
        now_ms: the time of the observation.
        settled: tasks whose artifact is what this run will leave: fresh ones, and those that have run.
        attempted: tasks that this run has worked on; they are not forced a second time.
    """

    def __init__(
        self,
        pipeline: str,
        records: dict[str, Record],
        files: FileCache,
        listed: TreeCache,
        *,
        now_ms: int,
        lists: Callable[[str], Lists],
        forced: Mapping[str, Kind] = NOTHING,
        leftovers: dict[str, Leftover] | None = None,
        attempts: Callable[[], dict[str, Attempt]] = dict,
        stores: Callable[[], Stores] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.records = records
        self.files = files
        self.listed = listed
        self.now_ms = now_ms
        self.forced = forced
        self.leftovers = leftovers or {}
        self._read_lists = lists
        self._read_attempts = attempts
        self._stores = stores
        self._attempts: dict[str, Attempt] | None = None
        self._lists: dict[str, Lists] = {}
        self.trees: dict[str, Tree] = {}
        self.unlisted: dict[str, TaskError] = {}
        self.settled: set[str] = set()
        self.attempted: set[str] = set()

    @property
    def stores(self) -> Stores | None:
        """The stores of others that tasks keep something in; None where nothing of the outside is looked at."""
        return self._stores() if self._stores else None

    def lists(self, task: str) -> Lists:
        """Return what the task's last success read and wrote; recorded facts are read from the store when asked for."""
        if task not in self._lists:
            self._lists[task] = self._read_lists(task) if task in self.records else NO_LISTS
        return self._lists[task]

    def attempt(self, task: str) -> Attempt | None:
        """Return the task's last attempt, if that came to no result; read from the store when first asked for."""
        if self._attempts is None:
            self._attempts = self._read_attempts()
        return self._attempts.get(task)

    def put(self, record: Record, lists: Lists) -> None:
        """Note a new success."""
        self.records[record.task] = record
        self._lists[record.task] = lists

    def suppose(self, task: str, lists: Lists) -> None:
        """Let a task's last success have read and written other things."""
        self._lists[task] = lists

    def manifest(self, task: str) -> Fingerprint:
        """Return the fingerprint of a task's current manifest; MISSING if it has none, or was cleaned."""
        record = self.records.get(task)
        return record.manifest or MISSING if record else MISSING

    def input_list(self, node: TaskNode) -> dict[str, Fingerprint]:
        """Return every input with its fingerprint: `task NAME` for an artifact, else a path; not what globs stand for."""
        seen = self.files.seen
        found = {f"task {t}": self.manifest(t) for t in node.tables}
        for path in node.files:
            found[path] = seen.get(path, MISSING)
        if node.globs or node.optional:
            found.update((g, unusable(self.unlisted[g].what)) for g in node.globs if g in self.unlisted)
            found.update((p, seen[p]) for p in node.optional if seen.get(p, MISSING) not in {MISSING, EMPTY})
        return found

    def trees_of(self, node: TaskNode) -> dict[str, Tree]:
        """Return what the globs of a task stand for; never its own outputs, nor leftovers."""
        return {glob: self._read_of(node, self.trees.get(glob, NO_FILES)) for glob in node.globs} if node.globs else {}

    def listing(self, node: TaskNode, glob: str) -> list[str]:
        """Return the files that a glob of a task stands for."""
        return self._read_of(node, self.trees.get(glob, NO_FILES)).paths()

    def _read_of(self, node: TaskNode, tree: Tree) -> Tree:
        """Return those of the listed files that a task may read."""
        if not (node.folder or node.outputs or self.leftovers):
            return tree
        left = [p for p in self.leftovers if self._is_left(p, tree)]
        return self.listed.without(tree, [*node.outputs, *left], node.folder)

    def written(self, node: TaskNode) -> Sequence[str]:
        """Return the files that a task writes: those declared, and those that its last success wrote into its folder."""
        if node.kept:
            return [*node.outputs, node.place]
        if not node.folder:
            return node.outputs
        return [*node.outputs, *(p for p in self.lists(node.name).outputs if p.startswith(node.folder))]

    def _is_left(self, path: str, tree: Tree) -> bool:
        found = tree.find(path)
        return found is not None and found.fingerprint in {self.leftovers[path].fingerprint, MISSING}

    def inputs(self, node: TaskNode, trees: Mapping[str, Tree] | None = None) -> Fingerprint:
        """Return one fingerprint over all inputs of a task whose upstream tasks are settled.

        Args:
            node: the task.
            trees: what its globs stand for; None: as it was observed last.
        """
        if node.globs or node.optional:
            listed = (self.trees_of(node) if trees is None else trees).values()
            text = "\n".join(itertools.chain(*self.input_list(node).items(), (t.fingerprint for t in listed)))
            return xxhash.xxh3_128_hexdigest(text.encode(errors="surrogateescape"))
        seen = self.files.seen
        prints = [seen[p] for p in node.files]
        if node.tables:
            prints[:0] = [self.manifest(t) for t in node.tables]
        return xxhash.xxh3_128_hexdigest("\n".join(prints).encode(errors="surrogateescape"))

    def outputs(self, node: TaskNode) -> Fingerprint:
        """Return one fingerprint over the files that a task writes."""
        seen = self.files.seen
        paths = self.written(node) if node.folder or node.kept else node.outputs
        prints = [seen[p] for p in paths]
        executable = self.files.executable
        if executable and not executable.isdisjoint(paths):
            prints = [mark_executable(seen[p]) if p in executable else seen[p] for p in paths]
        return xxhash.xxh3_128_hexdigest("\n".join(prints).encode())


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
    """Observe a task whose upstream tasks have run meanwhile: what its globs stand for now, and the files that were not seen yet."""
    for glob in node.globs:
        _list(glob, facts)
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
