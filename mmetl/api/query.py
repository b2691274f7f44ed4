"""SQL over the artifacts of a project: each is a view, named by its task."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmetl.cache.artifacts import PartStore
from mmetl.cache.layout import SCRATCH
from mmetl.cache.lock import reading
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.transform import Input
from mmetl.core.keep import orphans
from mmetl.core.project import Project
from mmetl.core.running.families import family
from mmetl.core.running.inputs import Inputs
from mmetl.engines.packages import require
from mmetl.errors import TaskError, UsageError
from mmetl.utils.text import near

if TYPE_CHECKING:
    from mmetl.engines.duckdb import Rows

_WORD = re.compile(r"\w+")
_UNKNOWN = re.compile(r"[Tt]able with name (\S+) does not exist")
LISTING = frozenset({"tables", "views", "information_schema", "duckdb_tables", "duckdb_views", "duckdb_columns"})
"""Words of a query that asks which tables there are; others get only the views that they name."""
SHOW_TABLES = (
    "select table_name as name from information_schema.tables where not starts_with(table_name, '__mmetl_') order by 1"
)
"""What stands in for `show tables`, which would also list what views are made of."""
SHOWN = 10


class Current(NamedTuple):
    """A task that has an artifact now. `body` is its manifest as text."""

    pipeline: str
    task: str
    body: str


def current(project: Project) -> list[Current]:
    """Return what the tasks of the project have made, as the state file knows it; no YAML is read."""
    gone = set(orphans(project))
    sql = (
        "select t.pipeline, t.task, m.body from tasks t join manifests m on m.fingerprint = t.manifest"
        " order by t.pipeline, t.task"
    )
    return [Current(*row) for row in project.store.rows(sql) if row[:2] not in gone]


@contextlib.contextmanager
def query(project: Project, sql: str, text: str | None = None) -> Iterator[Rows]:
    """Run one query over the project's artifacts, and give its rows as they are computed.

    Every task that made a table can be named: as `task` where only one pipeline has it, and as `pipeline.task`. The
    session reads these parts and nothing else, and garbage collection leaves them until the block ends.

    Args:
        project: the project.
        sql: the query.
        text: what of it somebody wrote, on lines of its own from the second one on; None: all. Messages show nothing else.

    Raises:
        UsageError: if it is not exactly one query, or the engine refuses it, with the position in the SQL.
        MissingError: if the extra `tabular` is not installed.
    """
    require("tabular", "duckdb", "pyarrow")
    from mmetl.engines.duckdb import session

    sql = SHOW_TABLES if sql.lower().strip(" ;\n") == "show tables" else sql
    with contextlib.ExitStack() as stack:
        if project.store.exists():
            stack.enter_context(reading(project.store.folder))
        scratch = Path(stack.enter_context(scratch_folder(project)))
        known = current(project)
        try:
            _refuse_others(sql, sql if text is None else text)
            views = _mentioned(project, known, sql)
            threads = os.cpu_count() or 1
            db = stack.enter_context(session(scratch, tables={v.alias: v.input for v in views}, threads=threads))
            for statement in _qualified(views, sql):
                db.rows(statement)
            yield db.stream(sql, sql if text is None else text)
        except TaskError as error:
            raise UsageError(error.what, error.where, _help(error, known)) from error


class _View(NamedTuple):
    pipeline: str
    task: str
    alias: str
    input: Input


def scratch_folder(project: Project) -> tempfile.TemporaryDirectory[str]:
    """Return a folder for what does not fit into memory: the project's, which has the room, if it can be written."""
    folder = project.root / SCRATCH
    try:
        folder.mkdir(exist_ok=True)
        return tempfile.TemporaryDirectory(prefix="query-", dir=folder)
    except OSError:
        return tempfile.TemporaryDirectory(prefix="mmetl-query-")


def _refuse_others(sql: str, text: str) -> None:
    import duckdb

    from mmetl.engines.duckdb import explain

    try:
        found = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise explain(str(error), text) from error
    if len(found) != 1:
        raise TaskError(f"one query is expected, and this is {len(found) or 'none'}", help="write one SELECT")
    kind = found[0].type
    if kind not in {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}:
        raise TaskError(
            f"a query is expected, and this is {kind.name}", help="artifacts are only read here: write a SELECT"
        )


def _mentioned(project: Project, known: list[Current], sql: str) -> list[_View]:
    """Return the artifacts whose names are words of the query; a view costs a look into a file, and there may be many."""
    words = set(_WORD.findall(sql.lower()))
    everything = not LISTING.isdisjoint(words)
    inputs = Inputs(project.store, PartStore(project.files), project.root)
    tasks = [k.task for k in known]
    found = []
    for pipeline, task, body in known:
        if everything or task.partition("@")[0] in words:
            manifest = Manifest.from_json(body)
            if manifest.kind != "files":
                found.append(_View(pipeline, task, _alias(tasks, pipeline, task), inputs.find(task, manifest)))
    return [*found, *_families(project, found, tasks)]


def _alias(tasks: list[str], pipeline: str, task: str) -> str:
    """Return the name of the view: the task's own, where only one pipeline has it."""
    return task if tasks.count(task) == 1 else f"{pipeline}.{task}"


def _families(project: Project, found: list[_View], tasks: list[str]) -> Iterator[_View]:
    """Yield a view for each family of a matrix: the union of its members, after a column for each variable."""
    members: dict[tuple[str, str], list[_View]] = {}
    for view in found:
        if "@" in view.task:
            members.setdefault((view.pipeline, view.task.partition("@")[0]), []).append(view)
    if not members:
        return
    plans = {plan.pipeline: plan for plan in (project.plan(p) for p in project.pipeline_files())}
    homes = [task for _, task in members]
    for (pipeline, task), views in members.items():
        details = project.details(plans[pipeline], [v.task for v in views])
        alias = _alias([*homes, *tasks], pipeline, task)
        yield _View(pipeline, task, alias, family(task, [(v.input, details[v.task].matrix) for v in views]))


def _qualified(views: list[_View], sql: str) -> Iterator[str]:
    """Yield the statements that make `pipeline.task` a name too, for the pipelines that the query mentions."""
    from mmetl.utils.text import quote

    words = set(_WORD.findall(sql.lower()))
    for pipeline in dict.fromkeys(v.pipeline for v in views):
        if pipeline in words:
            yield f"create schema if not exists {quote(pipeline)}"
    for view in views:
        if view.pipeline in words:
            name = f"{quote(view.pipeline)}.{quote(view.task)}"
            yield f"create view if not exists {name} as from {quote('main')}.{quote(view.alias)}"


def _help(error: TaskError, known: list[Current]) -> str:
    """Return what to write instead of a table that is not there."""
    if "file system operations are disabled" in error.what:
        return "artifacts are read here, and no files: a `tabular.read` task makes a table of them"
    unknown = _UNKNOWN.search(error.what)
    if not unknown:
        return error.help
    name = unknown[1].strip('"').lower()
    made = {(k.pipeline, k.task.partition("@")[0]): k.body for k in known}
    homes = [f"{pipeline}.{task}" for pipeline, task in made if task == name]
    if len(homes) == 1 and any('"kind":"files"' in body for (_, task), body in made.items() if task == name):
        return f"'{name}' made files, not a table"
    if homes:
        return f"several pipelines have a task '{name}': write {' or '.join(homes)}"
    names = list(dict.fromkeys(task for _, task in made))
    close = near(name.rpartition(".")[2], names)
    if close:
        return f"did you mean '{close}'?"
    more = ", ..." if len(names) > SHOWN else ""
    return f"tasks with an artifact: {', '.join(names[:SHOWN]) or 'none'}{more}"
