"""A layered graph of slow tasks as a project, and the doors through which it is run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import yaml

PIPELINE = "layers"
DODO = "from mmetl.core.build import DOIT_CONFIG, task_pipelines\n\n__all__ = ['DOIT_CONFIG', 'task_pipelines']\n"
DOORS = {"mmetl": ("mmetl", "run", "--jobs"), "doit": ("doit", "run", "-n")}
COMMIT_S = 0.05  # a task that finished this long before a kill is not done again

# Writes half of its output, sleeps, writes the rest; then says when it had finished. With a brake it does not go on once so many have.
ACTION = """\
import hashlib, os, time

def braked():
    try:
        with open("../brake") as brake, open("../done.log") as log:
            return len(log.readlines()) >= int(brake.read())
    except FileNotFoundError:
        return False

def digest(name, texts):
    data = b"".join(texts)
    if name.startswith("t0_"):
        data = b"".join(s for s in data.splitlines(keepends=True) if not s.startswith(b"#"))
    return hashlib.sha256(data).hexdigest() + "\\n"

def build(name, out, ins, slow):
    texts = []
    for p in ins:
        with open(p, "rb") as f:
            texts.append(f.read())
    text = digest(name, texts)
    with open(out, "w") as f:
        f.write(text[:32]); f.flush(); time.sleep(slow)
        end = time.time() + 60
        while braked() and time.time() < end:
            time.sleep(0.01)
        f.write(text[32:])
    fd = os.open("../done.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{name} {time.time()}\\n".encode())
    os.close(fd)
"""

SHELL = """\
n=$1; o=$2; s=$3; shift 3
h=$(case $n in t0_*) grep -v '^#' "$@";; *) cat "$@";; esac | sha256sum)
printf %.32s "$h" > "$o" && sleep $s
t=0
while [ $t -lt 6000 ] && [ "$(wc -l < ../done.log)" -ge "$(cat ../brake 2>/dev/null || echo 1000)" ]; do t=$((t + 1)); sleep 0.01; done
printf '%s\\n' "$(printf %.64s "$h" | tail -c 32)" >> "$o" && \
echo "$n $(date +%s.%N)" >> ../done.log
"""


class Layered:
    """`width` sources, and `layers` times `width` tasks; task (l, i) reads tasks (l-1, i) and (l-1, i+1)."""

    def __init__(self, folder: Path, *, width: int = 5, layers: int = 6, slow: float = 0.02, transform: str = "python"):
        self.root = folder / "project"
        self.log = folder / "done.log"
        self._brake = folder / "brake"
        self.width, self.layers = width, layers
        self.names = [f"t{layer}_{i}" for layer in range(layers) for i in range(width)]
        (self.root / "src").mkdir(parents=True)
        self.log.write_text("")
        (self.root / "action.py").write_text(ACTION)
        (self.root / "act.sh").write_text(SHELL)
        (self.root / "dodo.py").write_text(DODO)
        for i in range(width):
            self.source(i).write_text(f"# comment\nsource {i}\n")
        tasks = {n: self._task(n, slow, transform) for n in self.names}
        body = {"version": 1, "name": PIPELINE, "tasks": tasks}
        (self.root / "pipeline.yaml").write_text(yaml.safe_dump(body, sort_keys=False))

    def _task(self, name: str, slow: float, transform: str) -> dict:
        files = {"inputs": self.inputs(name), "outputs": [self.output(name)]}
        if transform == "python":
            args = {"name": name, "out": self.output(name), "ins": self.inputs(name), "slow": slow}
            return {"transform": "python.run", "params": {"function": "action:build", "args": args, **files}}
        command = ["sh", "act.sh", name, self.output(name), str(slow), *self.inputs(name)]
        return {"transform": "shell.run", "params": {"command": command, **files}}

    def source(self, i: int) -> Path:
        return self.root / f"src/{i}.txt"

    def inputs(self, name: str) -> list[str]:
        layer, i = map(int, name[1:].split("_"))
        if layer == 0:
            return [f"src/{i}.txt"]
        return [f"out/t{layer - 1}_{j}.txt" for j in (i, (i + 1) % self.width)]

    def output(self, name: str) -> str:
        return f"out/{name}.txt"

    def expected(self) -> dict[str, str]:
        texts: dict[str, str] = {}
        for name in self.names:
            if name.startswith("t0_"):
                data = "".join(
                    s for s in (self.root / self.inputs(name)[0]).read_text().splitlines(keepends=True) if s[:1] != "#"
                )
            else:
                data = "".join(texts[p] for p in self.inputs(name))
            texts[self.output(name)] = hashlib.sha256(data.encode()).hexdigest() + "\n"
        return texts

    def found(self) -> dict[str, str]:
        """Return what lies in the output folder, leftovers of any kind included."""
        folder = self.root / "out"
        return {f"out/{p.name}": p.read_text() for p in folder.iterdir()} if folder.exists() else {}

    def done(self) -> list[tuple[str, float]]:
        """Return (task, time) of every action that reached its end, in order."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [(name, float(t)) for name, t in lines]

    def wait_for(self, process: subprocess.Popen[bytes], actions: int) -> None:
        """Wait until so many actions of a running process have reached their end."""
        while len(self.done()) < actions:
            assert process.poll() is None, process.communicate()[0].decode()
            time.sleep(0.002)

    def committed(self) -> set[str]:
        """Return the tasks of which another process reads that they are done."""
        with contextlib.closing(sqlite3.connect(self.root / ".mmetl/state.db")) as db:
            return {name for (name,) in db.execute("select task from tasks where state = 'done'")}

    def brake(self, actions: int) -> None:
        """Let no action reach its end any more once so many have: however slow the machine is, the run is still at work."""
        temp = self._brake.with_suffix(".new")
        temp.write_text(str(actions))
        temp.replace(self._brake)

    def release(self) -> None:
        """Take the brake off."""
        self._brake.unlink(missing_ok=True)

    def start(self, door: str, jobs: int = 1, **options) -> subprocess.Popen[bytes]:
        program, command, flag = DOORS[door]
        argv = [sys.executable, "-m", program, command]
        if jobs > 1:
            argv += [flag, str(jobs)]
        return subprocess.Popen(
            argv, cwd=self.root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, **options,
        )  # fmt: skip

    def run(self, door: str, jobs: int = 1) -> set[str]:
        """Run to the end; return the names of the tasks that were done."""
        before = len(self.done())
        process = self.start(door, jobs)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, out.decode()
        return {name for name, _ in self.done()[before:]}


def descendants(pid: int) -> list[int]:
    """Return the processes below a process (Linux)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def kill_tree(process: subprocess.Popen[bytes]) -> float:
    """Kill -9 a process and all that it started; return the time just before."""
    pids = [process.pid, *descendants(process.pid)]
    when = time.time()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate()
    return when
