"""The command line of mmETL: every command is declared in a module of its group; the work is in the modules beside them."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mmetl import __version__
from mmetl.cli import (  # noqa: F401  each adds its commands to `app`
    keep_commands,
    learn_commands,
    look_commands,
    quarantine_commands,
    run_commands,
)
from mmetl.cli.app import app
from mmetl.cli.output import DEBUG, say

__all__ = ["app"]


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
