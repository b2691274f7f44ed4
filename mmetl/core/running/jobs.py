"""Make the `Job` that a transform is given: its params, tables, files, functions, and what it may continue."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

from mmetl.cache.artifacts import PartStore
from mmetl.cache.layout import SCRATCH
from mmetl.cache.listing import plain_path
from mmetl.cache.trees import Tree
from mmetl.cache.watermarks import get_watermark
from mmetl.config.secrets import resolve_secrets, secret_values
from mmetl.contracts.artifact import Fingerprint, Manifest
from mmetl.contracts.entry import entry_of
from mmetl.contracts.plan import Plan, TaskDetail, TaskNode
from mmetl.contracts.transform import Base, Input, Job, Remote
from mmetl.core.facts import Facts
from mmetl.core.options import RunOptions
from mmetl.core.outside import Place
from mmetl.core.project import Project
from mmetl.core.registry import Registry, load_function
from mmetl.core.running.deadline import Cancellation
from mmetl.core.running.families import family
from mmetl.core.running.inputs import Inputs
from mmetl.core.running.quarantine import with_aside
from mmetl.core.running.remote import ENTRY
from mmetl.core.running.snapshots import changes, observed
from mmetl.errors import TaskError
from mmetl.observability.logs import TaskLog
from mmetl.utils.hashing import xxh3_hex
from mmetl.utils.memory import fair_share


class _Sources(Mapping[str, Sequence[Path]]):
    """Declared path or glob -> its files; made when asked for: commands know their files by name."""

    def __init__(self, facts: Facts, trees: Mapping[str, Tree], declared: Sequence[str]) -> None:
        self._facts, self._trees, self._declared = facts, trees, declared

    def __getitem__(self, source: str) -> list[Path]:
        if source not in self._declared:
            source = plain_path(self._facts.files.root, source)  # as the transform declared it
            if source not in self._declared:
                raise KeyError(source)
        full = self._facts.files.full
        return [Path(full(p)) for p in (self._trees[source].paths() if source in self._trees else (source,))]

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)


class _Outputs(Sequence[Path]):
    """The output files; made when asked for, as the sources are."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    @overload
    def __getitem__(self, at: int) -> Path: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Path]: ...
    def __getitem__(self, at: int | slice) -> Path | Sequence[Path]:
        return Path(self._paths[at]) if isinstance(at, int) else _Outputs(self._paths[at])

    def __len__(self) -> int:
        return len(self._paths)


class Jobs:
    """Makes jobs for the tasks of one run.

    Args:
        project: the project.
        options: what was asked for.
        parts: where parts go.
        run_id: of the run.
    """

    def __init__(self, project: Project, options: RunOptions, parts: PartStore, run_id: str) -> None:
        self.project = project
        self.options = options
        self.parts = parts
        self.run_id = run_id
        self.registry = Registry(project.root)
        self.inputs = Inputs(project.store, parts, project.root)
        self._cores = os.cpu_count() or 1
        self.memory_limit = fair_share(project.settings.memory_limit, options.jobs)
        self._functions: dict[str, Any] = {}

    @property
    def threads(self) -> int:
        """How many threads the engine of one task may use."""
        return max(1, self._cores // max(1, self.options.jobs))

    def transform(self, detail: TaskDetail) -> Any:
        """Return the transform of a task, importing the project's modules that may register it."""
        if detail.imports:
            self.registry.add_modules(detail.imports)
        return self.registry.get(detail.transform)

    def job(
        self,
        transform: Any,
        plan: Plan,
        node: TaskNode,
        facts: Facts,
        detail: TaskDetail,
        log: TaskLog,
        cancellation: Cancellation,
        trees: Mapping[str, Tree] | None = None,
    ) -> Job:
        """Return what a task is given; `base` is left to the caller.

        Args:
            transform: of the task.
            plan: its plan.
            node: the task.
            facts: what was observed.
            detail: of the task.
            log: of the task.
            cancellation: what interrupts it.
            trees: what its globs stand for; None: as it was observed last.
        """
        root = self.project.root
        listed = facts.trees_of(node) if trees is None else trees
        params = detail.params
        if detail.templated:
            log.secrets = secret_values(params, self.project.env)
            params = resolve_secrets(params, self.project.env)
        connection = self._connection(log, Place.of(node.outside).connection) if node.outside else {}
        full = facts.files.full
        return Job(
            name=f"{plan.pipeline}:{node.name}",
            params=transform.params.model_validate(params),
            inputs=self._tables(facts, detail),
            sources=_Sources(facts, listed, detail.sources),
            outputs=_Outputs([full(p) for p in node.outputs]),
            key=tuple(detail.key),
            base=None,
            functions={f: self._function(f) for f in detail.functions},
            parts=self.parts,
            root=root,
            scratch_folder=full(f"{SCRATCH}/{self.run_id}-{plan.pipeline}.{node.name}"),
            log=log,  # type: ignore[arg-type]  # TextIOBase is what TextIO names, but not a subtype
            connection=connection,
            made_by=partial(self._made_by, plan, detail, log),
            connect=partial(self._connection, log),
            threads=self.threads,
            memory_limit=self.memory_limit,
            previous=self._previous(node, facts),
            allow_shrink=node.name in self.options.allow_shrink,
            intact=node.kept and facts.files.seen.get(node.place) == facts.lists(node.name).outputs.get(node.place),
            view=detail.view,
            observed=lambda: observed(facts, listed, detail.sources),
            changes=lambda: changes(node, facts, listed),
            on_cancel=cancellation.add,
            remote=Remote(ENTRY, tuple(detail.imports)),
            prepared=detail.prepared,
        )

    def _made_by(self, plan: Plan, detail: TaskDetail, log: TaskLog, alias: str) -> tuple[str, Mapping[str, Any]]:
        """Return the transform that made an input, and its params."""
        other = self.project.details(plan, (detail.inputs[alias],))[detail.inputs[alias]]
        if not other.templated:
            return other.transform, other.params
        known = {*log.secrets, *secret_values(other.params, self.project.env)}
        log.secrets = tuple(sorted(known, key=len, reverse=True))
        return other.transform, resolve_secrets(other.params, self.project.env)

    def _connection(self, log: TaskLog, name: str) -> Mapping[str, Any]:
        """Return a connection, secrets resolved; from then on the log of a task hides them."""
        connection, secrets = self.project.stores.resolved(name)
        log.secrets = tuple(sorted({*log.secrets, *secrets}, key=len, reverse=True))
        return connection

    def check_functions(self, detail: TaskDetail) -> dict[str, Any]:
        """Return the functions that the checks of a task call."""
        entries = [entry_of(check["function"]) for check in detail.expect if "function" in check]
        if entries and detail.imports:
            self.registry.add_modules(detail.imports)
        return {entry: self._function(entry) for entry in entries}

    def _previous(self, node: TaskNode, facts: Facts) -> Manifest | None:
        """Return the task's last table."""
        record = facts.records.get(node.name)
        return (
            self.inputs.manifest(record.manifest)
            if record and record.manifest and (node.kept or not (node.outputs or node.folder))
            else None
        )

    def _function(self, entry: str) -> Any:
        if entry not in self._functions:
            self._functions[entry] = load_function(self.project.root, entry)
        return self._functions[entry]

    def _tables(self, facts: Facts, detail: TaskDetail) -> dict[str, Input]:
        found = {alias: self._input(facts, task) for alias, task in detail.inputs.items()}
        for alias, listed in detail.families.items():
            read = [(self._input(facts, task), values) for task, values in listed]
            members = [(table, values) for table, values in read if table is not None]
            found[alias] = family(alias, members) if members else None
        return {alias: table for alias, table in found.items() if table is not None}

    def related(self, facts: Facts, detail: TaskDetail) -> dict[str, Input]:
        """Return the tables that relationships are compared with. Raises TaskError for a task that writes files."""
        found = {to: (task, self._input(facts, task)) for to, task in detail.related.items()}
        for task, table in found.values():
            if table is None:
                raise TaskError(f"a relationship is checked with '{task}', which writes files", help="name a table")
        return {to: table for to, (_, table) in found.items() if table is not None}

    def _input(self, facts: Facts, task: str) -> Input | None:
        manifest = self.inputs.manifest(facts.manifest(task))
        return None if manifest.kind == "files" else self.inputs.find(task, manifest)

    def base(self, plan: Plan, node: TaskNode, facts: Facts) -> Base | None:
        """Return the newest build of this very recipe whose parts are all there, with the watermark that belongs to it."""
        store, name = self.project.store, node.name
        record = facts.records.get(name)
        candidates: list[tuple[str, str | None, Any]] = []
        beside = "left join manifests q on q.fingerprint"
        if record and record.recipe == node.recipe:
            watermark = get_watermark(store, plan.pipeline, name)
            rows = store.rows(
                f"select m.body, q.body from tasks t join manifests m on m.fingerprint = t.manifest"
                f" {beside} = t.quarantine where t.pipeline = ? and t.task = ?",
                (plan.pipeline, name),
            )
            # The task's own last build, or none: an older one may have rows that a full read has seen vanish since.
            candidates += [(body, aside, watermark) for body, aside in rows if watermark is not None]
        else:
            candidates += [
                (body, aside, json.loads(value))
                for body, aside, value in store.rows(
                    f"select m.body, q.body, b.watermark from builds b join manifests m on m.fingerprint = b.manifest"
                    f" {beside} = b.quarantine"
                    " where b.recipe = ? and b.watermark is not null order by b.made_ms desc",
                    (node.recipe,),
                )
            ]
        for body, aside, watermark in candidates:
            found = [Manifest.from_json(b) for b in (body, aside) if b]
            if not any(map(self.parts.missing, found)):
                return Base(with_aside(*(self.inputs.find(name, m) for m in found)), watermark)
        return None

    def remember(self, manifest: Manifest, body: str) -> Fingerprint:
        """Return the manifest's fingerprint; keep a table's at hand for the tasks that read it before it is committed."""
        fingerprint = xxh3_hex(body.encode())
        if manifest.kind != "files":
            self.inputs.remember(fingerprint, manifest)
        return fingerprint
