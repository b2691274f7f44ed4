"""Run one test: its rows become tables in a scratch folder, the task's own transform runs on them, and rows are compared."""

from __future__ import annotations

import contextlib
import os
import shutil
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mmetl.cache.artifacts import PartStore
from mmetl.cache.fingerprints import FileCache
from mmetl.cache.layout import part_path
from mmetl.cache.listing import is_glob, list_files
from mmetl.cache.python_rows import python_rows
from mmetl.config.cases import Given
from mmetl.config.secrets import resolve_secrets, secret_values
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.entry import entry_of
from mmetl.contracts.transform import Input, Job, Made, SourceFile, Table, View
from mmetl.core.cases.collect import Trial
from mmetl.core.cases.unrecorded import Unrecorded
from mmetl.core.registry import Registry, load, load_function
from mmetl.core.running.checking import OWN, Published, Put, failure, put_checks
from mmetl.core.running.deadline import Cancellation, limited
from mmetl.core.running.families import variable_types
from mmetl.core.running.placing import place
from mmetl.errors import CellError, MmetlError, Problem, QueryError, TaskError
from mmetl.observability.logs import TaskLog, printing_to
from mmetl.utils.memory import fair_share

TYPED, FOUND, COMPARE = (
    "mmetl.checks.given:typed_table",
    "mmetl.checks.given:found_rows",
    "mmetl.checks.compare:compare",
)
OF_LIFE = frozenset({"row_count", "freshness"})
"""Checks that a handful of made-up rows cannot meet: how many rows there are, and how old they are."""


class Verdict(NamedTuple):
    """How a test came out.

    Attributes:
        trial: the test.
        status: `invalid`: its file has rows that cannot be.
        error: why it failed, unless rows differ.
        contrast: how the rows of the table differ from those expected (see checks.compare).
        aside: the same of the rows that are set aside.
        columns: the columns that were compared, in order.
        log: what the task printed.
    """

    trial: Trial
    status: Literal["passed", "failed", "invalid"]
    error: Problem | None = None
    contrast: Any = None
    aside: Any = None
    columns: Sequence[str] = ()
    log: str = ""


class _StopError(Exception):
    """Ends a test: what it says cannot be, or the table has no such column."""

    def __init__(self, problem: Problem, status: Literal["failed", "invalid"] = "invalid") -> None:
        super().__init__(problem.what)
        self.problem = problem
        self.status = status


class Bench:
    """Runs tests, one after the other, each in an empty folder.

    Args:
        project: the project.
        folder: an empty folder.
    """

    def __init__(self, project: Unrecorded, folder: Path) -> None:
        self.project = project
        self.folder = folder
        self.registry = Registry(project.root)
        self.options = {
            "threads": os.cpu_count() or 1,
            "memory_limit": fair_share(project.settings.memory_limit, 1),
        }

    def run(self, trial: Trial) -> Verdict:
        """Run a test. What goes wrong is told, never raised, but for KeyboardInterrupt."""
        home = self.folder / trial.name
        log = TaskLog(str(home / "log"))
        try:
            with contextlib.chdir(self.project.root), printing_to(log):  # type: ignore[arg-type]  # as elsewhere
                verdict = _Stage(self, trial, home, log).verdict()
        except _StopError as e:
            verdict = Verdict(trial, e.status, e.problem)
        except KeyboardInterrupt:
            raise
        except BaseException as e:  # noqa: BLE001  user code may raise anything; the next test goes on
            verdict = self._failed(trial, e, log)
        log.close()
        printed = Path(log.path).read_text(encoding="utf-8") if os.path.exists(log.path) else ""
        shutil.rmtree(home, ignore_errors=True)
        return verdict._replace(log=printed)

    def _failed(self, trial: Trial, error: BaseException, log: TaskLog) -> Verdict:
        """Return the verdict on a task that failed: that may be what was expected."""
        if isinstance(error, QueryError):
            place(trial.pipeline.loaded, trial.case.task, error)
        if isinstance(error, MmetlError):
            problem = Problem(log.redacted(error.what), error.where, log.redacted(error.help))
        else:
            problem = Problem(log.redacted(f"{type(error).__name__}: {error}"))
            log.write("".join(traceback.format_exception(error)))
        wanted = trial.case.fails
        if wanted is None:
            return Verdict(trial, "failed", problem)
        if wanted in str(problem):
            return Verdict(trial, "passed")
        what = f"it failed, but '{wanted}' is not in the error: {problem.what}"
        return Verdict(trial, "failed", problem._replace(what=what))


class _Stage:
    """One test while it runs."""

    def __init__(self, bench: Bench, trial: Trial, home: Path, log: TaskLog) -> None:
        self.bench, self.trial, self.home, self.log = bench, trial, home, log
        self.detail = trial.detail
        self.files = FileCache(str(home), {})
        self.parts = PartStore(self.files)
        self.inputs: dict[str, Input] = {}
        self.scratch = home / "scratch"
        self.scratch.mkdir(parents=True)

    def verdict(self) -> Verdict:
        """Run the task, and compare."""
        case, trial = self.trial.case, self.trial
        tables = self._tables()
        cancellation = Cancellation()
        job, made = limited(self.detail.timeout_s, cancellation, lambda: self._ran(tables, cancellation))
        if case.fails is not None:
            what = f"it was to fail with '{case.fails}', and it did not"
            return Verdict(trial, "failed", Problem(what, trial.where("fails")))
        contrast, columns = self._contrast("expected", case.expected, made.manifest, job)
        aside, others = self._contrast("quarantined", case.quarantined, made.aside, job)
        status: Literal["passed", "failed"] = "failed" if contrast or aside else "passed"
        return Verdict(trial, status, None, contrast, aside, list(dict.fromkeys([*columns, *others])))

    def _ran(self, tables: Mapping[str, Table], cancellation: Cancellation) -> tuple[Job, Published]:
        """Run the task with its checks; return what it was given, and what came of it."""
        self.inputs = {alias: tables[alias] for alias in self.trial.aliases}  # the first is that of the items
        job = self._job(cancellation)
        return job, self._checked(self._made(job), tables, job, cancellation)

    # --- what it is given

    def _tables(self) -> dict[str, Table]:
        return {alias: self._table(alias, given) for alias, given in self.trial.case.inputs.items()}

    def _table(self, alias: str, given: Given) -> Table:
        detail, tasks = self.detail, self.trial.pipeline.details
        upstream = tasks.get(detail.inputs.get(alias, alias))
        types = {**self._declared(alias, upstream), **given.columns}
        if not types and not any(given.rows):
            what, help_ = f"nobody knows the columns of '{alias}'", "write columns: {NAME: TYPE, ...} and rows: []"
            raise _StopError(Problem(what, self.trial.where("inputs", alias), help_))
        rows = self._typed(("inputs", alias), given.rows, types)
        key = given.key if given.key is not None else tuple(upstream.key) if upstream else ()
        if given.key is None and not set(key) <= set(rows.column_names):
            key = ()

        def give() -> Any:
            return rows

        python = self.bench.registry.get("tabular.python")
        params = python.params.model_validate({"function": "given:rows"})
        job = self._bare_job(params, {}, tuple(key), {"given:rows": give})
        try:
            made = python.run(job)
        except TaskError as e:
            raise _StopError(Problem(f"'{alias}': {e.what}", self.trial.where("inputs", alias), e.help)) from e
        assert made
        manifest = Manifest("table", made.parts, tuple(key), made.columns, made.buckets)
        return self._table_of(detail.inputs.get(alias, alias), manifest)

    def _declared(self, alias: str, upstream: Any) -> dict[str, str]:
        """Return the types that a check of the input's task fixes, and those of the variables of a family."""
        types: dict[str, str] = {}
        for check in upstream.expect if upstream else ():
            types.update(check.get("schema", {}))
        if alias in self.detail.families:
            types.update(variable_types([values for _, values in self.detail.families[alias]]))
        return types

    def _typed(self, path: tuple[str, ...], rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> Any:
        try:
            return load(TYPED)(rows, types, self.scratch)
        except MmetlError as e:
            cell = (e.row, e.column) if isinstance(e, CellError) else None
            where = self.trial.where(*self.trial.rows_at(*path), *cell) if cell else self.trial.where(*path)
            raise _StopError(Problem(e.what, where, e.help)) from e

    # --- the task

    def _job(self, cancellation: Cancellation) -> Job:
        detail, project = self.detail, self.bench.project
        params = detail.params
        if detail.templated:
            self.log.secrets = secret_values(params, project.env)
            params = resolve_secrets(params, project.env)
        if detail.imports:
            self.bench.registry.add_modules(detail.imports)
        transform = self.bench.registry.get(detail.transform)
        functions = {f: load_function(project.root, f) for f in detail.functions}
        job = self._bare_job(transform.params.model_validate(params), self.inputs, tuple(detail.key), functions)
        job.sources = {s: self._listed(s) for s in detail.sources}
        job.view = detail.view
        job.on_cancel = cancellation.add
        job.observed = lambda: self._observed(p for listed in job.sources.values() for p in listed)
        return job

    def _observed(self, paths: Iterable[Path]) -> Iterator[SourceFile]:
        files, root = self.bench.project.files, self.bench.project.root
        for path in (os.path.relpath(p, root) for p in paths):
            fingerprint = files.fingerprint(path)
            yield SourceFile(path, files.size_of(path), fingerprint)

    def _bare_job(self, params: Any, inputs: dict[str, Input], key: tuple[str, ...], functions: dict[str, Any]) -> Job:
        options: dict[str, Any] = self.bench.options
        return Job(
            name=f"{self.trial.pipeline.plan.pipeline}:{self.trial.case.task}",
            params=params,
            inputs=inputs,
            sources={},
            outputs=(),
            key=key,
            base=None,
            functions=functions,
            parts=self.parts,
            root=self.bench.project.root,
            scratch_folder=str(self.scratch),
            log=self.log,  # type: ignore[arg-type]  # TextIOBase is what TextIO names, but not a subtype
            **options,
        )

    def _listed(self, source: str) -> list[Path]:
        root = self.bench.project.root
        return [root / p for p in (list_files(str(root), source) if is_glob(source) else (source,))]

    def _made(self, job: Job) -> Published:
        transform = self.bench.registry.get(self.detail.transform)
        made: Made | None = transform.run(job)
        if made is None or made.files:
            raise TaskError("it made no table that could be compared", help="test the task that it reads")
        if made.view:
            return Published(Manifest("view", columns=made.columns, sql=made.view), None)
        key = job.key if made.key is None else made.key
        return Published(Manifest("table", made.parts, key, made.columns, made.buckets), made.quarantine)

    def _checked(self, made: Published, tables: Mapping[str, Table], job: Job, cancellation: Cancellation) -> Published:
        """Evaluate the checks of the task as a run would, as far as made-up rows can meet them."""
        related = {to: tables[task] for to, task in self.detail.related.items() if task in tables}
        expect = [check for check in self.detail.expect if self._applies(check, related)]
        if not expect or not self.trial.case.checks:
            return made
        entries = [entry_of(check["function"]) for check in expect if "function" in check]
        own = load(OWN)({e: load_function(job.root, e) for e in entries}, job.root, self.log)
        options = {**self.bench.options, "on_cancel": cancellation.add}
        put = Put(self._find, related, own, self.parts, self.home / "checks", options)
        results, left = put_checks(put, expect, made)
        failed = failure(results)
        if failed:
            raise failed
        return left

    def _applies(self, check: Mapping[str, Any], related: Mapping[str, Any]) -> bool:
        if OF_LIFE.intersection(check):
            return False
        to = check.get("relationship", {}).get("to")
        return to is None or to in related or to not in self.detail.related

    def _find(self, manifest: Manifest) -> Input:
        task = self.trial.case.task
        if manifest.kind == "view":
            return View(task, manifest, self.inputs)
        return self._table_of(task, manifest)

    def _table_of(self, task: str, manifest: Manifest) -> Table:
        return Table(task, manifest, tuple(self.home / part_path(p.fingerprint) for p in manifest.parts))

    # --- comparing

    def _contrast(
        self, what: str, expected: Sequence[Mapping[str, Any]] | None, manifest: Manifest | None, job: Job
    ) -> tuple[Any, Sequence[str]]:
        """Return how the rows of a table differ from those expected, and the columns that were compared."""
        if expected is None:
            return None, ()
        found = load(FOUND)(self._find(manifest), job) if manifest else None
        types = found.types if found else {name: "VARCHAR" for row in expected for name in row}
        named = dict.fromkeys(name for row in expected for name in row)
        for n, row in enumerate(expected):
            for name in row:
                if name not in types:
                    help_ = f"its columns: {', '.join(types)}"
                    where = self.trial.where(what, n, name, on_key=True)
                    raise _StopError(Problem(f"the table has no column '{name}'", where, help_), "failed")
        compared = {name: kind for name, kind in types.items() if name in named or not named}
        wanted = python_rows(self._typed((what,), expected, compared))
        rows = [{c: row[c] for c in compared} for row in found.rows] if found else []
        key = manifest.key if manifest else ()
        ordered = self.trial.case.ordered and what == "expected"
        return load(COMPARE)(wanted, rows, compared, key, ordered=ordered), list(compared)
