"""Try again after named errors, with delays that double."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def retry(
    times: int,
    delay: float,
    *,
    on: tuple[type[Exception], ...],
    worth: Callable[[Exception], bool] = lambda _error: True,
    longest: float = float("inf"),
    asked: Callable[[Exception], float] = lambda _error: 0.0,
    sleep: Callable[[float], object] = time.sleep,
    told: Callable[[int, Exception], object] = lambda _attempt, _error: None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that it is called again when it raises one of the named errors.

    Args:
        times: how often it is called *again*, at least 0; the last error is raised as it is.
        delay: seconds before the second call; every further delay is twice the one before, with no jitter.
        on: the errors that are worth another try; any other passes through at once.
        worth: tells which of these are, where their type does not.
        longest: no delay becomes longer than that many seconds by doubling.
        asked: tells for how many seconds an error asks to be left alone; the delay is no shorter.
        sleep: waits for that many seconds.
        told: is given the number of an attempt that failed, from 1, and its error, before the next one.
    """
    if times < 0 or delay < 0:
        raise ValueError(f"times and delay are at least 0, not {times} and {delay}")
    if not on or Exception in on:
        raise ValueError("name the errors that are worth another try, not Exception")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for attempt in range(times):
                try:
                    return function(*args, **kwargs)
                except on as error:
                    if not worth(error):
                        raise
                    told(attempt + 1, error)
                    sleep(max(min(delay * 2**attempt, longest), asked(error)))
            return function(*args, **kwargs)

        return call

    return decorate
