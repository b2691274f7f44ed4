"""The functions that tasks call: their code for the recipe, the files that it lies in, and calls that cannot be right."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mmetl.cache.code import Code, CodeReader
from mmetl.core.planning.calls import given_by_name, wrong_calls
from mmetl.core.planning.draft import Draft
from mmetl.core.planning.findings import Findings, KeyPath
from mmetl.core.planning.namesakes import Namesakes
from mmetl.core.registry import folders_on_path
from mmetl.errors import ParamError


class Called(NamedTuple):
    """A function that is called.

    Attributes:
        entry: as module:function or ./file.py:function.
        given: the names of its arguments, where they are known.
        place: of what names it.
    """

    entry: str
    given: tuple[str, ...] | None
    place: KeyPath


class CalledCode:
    """Reads the code that the tasks of one pipeline reach.

    Args:
        root: the project's folder.
        findings: gets what is wrong.

    Attributes:
        files: all Python files that were read, relative to the project.
        listings: the folders that were searched for modules -> what they held.
    """

    def __init__(self, root: Path, findings: Findings) -> None:
        self.files: set[str] = set()
        self.listings: dict[str, str] = {}
        self._reader = CodeReader(root, folders_on_path(root))
        self._namesakes = Namesakes(root)
        self._findings = findings
        self._kept: set[str] = set()  # functions whose code was noted
        self._right: set[tuple[str, tuple[str, ...], bool]] = set()  # calls with nothing wrong in them

    def import_module(self, module: str, place: KeyPath) -> None:
        """Note the code of a module that the pipeline imports. Raises ParamError if it cannot be read."""
        self._keep(module, self._reader.imported(module), place)

    def knows_inputs_by_name(self, draft: Draft, args: Collection[str]) -> bool:
        """Tell whether the names of a task's inputs reach its function, which is given `args` beside them: then they count."""
        return draft.declared.named_inputs or given_by_name(self._reader, draft.declared.functions, args)

    def of(self, name: str, draft: Draft) -> dict[str, dict[str, str]]:
        """Return the pieces of code that make a task's output, and those that check it, each with its fingerprint."""
        called = {"code": _making(name, draft), "check_code": _checking(name, draft)}
        return {part: self._pieces(name, draft, calls) for part, calls in called.items()}

    def look_at(self, drafts: Mapping[str, Draft]) -> None:
        """Find what is wrong with the functions of tasks in a pipeline that cannot be planned."""
        for name, draft in drafts.items():
            self.of(name, draft)

    def _pieces(self, name: str, draft: Draft, called: Sequence[Called]) -> dict[str, str]:
        pieces: dict[str, str] = {}
        for entry, given, place in called:
            try:
                if given is not None:
                    self._check(name, entry, given, place)
                code = self._reader.fingerprint(entry)
            except ParamError as e:
                self._findings.add_error(e, (*place, *(e.param or ("function",))))
                continue
            self._keep(entry, code, (*place, "function"))
            pieces.update(code.pieces)
            draft.whole.update(code.whole)
        return pieces

    def _keep(self, entry: str, code: Code, place: KeyPath) -> None:
        """Note what the plan depends on, and refuse modules of one name: Python imports the one that comes first."""
        if entry in self._kept:
            return
        self._kept.add(entry)
        self.files.update(code.files)
        self.listings.update(code.listings)
        problem = self._namesakes.add(entry, code)
        if problem:
            self._findings.add_error(problem, place)

    def _check(self, name: str, entry: str, given: tuple[str, ...], place: KeyPath) -> None:
        """Compare the arguments that will be passed by name with the function's parameters."""
        table = "expect" in place[2:]
        if (entry, given, table) in self._right:
            return
        found = list(wrong_calls(entry, self._reader.define(entry), given, name, table=table))
        if not found:
            self._right.add((entry, given, table))
        for wrong in found:
            at = (*place, "args", wrong.argument) if wrong.argument else (*place, "function")
            self._findings.add(wrong.what, at, wrong.help, on_key=bool(wrong.argument))


def _making(name: str, draft: Draft) -> list[Called]:
    here = ("tasks", name, "params")
    own = [Called(entry, None, here) for entry in draft.transform.code]
    return own + [Called(entry, draft.declared.arguments, here) for entry in draft.declared.functions]


def _checking(name: str, draft: Draft) -> list[Called]:
    checks = enumerate(draft.spec.expect)
    return [Called(c.entry, tuple(c.args), ("tasks", name, "expect", n)) for n, c in checks if c.entry]
