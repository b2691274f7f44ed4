"""What a killed run left at work: commands go on when their run is killed, and would write into the files of the next."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection

RUN_VARIABLE = "MMETL_RUN"  # in the environment of all that a run starts: its id
WAIT_S = 5.0  # how long killed processes may take to be gone


def end_orphans(runs: Collection[str]) -> list[int]:
    """Kill the processes that these runs have started; return their ids. Nothing is found where there is no /proc."""
    wanted = {f"{RUN_VARIABLE}={run}".encode() for run in runs if os.environ.get(RUN_VARIABLE) != run}
    ended: dict[int, None] = {}
    end = time.monotonic() + WAIT_S
    while wanted and (found := _started_by(wanted)) and time.monotonic() < end:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended.update(dict.fromkeys(found))
        time.sleep(0.01)
    return list(ended)


def _started_by(wanted: Collection[bytes]) -> list[int]:
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except FileNotFoundError:
        return []
    return [pid for pid in pids if pid != os.getpid() and not _environment(pid).isdisjoint(wanted)]


def _environment(pid: int) -> frozenset[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as f:
            return frozenset(f.read().split(b"\0"))
    except OSError:
        return frozenset()  # it is gone, or somebody else's
