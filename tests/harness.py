"""A small project in a temporary folder, and the command line over it: as a child process, and in this process."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import mmetl
from mmetl.__main__ import main
from mmetl.cache.fingerprints import TICK_NS

BIN = Path(sys.executable).parent
DODO = "from mmetl.core.build import DOIT_CONFIG, task_pipelines\n"

STEPS = '''\
"""What the pipeline calls."""
from helpers import loud

MARK = "!"


def copy(source, target):
    """Write the loud text of a file."""
    # a comment
    with open(source) as f:
        text = f.read()
    with open(target, "w") as f:
        f.write(loud(text) + MARK)
'''
HELPERS = "def loud(text):\n    return text.upper()\n"

TASKS = """\
  first:
    transform: python.run
    params: {function: "steps:copy", args: {source: in.txt, target: out/first.txt}, inputs: [in.txt], outputs: [out/first.txt]}
  second:
    transform: python.run
    params:
      function: steps:copy
      args: {source: out/first.txt, target: out/second.txt}
      inputs: [out/first.txt]
      outputs: [out/second.txt]
"""


COMPLETE = "MMETL_TESTS_COMPLETE"
"""Set where everything that tests need is said to be installed, as `.ci/run` does."""

INSTALLED = (sys.prefix, sys.base_prefix, str(Path(mmetl.__file__).parent))
_installed: dict[str, object] = {}  # modules that are no project's; there are two thousand


def lacking(what: str) -> None:
    """Skip a test because something is not installed; where everything is said to be, let it fail."""
    (pytest.fail if os.environ.get(COMPLETE) else pytest.skip)(what)


def grow_old() -> None:
    """Wait until files written so far are older than a tick: only then are a plan and fingerprints kept for them."""
    time.sleep(2 * TICK_NS / 1e9)


@dataclass(frozen=True)
class Result:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return the one object on stdout."""
        return json.loads(self.out)

    def outcomes(self) -> dict[str, str]:
        """Return task -> outcome of a `--json` answer."""
        return {t["task"]: t["outcome"] for t in self.json()["tasks"]}

    def reasons(self) -> dict[str, list[str]]:
        """Return task -> reasons of a `--json` answer, of tasks that have some."""
        return {t["task"]: t["reasons"] for t in self.json()["tasks"] if t["reasons"]}


class Project:
    """A project in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> Path:
        """Write a file, making its folder."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that is there."""
        text = self.read(path)
        assert old in text
        self.write(path, text.replace(old, new))

    def read(self, path: str) -> str:
        """Return a file's text."""
        return (self.root / path).read_text()

    def tasks(self, text: str, name: str = "p") -> None:
        """Write the pipeline."""
        self.write("pipeline.yaml", f"version: 1\nname: {name}\ntasks:\n{text}")

    def command(
        self, *argv: str, env: Mapping[str, str] | None = None, cwd: str = ".", timeout_s: float = 60.0
    ) -> Result:
        """Run a program of the venv in a child process. The limit is there for what hangs: a busy machine may need minutes."""
        done = subprocess.run(
            [BIN / argv[0], *argv[1:]],
            cwd=self.root / cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def mmetl(self, *argv: str, env: Mapping[str, str] | None = None, cwd: str = ".") -> Result:
        """Run the real command line."""
        return self.command("mmetl", *argv, env=env, cwd=cwd)

    def doit(self, *argv: str, env: Mapping[str, str] | None = None) -> Result:
        """Run plain doit, with a `dodo.py` of one import."""
        self.write("dodo.py", DODO)
        return self.command("doit", *argv, env=env)

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start the real command line and leave it running."""
        return subprocess.Popen(
            [BIN / "mmetl", *argv], cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def fast(self, *argv: str, env: Mapping[str, str] | None = None) -> Result:
        """Run the command line in this process, with the project's modules imported anew."""
        out, err, code = io.StringIO(), io.StringIO(), 0
        path, before = list(sys.path), os.getcwd()
        handlers = [(sig, signal.getsignal(sig)) for sig in (signal.SIGINT, signal.SIGTERM)]
        self._drop_modules()
        os.chdir(self.root)
        try:
            with (
                mock.patch.object(sys, "argv", ["mmetl", *argv]),
                mock.patch.dict(os.environ, env or {}),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                code = main()
        except SystemExit as e:
            code = int(e.code or 0)
        finally:
            os.chdir(before)
            sys.path[:] = path
            self._drop_modules()
            for sig, handler in handlers:
                signal.signal(sig, handler)
        return Result(code, out.getvalue(), err.getvalue())

    def run(self, *argv: str, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Run the pipeline in this process; return task -> outcome."""
        return self.fast("run", "--json", *argv, env=env).outcomes()

    def dry(self, *argv: str, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return task -> outcome as `dry-run` says."""
        return self.fast("dry-run", "--json", *argv, env=env).outcomes()

    def _drop_modules(self) -> None:
        inside = f"{self.root}/"
        for name, module in list(sys.modules.items()):
            if _installed.get(name) is module:
                continue
            names = getattr(module, "__dict__", {})
            place = names.get("__file__") or next(iter(names.get("__path__") or ()), "")  # a plain folder has no file
            if str(place).startswith(inside):
                del sys.modules[name]
            elif str(place).startswith(INSTALLED):
                _installed[name] = module
        importlib.invalidate_caches()


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)
