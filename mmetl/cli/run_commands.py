"""Declares the commands that check and run a pipeline."""

from __future__ import annotations

from typing import Annotated

import typer

from mmetl.cli.app import RUN, AllowShrink, Exclude, Force, Json, Pipeline, Select, Var, app
from mmetl.cli.output import guarded
from mmetl.core.options import RunOptions


@app.command(rich_help_panel=RUN)
def validate(
    pipeline: Pipeline = None,
    var: Var = None,
    connect: Annotated[bool, typer.Option("--connect", help="Also connect to each server of mmetl.yml.")] = False,
) -> None:
    """Check a pipeline, or all of the project, without running anything.

    Example: mmetl validate examples/pipelines/tabular_only.yaml
    """
    from mmetl.cli import checking

    def go() -> int:
        variables = checking.with_variables(RunOptions(), var or []).variables
        return checking.validate(pipeline, variables, connect=connect)

    raise typer.Exit(guarded(go))


@app.command("dry-run", rich_help_panel=RUN)
def dry_run(
    pipeline: Pipeline = None,
    select: Select = None,
    exclude: Exclude = None,
    force: Force = False,
    var: Var = None,
    allow_shrink: AllowShrink = None,
    as_json: Json = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 10 if not everything is fresh.")] = False,
    sql: Annotated[
        bool,
        typer.Option(
            "--sql",
            help="Show the query of each task that is one, views and families inside, and the columns that it reads.",
        ),
    ] = False,
) -> None:
    """Say what a run would do, and why; change nothing.

    Example: mmetl dry-run examples/pipelines/tabular_only.yaml
    """
    from mmetl.cli import checking

    def go() -> int:
        asked = RunOptions(
            select=tuple(select or ()),
            exclude=tuple(exclude or ()),
            force=force,
            allow_shrink=frozenset(allow_shrink or ()),
        )
        options = checking.with_variables(asked, var or [])
        return checking.dry_run(pipeline, options, as_json=as_json, exit_code=exit_code, sql=sql)

    raise typer.Exit(guarded(go))


@app.command(rich_help_panel=RUN)
def run(
    pipeline: Pipeline = None,
    select: Select = None,
    exclude: Exclude = None,
    force: Force = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="How many tasks may run at the same time.")] = 1,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", "-k", help="Go on with what does not need a failed task.")
    ] = False,
    var: Var = None,
    allow_shrink: AllowShrink = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", metavar="N", min=0, help="Stop before paid services have taken more tokens."),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            "--max-cost", metavar="COST", min=0, help="Stop before they cost more, by the prices that tasks state."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring a pipeline up to date: run what is stale, and only that.

    Example: mmetl run examples/pipelines/tabular_only.yaml --select +report
    """
    from mmetl.cli import checking, running

    def go() -> int:
        options = RunOptions(
            select=tuple(select or ()),
            exclude=tuple(exclude or ()),
            force=force,
            jobs=jobs,
            keep_going=keep_going,
            allow_shrink=frozenset(allow_shrink or ()),
            max_tokens=max_tokens,
            max_cost=max_cost,
        )
        return running.run(pipeline, checking.with_variables(options, var or []), as_json=as_json)

    raise typer.Exit(guarded(go))


@app.command("test", rich_help_panel=RUN)
def check_tasks(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[TEST]...", help="Tests by name, with wildcards; all if left out.")
    ] = None,
    select: Select = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Run the tests of tasks: given rows in, expected rows out; no state is read or written.

    Example: mmetl test --select decades
    """
    from mmetl.cli import testing

    raise typer.Exit(guarded(testing.run_tests, names or [], select or [], exclude or [], as_json=as_json))


@app.command(rich_help_panel=RUN)
def retry(
    run_id: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run's id or the start of it; the latest with work if left out."),
    ] = None,
    var: Annotated[
        list[str] | None,
        typer.Option("--var", metavar="NAME=VALUE", help="Set a variable anew; those of secrets have to be."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run again what failed, was blocked or was skipped in a run, with the arguments of that run.

    Example: mmetl retry
    """
    from mmetl.cli import retrying

    raise typer.Exit(guarded(retrying.retry, run_id, var or [], as_json=as_json))
