"""Trying again."""

from __future__ import annotations

import pytest

from mmetl.utils.retry import retry


class Flaky:
    """Raises the given errors, one a call, then returns 7."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return 7


def run(flaky: Flaky, times: int) -> tuple[int, list[float]]:
    slept: list[float] = []

    @retry(times, 0.5, on=(ConnectionError, TimeoutError), sleep=slept.append)
    def call() -> int:
        return flaky()

    return call(), slept


def test_delays_double() -> None:
    """Named errors are tried again, each time after twice the delay."""
    assert run(Flaky(ConnectionError(), TimeoutError(), ConnectionResetError()), 3) == (7, [0.5, 1.0, 2.0])


def test_no_delay_is_longer_than_the_longest() -> None:
    """Delays stop doubling there; each attempt that failed is told."""
    slept: list[float] = []
    told: list[tuple[int, str]] = []
    flaky = Flaky(*[ConnectionError()] * 4)
    named = {"sleep": slept.append, "told": lambda n, error: told.append((n, type(error).__name__))}
    assert retry(4, 1.0, on=(ConnectionError,), longest=3.0, **named)(flaky.__call__)() == 7
    assert slept == [1.0, 2.0, 3.0, 3.0]
    slept.clear()
    retry(2, 1.0, on=(ConnectionError,), asked=lambda _error: 1.5, **named)(Flaky(*[ConnectionError()] * 2).__call__)()
    assert slept == [1.5, 2.0], "an error may ask for more"
    del told[4:]
    assert told == [(n, "ConnectionError") for n in (1, 2, 3, 4)]


def test_last_error_is_raised() -> None:
    """`times` counts the calls after the first."""
    last = TimeoutError("last")
    flaky = Flaky(ConnectionError(), ConnectionError(), last)
    with pytest.raises(TimeoutError) as caught:
        run(flaky, 2)
    assert caught.value is last
    assert flaky.calls == 3


def test_other_errors_pass_at_once() -> None:
    """What is not named is not worth another try."""
    flaky = Flaky(KeyError("x"))
    with pytest.raises(KeyError):
        run(flaky, 5)
    assert flaky.calls == 1


@pytest.mark.parametrize(
    ("times", "delay", "on"), [(-1, 0, (OSError,)), (1, -1, (OSError,)), (1, 1, ()), (1, 1, (Exception,))]
)
def test_nonsense_is_refused(times: int, delay: float, on: tuple[type[Exception], ...]) -> None:
    """Exceptions are named, numbers are not negative."""
    with pytest.raises(ValueError, match=r"at least 0|name the errors"):
        retry(times, delay, on=on)
