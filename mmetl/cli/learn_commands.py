"""Declares the commands that begin a project and tell what it may say."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mmetl.cli.app import LEARN, Json, app
from mmetl.cli.output import guarded


class Of(StrEnum):
    """The files that have a schema."""

    pipeline = "pipeline"
    project = "project"
    tests = "tests"


@app.command(rich_help_panel=LEARN)
def init(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where; the current folder if left out.")] = Path(),
) -> None:
    """Write a small project that runs; no file is overwritten.

    Example: mmetl init sales
    """
    from mmetl.cli import learning

    raise typer.Exit(guarded(learning.init, folder))


@app.command(rich_help_panel=LEARN)
def transforms(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A transform, to be told all about; a list if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the transforms, or tell all about one.

    Of one: its params, its promise, and an example that runs.

    Example: mmetl transforms tabular.read
    """
    from mmetl.cli import learning

    raise typer.Exit(guarded(learning.transforms, name, as_json=as_json))


@app.command(rich_help_panel=LEARN)
def schema(
    of: Annotated[
        Of, typer.Argument(metavar="pipeline|project|tests", help="A pipeline's YAML, mmetl.yml, or a file of tests.")
    ],
) -> None:
    """Print the JSON Schema of the YAML, for editors.

    The params of every transform are in it, those of the project's own too.

    Example: mmetl schema pipeline
    """
    from mmetl.cli import learning

    raise typer.Exit(guarded(learning.schema, of.value))
