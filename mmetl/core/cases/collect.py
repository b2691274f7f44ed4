"""Find the tests of a project, and check each against the task that it names."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from mmetl.cache.listing import list_files
from mmetl.cache.plans import relative
from mmetl.config.cases import Case, CaseFile
from mmetl.config.loader import load_cases
from mmetl.config.matrix import family_of
from mmetl.config.positions import Source
from mmetl.contracts.plan import TaskDetail
from mmetl.core.cases.unrecorded import Pipeline, Unrecorded, as_option
from mmetl.core.registry import load
from mmetl.core.selectors.asked import CHANGING, SHOWN, ask
from mmetl.core.selectors.parser import parse
from mmetl.errors import ConfigError, Problem, UsageError, Where
from mmetl.utils.text import near

WRONG_TYPES = "mmetl.checks.given:wrong_types"


class Trial(NamedTuple):
    """A test that can be run.

    Attributes:
        name: of the test.
        case: what it says.
        pipeline: planned with its variables.
        source: finds positions in its file.
    """

    name: str
    case: Case
    pipeline: Pipeline
    source: Source

    @property
    def detail(self) -> TaskDetail:
        """What running the task needs."""
        return self.pipeline.details[self.case.task]

    @property
    def aliases(self) -> tuple[str, ...]:
        """The names of the task's inputs."""
        return aliases_of(self.detail)

    def where(self, *path: str | int, on_key: bool = False) -> Where:
        """Return the position of something that the test says."""
        return self.source.locate(("tests", self.name, *path), on_key=on_key)

    def rows_at(self, *path: str) -> tuple[str | int, ...]:
        """Return where the rows of a table are: they may be a list, or stand under `rows`."""
        inner = (*path, "rows")
        return inner if self.source.has(("tests", self.name, *inner)) else path


def aliases_of(detail: TaskDetail) -> tuple[str, ...]:
    """Return the names of a task's inputs, families among them."""
    return (*detail.inputs, *detail.families)


def collect(project: Unrecorded, names: Sequence[str], select: Sequence[str], exclude: Sequence[str]) -> list[Trial]:
    """Return the tests that are asked for, in the order of their files.

    Args:
        project: the project.
        names: of tests, with wildcards; empty for all.
        select: selectors of the tasks under test; empty for all.
        exclude: selectors of tasks whose tests are left out.

    Raises:
        ConfigError: with every problem of the files of tests, and of the pipelines that they name.
        UsageError: if there is no test, or none is asked for.
    """
    paths = dict.fromkeys(p for glob in project.settings.tests for p in list_files(str(project.root), glob))
    if not paths:
        help_ = f"write some into {project.settings.tests[0] if project.settings.tests else 'a file'}, see docs/reference/tests.md"
        raise UsageError("this project has no tests", help=help_)
    trials: list[Trial] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            trials += _of_file(project, project.root / path)
        except ConfigError as e:
            problems += e.problems
    problems += _twice(trials)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    chosen = _by_task(project, _by_name(trials, names), select, exclude)
    if not chosen:
        raise UsageError("no test is about these tasks", help=f"tests: {_some(t.name for t in trials)}")
    return chosen


def _of_file(project: Unrecorded, path: Path) -> list[Trial]:
    said, source = load_cases(path, root=project.root, env=project.env)
    home = _home(project, said, source)
    known = project.pipeline(home, {}).loaded.pipeline.vars
    found, problems = [], []
    for name, case in said.tests.items():
        unknown = [v for v in case.vars if v not in known]
        for var in unknown:
            close = near(var, known)
            help_ = f"did you mean '{close}'?" if close else f"vars: {', '.join(known) or 'none'}"
            where = source.locate(("tests", name, "vars", var), on_key=True)
            problems.append(Problem(f"the pipeline has no var '{var}'", where, help_))
        if unknown:
            continue
        pipeline = project.pipeline(home, {v: as_option(value) for v, value in case.vars.items()})
        trial = Trial(name, case, pipeline, source)
        wrong = list(_wrong(trial, relative(project.root, home)))
        problems += wrong
        found += [trial] if not wrong else []
    if problems:
        raise ConfigError(sorted(problems, key=source.order))
    return found


def _home(project: Unrecorded, said: CaseFile, source: Source) -> Path:
    try:
        return project.find_pipeline(said.pipeline)
    except UsageError as e:
        help_ = e.help if said.pipeline else f"{e.help}; write it as 'pipeline:' in this file"
        raise ConfigError([Problem(e.what, source.locate(("pipeline",)), help_)]) from None


def _wrong(trial: Trial, home: str) -> Iterator[Problem]:
    """Yield what a test says of its task that is not so."""
    case, tasks = trial.case, trial.pipeline.plan.tasks
    if case.task not in tasks:
        members = [t for t in tasks if family_of(t) == case.task]
        close = near(case.task, tasks)
        help_ = f"did you mean '{close}'?" if close else f"tasks: {_some(tasks)}"
        what = f"'{case.task}' is not a task of {home}"
        if members:
            what, help_ = f"'{case.task}' is a family of tasks", f"name one of its members: {_some(members)}"
        yield Problem(what, trial.where("task"), help_)
        return
    node = tasks[case.task]
    if node.outputs or node.folder:
        help_ = "test the task that it reads"
        yield Problem(f"'{case.task}' writes files: it has no rows to compare", trial.where("task"), help_)
        return
    yield from _wrong_inputs(trial)


def _wrong_inputs(trial: Trial) -> Iterator[Problem]:
    aliases, given = trial.aliases, trial.case.inputs
    related = trial.detail.related.values()
    for alias in given:
        if alias in aliases or alias in related:
            continue
        close = near(alias, aliases)
        help_ = f"did you mean '{close}'?" if close else f"its inputs: {', '.join(aliases) or 'none'}"
        where = trial.where("inputs", alias, on_key=True)
        yield Problem(f"'{trial.case.task}' has no input '{alias}'", where, help_)
    for alias in aliases:
        if alias not in given:
            what = f"the test does not give '{alias}', which '{trial.case.task}' reads"
            yield Problem(what, trial.where("inputs", on_key=True), f"for a table without rows: {alias}: []")
    for alias, table in ((a, t) for a, t in given.items() if t.columns):
        with tempfile.TemporaryDirectory(prefix="mmetl-test-") as scratch:
            for column, error in load(WRONG_TYPES)(table.columns, Path(scratch)):
                what = f"'{table.columns[column]}' is not a type"
                help_ = error.help or "write a type of DuckDB, such as DECIMAL(10,2)"
                yield Problem(what, trial.where("inputs", alias, "columns", column), help_)


def _twice(trials: Iterable[Trial]) -> Iterator[Problem]:
    seen: dict[str, Trial] = {}
    for trial in trials:
        first = seen.setdefault(trial.name, trial)
        if first is not trial:
            what = f"two tests are called '{trial.name}': the other is in {first.where().file}"
            yield Problem(what, trial.where(on_key=True), "give one of them another name")


def _by_name(trials: Sequence[Trial], names: Sequence[str]) -> list[Trial]:
    for name in names:
        if not any(fnmatchcase(t.name, name) for t in trials):
            close = near(name, [t.name for t in trials])
            help_ = f"did you mean '{close}'?" if close else f"tests: {_some(t.name for t in trials)}"
            raise UsageError(f"no test is called '{name}'", help=help_)
    return [t for t in trials if not names or any(fnmatchcase(t.name, n) for n in names)]


def _by_task(
    project: Unrecorded, trials: Sequence[Trial], select: Sequence[str], exclude: Sequence[str]
) -> list[Trial]:
    if not select and not exclude:
        return list(trials)
    taken: dict[str, set[str]] = {}
    refused: list[UsageError] = []
    plans = {t.pipeline.plan.key: t.pipeline.plan for t in trials}
    for key, plan in plans.items():
        for text in (parse(select, plan), parse(exclude, plan, "--exclude")):
            for atom in (a for word in text for a in word if a.method in CHANGING):
                raise UsageError(
                    f"'{atom.method}:' asks for what runs have left, which tests do not look at",
                    atom.place.where,
                    "select tests by the names, tags or transforms of their tasks",
                )
        try:
            taken[key] = ask(project, plan, select, exclude).tasks()
        except UsageError as e:
            refused.append(e)
    if len(refused) == len(plans):
        raise refused[0]
    return [t for t in trials if t.case.task in taken.get(t.pipeline.plan.key, ())]


def _some(names: Iterable[Any]) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
