"""The command line of mmETL: every command is declared in a module of its group; the work is in the modules beside them."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
import typer.main

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

__all__ = ["app", "command_line"]


def command_line(words: Sequence[str]) -> Callable[..., Any]:
    """Return what parses and calls; where a command comes first only that one is made: all of them take 15 ms."""
    return _made(words[0] if words else "")


@functools.cache
def _made(word: str) -> Callable[..., Any]:
    called = [c for c in app.registered_commands if c.callback and word == (c.name or c.callback.__name__)]
    made = copy.copy(app)
    if called:
        made.registered_commands, made.registered_groups = called, []
    return typer.main.get_command(made)


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
