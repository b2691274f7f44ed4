"""Declares the commands that keep the state in order."""

from __future__ import annotations

from typing import Annotated

import typer

from mmetl.cli.app import KEEP, Json, Tasks, app
from mmetl.cli.output import guarded


@app.command(rich_help_panel=KEEP)
def clean(
    tasks: Tasks = None,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Remove what tasks left that are gone from the YAML.")
    ] = False,
) -> None:
    """Remove manifests and written files, of all tasks if none is named; the next run restores them.

    Example: mmetl clean report
    """
    from mmetl.cli import keeping

    raise typer.Exit(guarded(keeping.clean, tasks or (), gone=orphans))


@app.command(rich_help_panel=KEEP)
def forget(
    tasks: Tasks = None,
    everything: Annotated[bool, typer.Option("--all", help="Forget every task of the project.")] = False,
) -> None:
    """Drop what is known of tasks, and their earlier outputs from the index; the next run computes.

    Example: mmetl forget report
    """
    from mmetl.cli import keeping

    raise typer.Exit(guarded(keeping.forget, tasks or (), everything=everything))


@app.command(rich_help_panel=KEEP)
def gc(
    replaced: Annotated[
        bool, typer.Option("--replaced", help="Also remove files that were in the way of an output.")
    ] = False,
) -> None:
    """Remove outputs that retention no longer keeps.

    Example: mmetl gc
    """
    from mmetl.cli import keeping

    raise typer.Exit(guarded(keeping.gc, with_replaced=replaced))


@app.command(rich_help_panel=KEEP)
def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Hash every part, and report those that are damaged.")] = False,
    as_json: Json = False,
) -> None:
    """Look at the installation, the state and the disk.

    Exits with 1 if something is wrong.

    Example: mmetl doctor --deep
    """
    from mmetl.cli import doctoring

    raise typer.Exit(guarded(doctoring.doctor, deep=deep, as_json=as_json))
