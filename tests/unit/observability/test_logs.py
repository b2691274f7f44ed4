"""One log file a task, and what a task prints."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from harness import wait_for

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


def test_secret_is_never_in_the_file(tmp_path: Path) -> None:
    """Not for a moment: a kill leaves no time to clean up. Lines are there as soon as they end."""
    log = TaskLog(str(tmp_path / "x.log"))
    log.secrets = ("hunter2",)
    log.write("pass: hun")
    assert "hun" not in (tmp_path / "x.log").read_text()
    log.write("ter2, end\nnext")
    assert (tmp_path / "x.log").read_text() == "pass: ***, end\n"
    command = "printf 'one hun'; sleep .2; printf 'ter2\\n\\377\\n'; sleep 1; printf hunter2"
    with subprocess.Popen(["sh", "-c", command], stdout=log.fileno()) as child:
        wait_for(lambda: (tmp_path / "x.log").read_text() == "pass: ***, end\nnextone ***\n\\xff\n")
        assert child.wait() == 0
    log.flush()
    assert (tmp_path / "x.log").read_text().endswith("\n***")
    log.close()
    assert (tmp_path / "x.log").read_text().endswith("\n***")


def test_child_that_stays_does_not_hold_the_log(tmp_path: Path) -> None:
    """A server that a command left behind keeps its end of the pipe; the task is over all the same."""
    log = TaskLog(str(tmp_path / "x.log"))
    log.secrets = ("hunter2",)
    subprocess.run(["sh", "-c", "sleep 30 & echo up hunter2; echo $!"], stdout=log.fileno(), check=True)
    begun = time.monotonic()
    log.close()
    assert time.monotonic() - begun < 5
    said, pid = (tmp_path / "x.log").read_text().splitlines()
    os.kill(int(pid), signal.SIGKILL)
    assert said == "up ***"


def test_secret_of_short_lines(tmp_path: Path) -> None:
    """A line of it may stand in any text; all of them together may not."""
    log = TaskLog(str(tmp_path / "x.log"))
    log.secrets = ("ab\ncd\nef",)
    log.write("ab\n")
    log.write("cd\n")
    assert (tmp_path / "x.log").read_text() == ""
    log.write("ef\nab\n")
    log.write("xy\nab\ncd\n")
    assert (tmp_path / "x.log").read_text() == "***\nab\nxy\n"
    log.close()
    assert (tmp_path / "x.log").read_text() == "***\nab\nxy\nab\ncd\n"


def test_long_line_is_cut_where_no_secret_is(tmp_path: Path) -> None:
    log = TaskLog(str(tmp_path / "x.log"))
    log.secrets = ("hunter2",)
    log.write("x" * 70_000 + "hun")
    assert len((tmp_path / "x.log").read_text()) > 60_000
    log.write("ter2")
    log.close()
    assert (tmp_path / "x.log").read_text() == "x" * 70_000 + "***"
