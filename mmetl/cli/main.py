"""The command line of mmETL, as Typer sees it: options and help; the work is in the modules beside this one."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mmetl import __version__
from mmetl.cli import checking, keeping, looking, running
from mmetl.cli.output import DEBUG, guarded, say
from mmetl.core.options import RunOptions

app = typer.Typer(
    name="mmetl",
    help="Config-driven, incremental, multimodal ETL.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # or --help loads rich
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Pipeline = Annotated[
    str | None,
    typer.Argument(metavar="[PIPELINE]", help="Path or name of a pipeline; the project's only one if left out."),
]
Select = Annotated[
    list[str] | None, typer.Option("--select", "-s", help="A task; +NAME adds what it needs, NAME+ what needs it.")
]
Var = Annotated[list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="Set a variable of the pipeline.")]
Force = Annotated[bool, typer.Option("--force", help="Take the named tasks (or all) as stale, and compute them anew.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Tasks = Annotated[list[str] | None, typer.Argument(metavar="[TASK]...", help="Tasks, as NAME or PIPELINE:NAME.")]
Task = Annotated[str, typer.Argument(metavar="TASK", help="A task, as NAME or PIPELINE:NAME.")]


def _version(value: bool) -> None:
    if value:
        say(f"mmetl {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[  # noqa: ARG001  Typer calls _version
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"


@app.command()
def validate(pipeline: Pipeline = None, var: Var = None) -> None:
    """Check a pipeline, or all of the project, without running anything.

    Example: mmetl validate examples/pipelines/tabular_only.yaml
    """

    def go() -> int:
        return checking.validate(pipeline, checking.with_variables(RunOptions(), var or []).variables)

    raise typer.Exit(guarded(go))


@app.command("dry-run")
def dry_run(
    pipeline: Pipeline = None,
    select: Select = None,
    force: Force = False,
    var: Var = None,
    as_json: Json = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 10 if anything is stale.")] = False,
) -> None:
    """Say what a run would do, and why; change nothing.

    Example: mmetl dry-run examples/pipelines/tabular_only.yaml
    """

    def go() -> int:
        options = checking.with_variables(RunOptions(select=tuple(select or ()), force=force), var or [])
        return checking.dry_run(pipeline, options, as_json=as_json, exit_code=exit_code)

    raise typer.Exit(guarded(go))


@app.command()
def run(
    pipeline: Pipeline = None,
    select: Select = None,
    force: Force = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="How many tasks may run at the same time.")] = 1,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", "-k", help="Go on with what does not need a failed task.")
    ] = False,
    var: Var = None,
    allow_shrink: Annotated[
        list[str] | None,
        typer.Option("--allow-shrink", metavar="TASK", help="Let a task's source list far fewer files."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring a pipeline up to date: run what is stale, and only that.

    Example: mmetl run examples/pipelines/tabular_only.yaml --select +report
    """

    def go() -> int:
        options = RunOptions(
            select=tuple(select or ()),
            force=force,
            jobs=jobs,
            keep_going=keep_going,
            allow_shrink=frozenset(allow_shrink or ()),
        )
        return running.run(pipeline, checking.with_variables(options, var or []), as_json=as_json)

    raise typer.Exit(guarded(go))


@app.command()
def status(
    run_id: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run's id or the start of it; the latest if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what happened in a run, from the state file alone.

    Example: mmetl status
    """
    raise typer.Exit(guarded(looking.status, run_id, as_json=as_json))


@app.command()
def why(task: Task) -> None:
    """Say whether a task is fresh, and why or why not.

    Example: mmetl why report
    """
    raise typer.Exit(guarded(looking.why, task))


@app.command()
def show(
    task: Task,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Rows to print.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print every row as a JSON object on a line.")] = False,
) -> None:
    """Print the rows of a task's artifact, or the files that it wrote.

    Example: mmetl show late --limit 5
    """
    raise typer.Exit(guarded(looking.show, task, limit=limit, as_json=as_json))


@app.command()
def clean(
    tasks: Tasks = None,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Remove what tasks left that are gone from the YAML.")
    ] = False,
) -> None:
    """Remove manifests and written files; the next run restores them.

    Example: mmetl clean report
    """
    raise typer.Exit(guarded(keeping.clean, tasks or (), orphans=orphans))


@app.command()
def forget(
    tasks: Tasks = None,
    everything: Annotated[bool, typer.Option("--all", help="Forget every task of the project.")] = False,
) -> None:
    """Drop what is known of tasks, and their earlier outputs from the index; the next run computes.

    Example: mmetl forget report
    """
    raise typer.Exit(guarded(keeping.forget, tasks or (), everything=everything))


@app.command()
def gc() -> None:
    """Remove outputs that retention no longer keeps.

    Example: mmetl gc
    """
    raise typer.Exit(guarded(keeping.gc))
