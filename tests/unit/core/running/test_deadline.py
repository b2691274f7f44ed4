"""Work that takes too long is ended, with an error that says so."""

from __future__ import annotations

import sys
import time

from mmetl.core.running.deadline import Cancellation, limited
from mmetl.errors import TaskTimeoutError


def test_a_time_that_is_up_as_the_work_begins_or_ends() -> None:
    """Wherever the thread is then, it returns what was made, or raises that error; nothing comes later."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work() -> str:
        end = time.perf_counter() + 0.0005
        while time.perf_counter() < end:
            pass
        return "made"

    ends = set()
    try:
        for n in range(500):
            try:
                ends.add(limited(n % 100 * 6e-6, Cancellation(), work))
            except TaskTimeoutError as error:
                ends.add(error.what.partition(" of ")[0])
    finally:
        sys.setswitchinterval(before)
    assert ends == {"made", "it took longer than its timeout_s"}
