"""What was observed of the tasks of a pipeline, and what the store knows of their last successes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import xxhash

from mmetl.cache.fingerprints import EMPTY, MISSING, FileCache, mark_executable, unusable
from mmetl.cache.tree_cache import TreeCache
from mmetl.cache.trees import NO_FILES, Tree
from mmetl.contracts.artifact import Fingerprint
from mmetl.contracts.plan import NOTHING, TaskNode
from mmetl.core.outside import Stores
from mmetl.core.reasons import Kind
from mmetl.errors import TaskError
from mmetl.observability.attempts import Attempt


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
