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
    sleep: Callable[[float], object] = time.sleep,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that it is called again when it raises one of the named errors.

    Args:
        times: how often it is called *again*, at least 0; the last error is raised as it is.
        delay: seconds before the second call; every further delay is twice the one before, with no jitter.
        on: the errors that are worth another try; any other passes through at once.
        sleep: waits for that many seconds.
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
                except on:
                    sleep(delay * 2**attempt)
            return function(*args, **kwargs)

        return call

    return decorate
