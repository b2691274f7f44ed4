"""Declares the commands that look at runs, tasks and artifacts."""

from __future__ import annotations

import enum
from enum import StrEnum
from typing import Annotated

import typer

from mmetl.cli.app import LOOK, Exclude, Json, Pipeline, Select, Task, Var, app
from mmetl.cli.output import guarded
from mmetl.core.options import RunOptions


class Form(StrEnum):
    """How `graph` prints."""

    text = "text"
    mermaid = "mermaid"
    svg = "svg"
    json = "json"


@app.command(rich_help_panel=LOOK)
def status(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run's id or the start of it; the latest if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what happened in a run; of the latest one, too, which outputs others have changed since.

    Example: mmetl status
    """
    from mmetl.cli import looking

    raise typer.Exit(guarded(looking.status, run_id, as_json=as_json))


@app.command(rich_help_panel=LOOK)
def runs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Runs to list.")] = 20,
    as_json: Json = False,
) -> None:
    """List the latest runs, the newest first.

    Example: mmetl runs --limit 5
    """
    from mmetl.cli import history

    raise typer.Exit(guarded(history.runs, limit, as_json=as_json))


@app.command(rich_help_panel=LOOK)
def logs(
    run_id: Annotated[
        str,
        typer.Argument(
            metavar="[RUN]", help="A run's id or the start of it; `latest`, or nothing: the last that left logs."
        ),
    ] = "latest",
    task: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="A task, as NAME or PIPELINE:NAME; all if left out.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Of one task: go on until the run has ended.")] = False,
) -> None:
    """Print what the tasks of a run printed.

    Example: mmetl logs latest report
    """
    from mmetl.cli import history

    raise typer.Exit(guarded(history.logs, run_id, task, follow=follow))


@app.command("list", rich_help_panel=LOOK)
def list_(
    pipeline: Pipeline = None,
    select: Select = None,
    exclude: Exclude = None,
    var: Var = None,
    as_json: Json = False,
) -> None:
    """List tasks: what each is, and whether it is fresh.

    Example: mmetl list examples/pipelines/tabular_only.yaml --select +report
    """
    from mmetl.cli import checking, listing

    def go() -> int:
        options = RunOptions(select=tuple(select or ()), exclude=tuple(exclude or ()))
        return listing.list_all(pipeline, checking.with_variables(options, var or []), as_json=as_json)

    raise typer.Exit(guarded(go))


@app.command(rich_help_panel=LOOK)
def why(
    task: Task,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="KEY",
            help="Follow one row: a value, COLUMN=VALUE (again for each column), or JSON. The start of a text is enough.",
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", "-n", min=0, help="With --key: rows to show of each task; all are counted and followed."
        ),
    ] = 5,
    as_json: Json = False,
) -> None:
    """Say whether a task is fresh, and why or why not. With --key: from which rows a row came, and which came from it.

    Only the state and the parts are read; nothing is run.

    Example: mmetl why peps --key 8
    """
    if key:
        from mmetl.cli import tracing

        raise typer.Exit(guarded(tracing.why_row, task, key, limit, as_json=as_json))
    from mmetl.cli import looking

    raise typer.Exit(guarded(looking.why, task, as_json=as_json))


@app.command(rich_help_panel=LOOK)
def show(
    task: Task,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Rows to print.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print every row as a JSON object on a line.")] = False,
) -> None:
    """Print the rows of a task's artifact, or the files that it wrote.

    Example: mmetl show decades --limit 5
    """
    from mmetl.cli import looking

    raise typer.Exit(guarded(looking.show, task, limit=limit, as_json=as_json))


@app.command(rich_help_panel=LOOK)
def check(
    task: Task,
    rows: Annotated[bool, typer.Option("--rows", help="Print failing rows, too.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Rows to print of each failed check.")] = 20,
    as_json: Json = False,
) -> None:
    """Evaluate the checks of a task's table again; exit code 1 where one fails that keeps a table from being published.

    After a run in which checks failed: of the table that was not published.

    Example: mmetl check knowledge --rows
    """
    from mmetl.cli import judging

    raise typer.Exit(guarded(judging.check, task, rows=rows, limit=limit, as_json=as_json))


@app.command(rich_help_panel=LOOK)
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT, in DuckDB's dialect. Each task is a table.")],
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=0, help="Rows to print; of a table 100, else all, if left out."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every row as a JSON object on a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with the names of the columns first.")] = False,
) -> None:
    """Ask the artifacts of the project with SQL.

    Every task that made a table is one, as NAME, or as PIPELINE.NAME.

    Example: mmetl query "select decade, total from decades order by total desc" --csv
    """
    from mmetl.cli import querying

    raise typer.Exit(guarded(querying.run_query, sql, limit, as_json=as_json, as_csv=as_csv))


@app.command(rich_help_panel=LOOK)
def cypher(
    task: Task,
    asked: Annotated[str, typer.Argument(metavar="QUERY", help="One query in Cypher. It only reads.")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="The value of a $NAME in the query: JSON, or else text."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", min=0, help="Rows to print; of a table 100, else all, if left out."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every row as a JSON object on a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with the names of the columns first.")] = False,
) -> None:
    """Ask the graph of a task with Cypher, in the database that it is kept in.

    TASK has `graph.load`. The values of parameters are bound, never pasted into the query.

    Example: mmetl cypher knowledge_graph 'MATCH (a:Author)-[:WROTE]->(p:Pep {status: $s}) RETURN a._key, p.title' --param s=Active
    """
    from mmetl.cli import querying

    raise typer.Exit(guarded(querying.run_cypher, task, asked, param or [], limit, as_json=as_json, as_csv=as_csv))


class SearchMode(enum.StrEnum):
    """What is compared with a question."""

    vector = "vector"
    text = "text"
    hybrid = "hybrid"


@app.command(rich_help_panel=LOOK)
def search(
    task: Task,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to look for, in words.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many rows.")] = 5,
    where: Annotated[
        str | None, typer.Option("--where", metavar="SQL", help="An expression: only rows for which it is true.")
    ] = None,
    mode: Annotated[
        SearchMode,
        typer.Option(
            "--mode",
            metavar="MODE",
            help="vector: by meaning; text: by words; hybrid: by both. Words need an index with `text:`.",
        ),
    ] = SearchMode.vector,
    as_json: Json = False,
) -> None:
    """Find the rows that answer a question.

    TASK has vectors that a `vector.embed` task made; its model makes that of the question. All vectors are compared, unless TASK is a
    `vector.index` above its size.

    Example: mmetl search passage_index "how are modules found" -k 3 --where "path like '%pep-03%'"
    """
    from mmetl.cli import searching

    raise typer.Exit(guarded(searching.run_search, task, question, k, where, mode.value, as_json=as_json))


@app.command(rich_help_panel=LOOK)
def diff(
    task: Task,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="RUN|BUILD", help="Start of a run's id or a build's key; else the last that differs."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Changes to print; all are counted.")] = 20,
    as_json: Json = False,
) -> None:
    """Say which rows differ from an earlier build of a task.

    Example: mmetl diff prolific --limit 5
    """
    from mmetl.cli import querying

    raise typer.Exit(guarded(querying.show_diff, task, against, limit, as_json=as_json))


@app.command(rich_help_panel=LOOK)
def graph(
    pipeline: Pipeline = None,
    select: Select = None,
    exclude: Exclude = None,
    var: Var = None,
    form: Annotated[Form, typer.Option("--format", metavar="FORM", help="text, mermaid, svg or json.")] = Form.text,
) -> None:
    """Draw the tasks and what they need.

    Example: mmetl graph examples/pipelines/tabular_only.yaml --format mermaid
    """
    from mmetl.cli import checking, listing

    def go() -> int:
        options = RunOptions(select=tuple(select or ()), exclude=tuple(exclude or ()))
        return listing.graph(pipeline, checking.with_variables(options, var or []), form.value)

    raise typer.Exit(guarded(go))
