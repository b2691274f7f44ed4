"""Declares the commands about rows that tasks have set aside."""

from __future__ import annotations

from typing import Annotated

import typer

from mmetl.cli.app import LOOK, Json, Task, app
from mmetl.cli.output import guarded

quarantine = typer.Typer(
    help="Look at the rows that tasks have set aside, and forget them.\n\nExample: mmetl quarantine ls",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(quarantine, name="quarantine", rich_help_panel=LOOK)


@quarantine.command()
def ls(
    task: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="A task, as NAME or PIPELINE:NAME; all if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the tasks that have set rows aside: how many, since which run, and the commonest error.

    Example: mmetl quarantine ls
    """
    from mmetl.cli import setting_aside

    raise typer.Exit(guarded(setting_aside.ls, task, as_json=as_json))


@quarantine.command()
def show(
    task: Task,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Rows to print.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print every row as a JSON object on a line.")] = False,
) -> None:
    """Print the rows that a task has set aside, each with what is wrong with it.

    Example: mmetl quarantine show documents --limit 5
    """
    from mmetl.cli import setting_aside

    raise typer.Exit(guarded(setting_aside.show, task, limit=limit, as_json=as_json))


@quarantine.command()
def drop(task: Task) -> None:
    """Forget the items of a task that failed: none is listed or tried again until it or the task's recipe changes.

    Example: mmetl quarantine drop documents
    """
    from mmetl.cli import setting_aside

    raise typer.Exit(guarded(setting_aside.drop, task))
