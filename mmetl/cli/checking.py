"""`validate` and `dry-run`, without their parsing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmetl.cli.output import USAGE, columns, count, counted, run_json, say, say_json, some, talk
from mmetl.cli.running import open_project
from mmetl.contracts.plan import Plan
from mmetl.core.looking.preview import Preview, preview
from mmetl.core.looking.queries import TaskQuery, task_queries
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.running.guards import refuse_uninstalled
from mmetl.errors import ConfigError, ExitCode, MmetlError, Problem, UsageError
from mmetl.observability.runs import TaskRun
from mmetl.utils.garbage import collection_paused
from mmetl.utils.text import shown


def dry_run(
    pipeline: str | None, options: RunOptions, *, as_json: bool = False, exit_code: bool = False, sql: bool = False
) -> int:
    """Say what a run would do, and why; with `sql` also the queries of the tasks."""
    project, path = open_project(pipeline)
    plan, previews = preview(project, path, options)
    stale = [p for p in previews if p.outcome != "fresh"]
    queries = list(task_queries(project, plan, [p.task for p in previews])) if sql else []
    if as_json:
        tasks = [TaskRun(p.task, p.outcome, p.reasons, counts=p.counts) for p in previews]
        status = "failed" if any(t.outcome == "failed" for t in tasks) else "succeeded"
        answer = run_json(None, plan.pipeline, status, tasks)
        found = {q.task: q for q in queries}
        for task in answer["tasks"] if sql else ():
            query = found.get(task["task"])
            task["sql"] = _query_json(query) if query else None
        say_json(answer)
    else:
        if stale:
            say(columns([(_word(p), p.task, "; ".join(_told(p))) for p in stale], indent=""))
        for query in queries:
            threads = f", may run on one thread: {'; '.join(query.single_thread)}" if query.single_thread else ""
            say("\n".join([f"\n-- {query.task}: {query.engine}{threads}", *_reads(query), f"{query.sql};"]))
        verbs = "has work to do or waits" if len(stale) == 1 else "have work to do or wait"
        say(f"{plan.pipeline}: {len(stale)} of {count(len(previews), 'task')} {verbs} for it")
    return ExitCode.STALE if stale and exit_code else ExitCode.DONE


def _reads(query: TaskQuery) -> Iterator[str]:
    """Yield a line for each table that a query reads."""
    for task, read in query.reads.items():
        told = (
            "columns are not known before it has run" if read is None else ", ".join(read) or "no column, only its rows"
        )
        yield f"-- reads {task}: {told}"


def _query_json(query: TaskQuery) -> dict[str, Any]:
    reads = {task: list(read) if read is not None else None for task, read in query.reads.items()}
    return {"query": query.sql, "engine": query.engine, "single_thread": list(query.single_thread), "reads": reads}


def _told(p: Preview) -> Iterator[str]:
    """Yield what a line says of a task: the items that it would compute, why it would run, what else there is to know."""
    if p.counts:
        counts = {word: n for word, n in p.counts.items() if word not in {"computed", *USAGE}}
        computed = f"{p.counts['computed']:,} to compute" if "computed" in p.counts else ""
        spent = counted({word: p.counts[word] for word in USAGE if word in p.counts})
        yield ", ".join(filter(None, (counted(counts), computed, spent and f"about {spent}")))
    yield from (*some(p.reasons), *p.notes)


def _word(p: Preview) -> str:
    """Return what would happen, as a verb."""
    words = {"ran": "run", "restored": "restore", "failed": "fail", "blocked": "blocked"}
    return "wait" if p.waits else words[p.outcome]


@collection_paused()
def validate(pipeline: str | None, variables: Mapping[str, str], *, connect: bool = False) -> int:
    """Check one pipeline, or all of the project; tell every problem at once. With `connect`, go to each server as well."""
    if pipeline is not None:
        project, path = open_project(pipeline)
        paths = [path]
    else:
        project = Project.open(".")
        paths = project.pipeline_files() or [project.find_pipeline(None)]
    problems: list[Problem] = []
    plans: dict[Path, Plan] = {}
    for path in paths:
        try:
            plans[path] = project.plan(path, variables)
        except ConfigError as e:
            problems += e.problems
    if problems:
        raise ConfigError(problems)
    project.refuse_clashes(plans)
    for plan in plans.values():
        refuse_uninstalled(project.details(plan, plan.tasks), leave_out=False)
    for plan in plans.values():
        say(f"{plan.pipeline}: valid, {count(len(plan.tasks), 'task')}")
    return _connect(project) if connect else ExitCode.DONE


def _connect(project: Project) -> int:
    """Go to each server of the project; say of each who answered, or why nobody did."""
    failed = [ExitCode.DONE]
    for name in project.stores.connections:
        try:
            say(f"connection {name}: {project.stores.check(name)}")
        except MmetlError as error:
            told = f"connection '{name}': {error.what}"
            talk(str(Problem(told, None, error.help)))
            failed.append(error.exit_code)
    return max(failed)


def with_variables(options: RunOptions, pairs: list[str]) -> RunOptions:
    """Return the options with `name=value` pairs taken in. Raises UsageError for a word without `=`."""
    variables = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--var '{shown(pair)}' has no value", help="write --var name=value")
        try:
            pair.encode()
        except UnicodeEncodeError:
            raise UsageError(f"--var {shown(name)} is not UTF-8") from None
        variables[name] = value
    return options._replace(variables=variables)
