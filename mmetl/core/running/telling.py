"""What is told of a task that failed: a sentence for the summary, the whole for its log."""

from __future__ import annotations

import contextlib
import traceback

from mmetl.errors import MmetlError, TaskError
from mmetl.observability.logs import TaskLog
from mmetl.utils.text import plain

LONGEST = 1000  # characters of an error outside of its log: some libraries put whole tables into theirs


def sentence(error: BaseException) -> str:
    """Return an error in one sentence."""
    if isinstance(error, MmetlError):
        return (f"{error.where}: " if error.where else "") + error.what + (f"; {error.help}" if error.help else "")
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def tell(error: BaseException, log: TaskLog) -> str:
    """Write the whole error to the task's log, where that can be; return the sentence for the summary."""
    whole = f"{error}\n" if isinstance(error, MmetlError) else "".join(traceback.format_exception(error))
    with contextlib.suppress(OSError, TaskError):
        log.write(whole)
    told = plain(log.redacted(sentence(error)))
    return told if len(told) <= LONGEST else f"{told[:LONGEST]}…"
