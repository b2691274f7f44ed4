"""The tables of a plan as lineage reads them: what each is, how it is cut, and how its rows belong to those of its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from mmetl.api.lineage.model import Kind
from mmetl.cache.artifacts import PartStore
from mmetl.cache.layout import part_path
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.lineage import SOURCES, Trace, whole
from mmetl.contracts.plan import Plan, TaskDetail
from mmetl.contracts.transform import Input, Table, View
from mmetl.core.facts import Facts
from mmetl.core.project import Project
from mmetl.core.registry import Registry
from mmetl.core.running.families import family
from mmetl.core.running.inputs import Inputs
from mmetl.errors import TaskError


@dataclass(frozen=True)
class Readable:
    """What can be read of a task.

    Attributes:
        task: its short name.
        kind: see Step.
        input: its table or view; None for files.
        paths: the files that it wrote, or its sources.
        key: the columns that name a row.
        cut: the columns by whose hash a row has its bucket; empty: not known.
        variables: of a member of a family, the values that stand before its columns.
        lacking: columns that other members have.
    """

    task: str
    kind: Kind
    input: Input | None = None
    paths: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()

    @property
    def rows(self) -> int | None:
        """How many rows there are; None for a view."""
        if self.input is None:
            return len(self.paths)
        return self.input.manifest.rows if isinstance(self.input, Table) else None


class Link(NamedTuple):
    """How a task's rows belong to those of another; `source` is SOURCES for its source files."""

    task: str
    source: str
    trace: Trace


class _Manifests(Mapping[str, Manifest]):
    """Manifests by task, each read when it is first asked for: a large one takes longer to read than all that follows."""

    def __init__(self, bodies: Mapping[str, str]) -> None:
        self._bodies = bodies
        self._read: dict[str, Manifest] = {}

    def __getitem__(self, task: str) -> Manifest:
        if task not in self._read:
            self._read[task] = Manifest.from_json(self._bodies[task])
        return self._read[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self._bodies)

    def __len__(self) -> int:
        return len(self._bodies)

    def __contains__(self, task: object) -> bool:
        return task in self._bodies


class Tables:
    """The tables of a plan. Each thing is looked up once; nothing is read of parts.

    Args:
        project: the project.
        plan: the plan.
    """

    def __init__(self, project: Project, plan: Plan) -> None:
        self.project, self.plan = project, plan
        self._inputs = Inputs(project.store, PartStore(project.files), project.root)
        self._registry = Registry(project.root)
        self._details: dict[str, TaskDetail] = {}
        self._links: dict[str, list[Link]] = {}
        self._readable: dict[tuple[str, bool], Readable] = {}

    def detail(self, task: str) -> TaskDetail:
        """Return what running a task needs: of those that are come to, and of no others."""
        if task not in self._details:
            self._details |= self.project.details(self.plan, [task])
        return self._details[task]

    @cached_property
    def manifests(self) -> Mapping[str, Manifest]:
        """The current manifest of each task that has one."""
        return _Manifests(self._bodies("manifest"))

    @cached_property
    def aside(self) -> Mapping[str, Manifest]:
        """The rows that each task has set aside."""
        return _Manifests(self._bodies("quarantine"))

    def _bodies(self, column: str) -> dict[str, str]:
        sql = f"select t.task, m.body from tasks t join manifests m on m.fingerprint = t.{column} where t.pipeline = ?"
        return dict(self.project.store.rows(sql, (self.plan.pipeline,)))

    @cached_property
    def _facts(self) -> Facts:
        return self.project.facts(self.plan)

    def read(self, task: str) -> list[str]:
        """Return the files that a task's last success read."""
        lists, root = self._facts.lists(task), self._facts.files.root
        found = dict.fromkeys(name for name in lists.inputs if not name.startswith("task "))
        found.update(dict.fromkeys(path for tree in lists.trees.values() for path in tree.paths()))
        return [path.removeprefix(root) for path in found]

    def written(self, task: str) -> list[str]:
        """Return the files that a task's last success wrote."""
        return list(self._facts.lists(task).outputs)

    def readable(self, task: str, *, sources: bool = False) -> Readable:
        """Return what can be read of a task, or of its source files."""
        if (task, sources) not in self._readable:
            self._readable[task, sources] = self._sources(task) if sources else self._made(task)
        return self._readable[task, sources]

    def links(self, task: str) -> list[Link]:
        """Return how the rows of a task belong to those of what it reads."""
        if task not in self._links:
            self._links[task] = list(self._found(task))
        return self._links[task]

    def named(self, task: str, alias: str) -> list[str]:
        """Return the tasks that an alias of a task's inputs stands for: several for a family."""
        detail = self.detail(task)
        if alias in detail.families:
            return [name for name, _ in detail.families[alias]]
        return [detail.inputs[alias]]

    def users(self, task: str) -> list[Link]:
        """Return how the rows of other tasks belong to those of a task."""
        readers = [n.name for n in self.plan.tasks.values() if task in n.tables or task in n.after]
        return [link for reader in readers for link in self.links(reader) if link.source == task]

    # --- how

    def _made(self, task: str) -> Readable:
        manifest = self.manifests.get(task)
        if manifest is None:
            return Readable(task, "none")
        if manifest.kind == "files":
            return Readable(task, "files", paths=tuple(p.path for p in manifest.parts), key=("path",))
        lacking = {c for link in self._families_with(task) for c in link}
        own = {c.name for c in manifest.columns}
        source = self.table(task, manifest)
        return Readable(
            task,
            manifest.kind,
            source,
            key=_view_key(source) if isinstance(source, View) else manifest.key,
            cut=self._cut(task, manifest),
            variables=self.detail(task).matrix,
            lacking=tuple(sorted(lacking - own - set(self.detail(task).matrix))),
        )

    def _families_with(self, task: str) -> Iterator[list[str]]:
        readers = [n.name for n in self.plan.tasks.values() if task in n.tables] if self.detail(task).matrix else []
        for reader in readers:
            for members in self.detail(reader).families.values():
                names = [name for name, _ in members]
                if task in names:
                    yield [c.name for n in names if n in self.manifests for c in self.manifests[n].columns]

    def table(self, task: str, manifest: Manifest) -> Input | None:
        """Return a table or view whose parts may be gone; None for a view over what is no longer kept."""
        if manifest.kind == "view":
            try:
                return self._inputs.find(task, manifest)
            except TaskError:
                return None
        paths = tuple(self.project.root / part_path(p.fingerprint) for p in manifest.parts)
        return Table(task, manifest, paths)

    def _sources(self, task: str) -> Readable:
        return Readable(task, "sources", paths=tuple(self.read(task)), key=("path",))

    def _cut(self, task: str, manifest: Manifest) -> tuple[str, ...]:
        for link in self.links(task):
            if link.trace.same_cut and link.source in self.manifests:
                return self._cut(link.source, self.manifests[link.source])
        return manifest.key

    def _found(self, task: str) -> Iterator[Link]:
        detail, node = self.detail(task), self.plan.tasks[task]
        sources = {alias: self.named(task, alias) for alias in (*detail.inputs, *detail.families)}
        traced: set[str] = set()
        for trace in self._traces(detail, sources):
            traced.add(trace.input)
            if trace.input == SOURCES:
                yield Link(task, SOURCES, trace)
            for other in sources.get(trace.input, ()):
                yield Link(task, other, trace)
        for alias, others in sources.items():
            for other in others if alias not in traced else ():
                yield Link(task, other, whole(alias, f"{detail.transform} does not tell rows apart"))
        read = self.read(task)
        if read and SOURCES not in traced:
            yield Link(task, SOURCES, whole(SOURCES, f"{detail.transform} does not tell rows apart"))
        for other in node.after:
            both = set(read).intersection(self.written(other))
            if both:
                yield Link(task, other, whole("", f"it wrote {min(both)}"))

    def _traces(self, detail: TaskDetail, sources: Mapping[str, list[str]]) -> Iterator[Trace]:
        if detail.imports:
            self._registry.add_modules(detail.imports)
        transform: Any = self._registry.get(detail.transform)
        absent = [o for others in sources.values() for o in others if o not in self.manifests]
        if not hasattr(transform, "lineage") or absent:
            return
        inputs = {}
        for alias, others in sources.items():
            found = self._family(alias, detail) if alias in detail.families else self._input(others[0])
            if found.kind != "files":
                inputs[alias] = found
        if inputs or not sources:
            params = transform.params.model_validate(detail.params)
            yield from transform.lineage(params, inputs, tuple(detail.key))

    def _input(self, task: str) -> Manifest:
        manifest = self.manifests[task]
        return manifest._replace(key=self.readable(task).key) if manifest.kind == "view" else manifest

    def _family(self, alias: str, detail: TaskDetail) -> Manifest:
        members = []
        for name, values in detail.families[alias]:
            manifest = self.manifests[name]
            members.append((Table(name, manifest, ()), values))
        keys = {t.manifest.key for t, _ in members}
        (key,) = keys if len(keys) == 1 else ((),)
        made = family(alias, members).manifest
        return made._replace(key=(*members[0][1], *key) if key else ())


def _view_key(view: View) -> tuple[str, ...]:
    """Return the columns that name a row of a view, as far as its query tells."""
    from mmetl.engines.sql.lineage import sql_key

    below = {
        alias: found.manifest._replace(key=_view_key(found)) if isinstance(found, View) else found.manifest
        for alias, found in view.inputs.items()
    }
    named = {c.name.lower(): c.name for c in view.manifest.columns}
    key = sql_key(view.manifest.sql, below)
    return tuple(named[k] for k in key) if set(key) <= set(named) else ()
