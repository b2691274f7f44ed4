"""The errors of mmETL: one tree; messages are built here, from fields, once.

Named tuples rather than dataclasses here, and in all that a run with nothing to do imports: a dataclass costs 1 ms to define.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from mmetl.utils.text import pointed

SHOWN_PROBLEMS = 10  # more would scroll the first one, which usually causes the rest, off the screen


class ExitCode(enum.IntEnum):
    """What the process says to its caller; stable, documented in docs/reference/cli.md."""

    DONE = 0
    """Everything asked for is done."""
    TASK_FAILED = 1
    """At least one task failed; or a test, a check of `check`, a connection of `validate --connect`; or `doctor` found something wrong."""
    USAGE = 2
    """The command line is wrong, or names something that is not there."""
    CONFIG = 3
    """A YAML file is invalid; nothing was run."""
    REFUSED = 4
    """mmETL declined: another run holds the lock, the state file cannot be used, or data would be lost."""
    MISSING = 5
    """A plug-in or an optional package is not installed: nothing was run, or that is why tasks failed, and nothing else did."""
    STALE = 10
    """`dry-run --exit-code`: not everything is fresh."""
    LIMIT = 11
    """`run --max-tokens` or `--max-cost`: it stopped before the limit was passed, and nothing else failed. Run again to go on."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C or SIGTERM."""


class Where(NamedTuple):
    """A position in a text file. `line` and `column` count from 1; `text` is the whole line."""

    file: str
    line: int
    column: int
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def excerpt(self) -> str:
        """Return the line with its number and a caret below the column."""
        text, before = pointed(self.text, self.column)
        return f"{self.line:>4} | {text}\n{'':>4} | {'':>{before}}^"


class Problem(NamedTuple):
    """One thing that is wrong: what, where, and how to mend it."""

    what: str
    where: Where | None = None
    help: str = ""

    def __str__(self) -> str:
        lines = [f"{self.where}: error: {self.what}" if self.where else f"error: {self.what}"]
        if self.where and self.where.text:
            lines.append(self.where.excerpt())
        if self.help:
            lines.append(f"help: {self.help}")
        return "\n".join(lines)


class MmetlError(Exception):
    """Base of every error that mmETL raises on purpose.

    Attributes:
        what: what is wrong, one sentence without a full stop.
        where: the position in a file, if there is one.
        help: how to mend it: a command, a near name, the valid values.
        exit_code: what the process says when nobody catches it.
    """

    exit_code = ExitCode.TASK_FAILED

    def __init__(self, what: str, where: Where | None = None, help: str = "") -> None:  # noqa: A002  the field's name
        super().__init__(what)
        self.what = what
        self.where = where
        self.help = help

    def __str__(self) -> str:
        return str(Problem(self.what, self.where, self.help))


class UsageError(MmetlError):
    """The command line names something that does not exist or cannot be."""

    exit_code = ExitCode.USAGE


class RefusedError(MmetlError):
    """mmETL declines: a lock is held, a state file is not usable, or data would be lost."""

    exit_code = ExitCode.REFUSED


class MissingError(MmetlError):
    """A plug-in or an optional package is not installed."""

    exit_code = ExitCode.MISSING


class TaskError(MmetlError):
    """A task failed for a reason that its author can act on."""


class QueryError(TaskError):
    """A query failed while it ran, at a known place.

    Attributes:
        sql: the text of a param, as it was given.
        offset: characters from its start to the place.
        param: path of that param below `params`.
    """

    def __init__(
        self,
        what: str,
        where: Where | None,
        help: str,  # noqa: A002  the field's name
        sql: str,
        offset: int,
        param: tuple[str | int, ...] = ("sql",),
    ) -> None:
        super().__init__(what, where, help)
        self.sql = sql
        self.offset = offset
        self.param = param


class LimitError(TaskError):
    """A task stopped before it spent more than the run may."""

    exit_code = ExitCode.LIMIT


class AnewError(TaskError):
    """A target cannot be changed as it is: it has to be made anew. Caught by who keeps it equal (see items.keeping)."""


class TaskTimeoutError(TaskError):
    """A task took longer than its `timeout_s`."""


class ParamError(MmetlError):
    """A param has a valid type but not a usable value; raised by a transform's `declare`.

    Attributes:
        param: path of the param below `params`, such as ("sql",) or ("inputs", 0).
        offset: characters from the start of that param's value to the wrong place, or None for its start.
    """

    exit_code = ExitCode.CONFIG

    def __init__(
        self,
        what: str,
        where: Where | None = None,
        help: str = "",  # noqa: A002  the field's name
        param: tuple[str | int, ...] = (),
        offset: int | None = None,
    ) -> None:
        super().__init__(what, where, help)
        self.param = param
        self.offset = offset


class CellError(MmetlError):
    """A value that a test gives does not fit the type of its column.

    Attributes:
        row: which row, from 0.
        column: its column.
    """

    exit_code = ExitCode.CONFIG

    def __init__(self, what: str, row: int, column: str, help: str = "") -> None:  # noqa: A002  the field's name
        super().__init__(what, help=help)
        self.row = row
        self.column = column


class ConfigError(MmetlError):
    """One or more problems in YAML files, all told at once (ten, then "and N more")."""

    exit_code = ExitCode.CONFIG

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(first.what, first.where, first.help)

    def __str__(self) -> str:
        shown = [str(p) for p in self.problems[:SHOWN_PROBLEMS]]
        more = len(self.problems) - SHOWN_PROBLEMS
        return "\n\n".join([*shown, f"and {more} more"] if more > 0 else shown)
