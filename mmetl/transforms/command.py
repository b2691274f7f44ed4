"""`shell.run` and `python.run`: a command or a project function that reads files and writes files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.transform import Declaration, Job, Scope
from mmetl.errors import ParamError, TaskError
from mmetl.utils.env import environment_of_commands

STOP_S = 5.0  # how long a stopped command may clean up before it is killed
REST_S = 0.3  # and then what it had started; the dead may stay in sight until somebody asks for them
TAIL_LINES = 3  # of the log, in the error of a failed command
TAIL_CHARACTERS = 1000

Paths = Annotated[list[str], Field(default_factory=list)]


class _Files(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: Paths = Field(description="files or globs that it reads, relative to the project")
    outputs: Paths = Field(description="files that it writes, relative to the project")


class ShellParams(_Files):
    """Params of `shell.run`."""

    command: str | list[str] = Field(description="a text for `sh -c`, or a list of a program and its arguments")


class PythonParams(_Files):
    """Params of `python.run`."""

    function: str = Field(description="a function of the project, as module:function or ./file.py:function")
    args: dict[str, Any] = Field(default_factory=dict, description="its arguments, by name")


class _Command:
    """What the two have in common. Not atomic: old outputs are removed before it runs."""

    version = 1
    packages: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    atomic = False


class Shell(_Command):
    """`shell.run`: runs a command in the project's folder; what it prints goes to the task's log."""

    name = "shell.run"
    params = ShellParams

    def declare(self, params: ShellParams, scope: Scope) -> Declaration:  # noqa: ARG002
        """Say which files it reads and writes; their order does not count."""
        if not params.command:
            raise ParamError("the command is empty", help="write what the shell should run", param=("command",))
        return Declaration(sources=tuple(params.inputs), outputs=tuple(params.outputs), named_inputs=False)

    def run(self, job: Job) -> None:
        """Run the command. Raises TaskError if it cannot be started or does not exit with 0."""
        command = job.params.command
        argv = ["sh", "-c", command] if isinstance(command, str) else command
        log = job.log.fileno()
        try:
            process = subprocess.Popen(
                argv,
                cwd=job.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment_of_commands(),
                process_group=0,
            )
        except OSError as e:
            raise TaskError(f"'{argv[0]}' cannot be started: {e.strerror}", help="is it installed, and on PATH?") from e
        job.on_cancel(lambda: _stop(process))
        try:
            status = process.wait()
        except BaseException:
            _stop(process)
            raise
        if status != 0:
            how = f"exited with {status}" if status > 0 else f"was ended by signal {signal.Signals(-status).name}"
            raise TaskError(f"the command {how}{_tail(job)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it started: by request, then by force; for whoever asks again, by force at once."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
        with contextlib.suppress(KeyboardInterrupt):
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
                end = time.monotonic() + REST_S
                while time.monotonic() < end:
                    os.killpg(process.pid, 0)
                    time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)


def _tail(job: Job) -> str:
    """Return the last lines that a command printed."""
    job.log.flush()
    with open(job.log.name, "rb") as f:
        f.seek(max(0, f.seek(0, os.SEEK_END) - 4 * TAIL_CHARACTERS))  # a log may be larger than memory
        text = f.read().decode("utf-8", "replace")
    lines = text[-TAIL_CHARACTERS:].strip().splitlines()[-TAIL_LINES:]
    return ": " + " / ".join(lines) if lines else ""


class Python(_Command):
    """`python.run`: calls a project function in this process, with its arguments by name."""

    name = "python.run"
    params = PythonParams

    def declare(self, params: PythonParams, scope: Scope) -> Declaration:  # noqa: ARG002
        """Say which files it reads and writes, and whose code counts."""
        if ":" not in params.function:
            raise ParamError(
                f"'{params.function}' names no function", help="write module:function", param=("function",)
            )
        return Declaration(
            sources=tuple(params.inputs),
            outputs=tuple(params.outputs),
            functions=(params.function,),
            arguments=tuple(params.args),
            named_inputs=False,
        )

    def run(self, job: Job) -> None:
        """Call the function. What it raises is the task's error."""
        try:
            job.functions[job.params.function](**job.params.args)
        except SystemExit as e:
            if e.code:
                raise TaskError(f"it called sys.exit({e.code!r})") from e


SHELL = Shell()
PYTHON = Python()
