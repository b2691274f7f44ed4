"""The process of one worker: it is asked, it answers, until whoever asks is gone."""

from __future__ import annotations

import importlib
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from mmetl.errors import MmetlError

GRACE_S = 5.0  # after the time limit, before a worker that nobody ended ends itself


def serve(entry: str, fileno: int, timeout_s: float, memory_bytes: int) -> None:
    """Call the function with each tuple of arguments that comes, and send back what it returns or raises. A limit of 0 is none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends its workers
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asked = Connection(fileno)
    module, _, name = entry.partition(":")
    function = getattr(importlib.import_module(module), name)
    asked.send(("ready",))
    while True:
        try:
            call = asked.recv()
        except EOFError:
            return
        # The kernel keeps this limit even while native code holds the interpreter, and when the run itself was killed.
        signal.setitimer(signal.ITIMER_REAL, timeout_s + GRACE_S if timeout_s else 0)
        answer = _answer(function, call)
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            asked.send(answer)
        except BrokenPipeError:  # whoever asked is gone
            return


def _answer(function: Callable[..., Any], call: tuple[Any, ...]) -> tuple[Any, ...]:
    try:
        return ("value", function(*call))
    except MmetlError as error:
        return ("refused", type(error).__name__, error.what, error.help)
    except MemoryError:
        return ("memory",)
    except Exception as error:  # noqa: BLE001  a parser may raise anything
        first = (str(error).splitlines() or [""])[0]
        return ("raised", f"{type(error).__name__}: {first}"[:300], traceback.format_exc())


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
