"""Worker processes: answers in order, and what a crash, a hang, a leak and an interrupt cost."""

from __future__ import annotations

import io
import os
import signal
import threading
import time

import pytest

from mmetl.errors import MissingError, TaskError
from mmetl.workers.local import LocalWorkers, Lost

FUNCTIONS = """\
import ctypes, os, signal, time
from mmetl.errors import MissingError

def work(what, value=None):
    if what == "crash":
        ctypes.string_at(0)
    if what == "exit":
        os._exit(3)
    if what == "hang":
        time.sleep(60)
    if what == "eat":
        return len(bytearray(2_000_000_000))
    if what == "raise":
        raise ValueError("no good\\nsecond line")
    if what == "missing":
        raise MissingError("'x' is not installed", help="pip install x")
    if what == "print":
        print("noise")
    if what == "pid":
        return os.getpid()
    return value
"""


@pytest.fixture
def workers(tmp_path, monkeypatch):
    (tmp_path / "worked_on.py").write_text(FUNCTIONS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = []

    def make(slots=2, timeout_s=20.0, memory_mb=500.0):
        made.append(LocalWorkers("worked_on:work", slots, timeout_s=timeout_s, memory_mb=memory_mb, log=io.StringIO()))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_answers_come_in_the_order_of_the_calls(workers):
    assert workers().map([("value", n) for n in range(50)]) == list(range(50))


def test_no_call_starts_no_process(workers):
    one = workers()
    assert one.map([]) == []
    assert not one._all


def test_a_process_is_used_again(workers):
    one = workers(slots=1)
    assert len(set(one.map([("pid",)] * 3) + one.map([("pid",)]))) == 1


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ("crash", "the process that read it crashed (SIGSEGV)"),
        ("exit", "the process that read it ended (exit code 3)"),
        ("hang", "it took longer than 1 s"),
        ("eat", "it needs more than 500 MB of memory"),
        ("raise", "ValueError: no good"),
    ],
)
def test_a_call_that_goes_wrong_costs_that_call(workers, call, why):
    answers = workers(timeout_s=1.0).map([("value", 1), (call,), ("value", 2), ("print", 3)])
    assert answers == [1, Lost(why), 2, 3]


def test_errors_of_ours_end_the_work(workers):
    with pytest.raises(MissingError, match="'x' is not installed") as raised:
        workers().map([("missing",)])
    assert raised.value.help == "pip install x"


def test_close_ends_what_hangs(workers):
    one = workers(timeout_s=60.0)
    threading.Timer(1.0, one.close).start()
    started = time.monotonic()
    with pytest.raises(TaskError, match="interrupted"):
        one.map([("hang",)])
    assert time.monotonic() - started < 30


def test_a_worker_that_cannot_start_is_told():
    one = LocalWorkers("no_such_module:f", 1, timeout_s=1, memory_mb=500, log=io.StringIO())
    with pytest.raises(TaskError, match="a worker process did not start"):
        one.map([()])
    one.close()


def test_a_worker_ends_with_the_run(workers, tmp_path):
    """Whoever asked was killed: an idle worker ends at once."""
    one = workers(slots=1)
    (pid,) = one.map([("pid",)])
    (worker,) = one._idle
    worker._pipe.close()
    assert worker._process.wait(10) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
