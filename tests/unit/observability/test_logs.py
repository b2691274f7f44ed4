"""One log file a task, and what a task prints."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from mmetl.cache.layout import log_path
from mmetl.observability.logs import TaskLog, printing_to, routed_output


def test_silent_task_has_no_file(tmp_path: Path) -> None:
    """10,000 tasks that say nothing make no files."""
    log = TaskLog(str(tmp_path / "l/x.log"))
    log.flush()
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_lines_are_there_at_once(tmp_path: Path) -> None:
    """One can follow a log while the task runs; odd characters do not break it."""
    log = TaskLog(str(tmp_path / "l/x.log"))
    log.write("one\ntwo \udc80\n")
    assert (tmp_path / "l/x.log").read_text() == "one\ntwo \\udc80\n"
    subprocess.run(["echo", "three"], stdout=log.fileno(), check=True)
    log.close()
    again = TaskLog(str(tmp_path / "l/x.log"))
    again.write("four\n")
    again.close()
    assert (tmp_path / "l/x.log").read_text() == "one\ntwo \\udc80\nthree\nfour\n"


def test_threads_print_to_their_own_logs() -> None:
    """Both streams of a thread go to its task's log, the rest where it went; afterwards everything is as before."""
    logs = [io.StringIO(), io.StringIO()]
    out, err = io.StringIO(), io.StringIO()
    barrier = threading.Barrier(2)

    def work(n: int) -> None:
        with printing_to(logs[n]):
            for i in range(5):
                barrier.wait()
                print(n, i, file=sys.stderr if i % 2 else sys.stdout)

    with redirect_stdout(out), redirect_stderr(err):
        with routed_output():
            threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            print("main")
            print("main", file=sys.stderr)
        assert (sys.stdout, sys.stderr) == (out, err)
    assert [log.getvalue() for log in logs] == ["".join(f"{n} {i}\n" for i in range(5)) for n in range(2)]
    assert (out.getvalue(), err.getvalue()) == ("main\n", "main\n")


def test_path() -> None:
    """It can be typed, and no two tasks share one."""
    assert log_path("r", "p", "t") == ".mmetl/logs/r/p.t.log"
