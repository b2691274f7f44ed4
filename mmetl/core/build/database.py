"""What doit asks of files and of earlier runs, answered from mmETL's store."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from doit.dependency import FileChangedChecker
from doit.exceptions import InvalidDodoFile

from mmetl.cache.fingerprints import MISSING
from mmetl.contracts.plan import Plan, TaskNode
from mmetl.core.decide import FRESH
from mmetl.core.keep import forget_task, locked
from mmetl.core.project import Project
from mmetl.core.session import Session, artifact_name
from mmetl.errors import MmetlError, RefusedError
from mmetl.observability.runs import Status

current: list[Session] = []  # doit makes the checker and the backend by itself: this is how they find the session


class Checker(FileChangedChecker):  # type: ignore[misc]
    """doit's view of files: our fingerprints, taken before the action. Renaming the class would invalidate every task."""

    def exists(self, file_path: str) -> bool:
        """Tell whether a target is there."""
        return current[-1].fingerprint(file_path) != MISSING

    def info(self, file_path: str) -> str:
        """Return a dependency's fingerprint, in the place of a stat. Raises FileNotFoundError."""
        found = current[-1].fingerprint(file_path)
        if found == MISSING:
            raise FileNotFoundError(file_path)
        return found

    def check_modified(self, file_path: str, file_stat: str, state: str) -> bool:  # noqa: ARG002
        """Compare a dependency with what the last success read."""
        return bool(file_stat != state)

    def get_state(self, dep: str, current_state: str | None) -> None:  # noqa: ARG002
        """Return nothing new: the action has committed the state that it took before it ran."""
        return


class Backend:
    """doit's database, answered from the store (entry point `doit.BACKEND`).

    `remove` means two things in doit: `doit forget`, and "this task failed". A run asks about a task before it fails it, and
    `forget` never does; that tells them apart.
    """

    desc = "mmETL's own state store"

    def __init__(self, name: str, codec: Any, *, module_name: str | None = None) -> None:  # noqa: ARG002
        self.name = name
        self._asked: set[str] = set()
        self._inputs: tuple[str, dict[str, str]] = ("", {})  # of the task asked about last: doit asks in a row

    def get(self, task_id: str, dependency: str) -> Any:
        """Return what the last success recorded about a task's dependency."""
        self._asked.add(task_id)
        found = current[-1].find(task_id) if current else None
        if found is None or dependency == "ignore:":
            return None
        plan, node = found
        record = current[-1].facts_of(plan).records.get(node.name)
        if record is None:
            return None
        if dependency == "checker:":
            return Checker.__name__
        if self._inputs[0] != task_id:
            self._inputs = (task_id, _inputs(current[-1], plan, node, task_id))
        inputs = self._inputs[1]
        return tuple(inputs) if dependency == "deps:" else inputs.get(dependency)

    def set(self, task_id: str, dependency: str, value: Any) -> None:  # noqa: ARG002
        """Accept what doit saves after a success: the action has committed it already."""
        if dependency == "ignore:":
            raise InvalidDodoFile(f"mmETL does not keep 'ignore' for {task_id}: leave a task out with --select")

    def in_(self, task_id: str) -> bool:
        """Tell whether a task has succeeded before."""
        return self.get(task_id, "checker:") is not None

    def remove(self, task_id: str) -> None:
        """Forget a task, if `doit forget` asks; a failure has been recorded by the action."""
        found = current[-1].find(task_id) if current else None
        if found and task_id not in self._asked:
            with locked_or_exit(current[-1].project, "doit forget"):
                forget_task(current[-1].project, found[0].pipeline, found[1].name)

    def remove_all(self) -> None:
        """Forget every task of the project's pipelines."""
        session = current[-1]
        with locked_or_exit(session.project, "doit forget"):
            for plan in session.plans.values():
                for name in plan.tasks:
                    forget_task(session.project, plan.pipeline, name)

    def dump(self) -> None:
        """End the run, if doit started one."""
        self._inputs = ("", {})
        for session in current[-1:]:
            finish(session)


def _inputs(session: Session, plan: Plan, node: TaskNode, task_id: str) -> dict[str, str]:
    """Return what a task has read: path -> fingerprint.

    doit compares paths, and names of tasks are among them: of a fresh task it is told what it reads now, so that a renamed input
    makes no difference.
    """
    names = session.file_deps.get(task_id)
    with contextlib.suppress(MmetlError):  # `uptodate` has met it, and said that the task is not fresh
        if names is not None and session.decision(plan, node) is FRESH:
            return {name: session.fingerprint(name) for name in names}
    return {_input_path(plan, k): v for k, v in session.facts_of(plan).lists(node.name).files.items()}


def _input_path(plan: Plan, name: str) -> str:
    return artifact_name(plan.pipeline, name.removeprefix("task ")) if name.startswith("task ") else name


@contextlib.contextmanager
def locked_or_exit(project: Project, what: str) -> Iterator[None]:
    """Hold the run lock for a command of doit's; when another process holds it, tell and exit with our code."""
    try:
        with locked(project, what):
            yield
    except RefusedError as e:
        # doit catches what actions write to sys.stderr: `doit clean` would end without a word.
        (sys.__stderr__ or sys.stderr).write(f"{e}\n")
        raise SystemExit(int(e.exit_code)) from None


def finish(session: Session) -> None:
    """Write how a plain doit run ended. `mmetl run` does so itself, with more to say."""
    if session.executor.lock.held:
        interrupted = isinstance(sys.exc_info()[1], KeyboardInterrupt)  # doit closes its backend while that passes
        if interrupted:
            session.executor.cancel()
        status: Status = "cancelled" if interrupted else "failed" if session.failed else "succeeded"
        session.executor.end(status, session.left())
    session.project.store.close()
