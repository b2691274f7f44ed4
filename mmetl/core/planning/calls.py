"""Calls of project functions, compared with what their text says: arguments that they do not take, or lack."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from mmetl.cache.code import CodeReader
from mmetl.cache.code.reader import FunctionInfo
from mmetl.errors import ParamError, UsageError
from mmetl.utils.text import near


class WrongCall(NamedTuple):
    """What is wrong with a call, how to mend it, and the argument that is wrong; empty: one is missing."""

    what: str
    help: str
    argument: str = ""


def wrong_calls(
    entry: str, info: FunctionInfo, given: Collection[str], task: str, *, table: bool = False
) -> Iterator[WrongCall]:
    """Yield what is wrong with a call.

    Args:
        entry: what is called, as `module:qualname`.
        info: what its text says.
        given: the names of the arguments.
        task: who gives them.
        table: whether the first parameter is given too, by position.
    """
    if not info.known:
        return
    first = (info.required[:1] or info.parameters[:1]) if table else ()
    takes = ", ".join(info.parameters) or "nothing"
    if table and not first:
        yield WrongCall(f"'{entry}' has no parameter for the table of its columns", f"it takes: {takes}")
    for argument in given:
        if argument in first or (argument not in info.parameters and not info.takes_any):
            close = near(argument, [p for p in info.parameters if p not in first])
            meant = f"did you mean '{close}'? " if close else ""
            yield WrongCall(f"'{entry}' has no parameter '{argument}'", f"{meant}it takes: {takes}", argument)
    missing = [p for p in info.required if p not in (*given, *first)]
    if missing:
        what = f"'{entry}' needs '{missing[0]}', which task '{task}' does not give"
        yield WrongCall(what, f"it takes: {takes}")


def given_by_name(code: CodeReader, functions: Iterable[str], arguments: Collection[str]) -> bool:
    """Tell whether any of these functions is given its one input by name: one with a single parameter is not.

    Args:
        code: of the project.
        functions: what is called, each as `module:qualname`.
        arguments: the names of what else is given.
    """
    try:
        infos = [code.define(entry) for entry in functions]
    except (ParamError, UsageError):
        return False  # told where its code is read
    return any(not i.known or i.takes_any or len([p for p in i.parameters if p not in arguments]) != 1 for i in infos)
