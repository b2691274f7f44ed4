"""Interpolation of `${...}` in every text of a tree; see mmetl.config.secrets for `${secret:NAME}`."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mmetl.config.matrix import MatrixError, members
from mmetl.config.secrets import literal, looks_secret
from mmetl.utils.env import Env
from mmetl.utils.text import is_utf8, near

Path = tuple[str | int, ...]

_OPEN = re.compile(r"\$?\$\{")
_EDGE = re.compile(r"\$\{|\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ENVIRONMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::([-?])(.*))?", re.DOTALL)

FORMS = "${NAME}, ${NAME:-default}, ${NAME:?message}, ${var:name}, ${matrix:name} and ${secret:NAME}"
LITERAL_HELP = f"the forms are {FORMS}; a literal '${{' is written '$${{'"


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of an original text became which part of the resolved one; ends are exclusive."""

    begin: int
    end: int
    original_begin: int
    original_end: int


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in one text. `offset` counts characters of the original text."""

    path: Path
    offset: int
    what: str
    help: str


@dataclass
class Trace:
    """What interpolation did.

    Attributes:
        faults: what was wrong; these texts stay as they were.
        spans: for each text that changed, where its parts come from.
        hidden: the texts that hold a value of the environment: messages show the original instead.
        unknown: names of `variables` that the file does not have, with the names that it has.
        members: the tasks that matrices made.
    """

    faults: list[Fault] = field(default_factory=list)
    spans: dict[Path, tuple[Span, ...]] = field(default_factory=dict)
    hidden: set[Path] = field(default_factory=set)
    unknown: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    members: set[str] = field(default_factory=set)


Segment = tuple[str, bool]
"""Text, and whether it is a live secret's."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """What stands for `text[begin:end]`.

    Attributes:
        value: with its own type, for a text that is nothing but one var.
        segments: the same as text.
        hidden: whether a value of the environment is in it.
    """

    value: Any
    segments: tuple[Segment, ...]
    begin: int = 0
    end: int = 0
    hidden: bool = False


def _piece(value: Any, begin: int = 0, end: int = 0, *, live: bool = False, hidden: bool = False) -> _Piece:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return _Piece(value, ((text, live),), begin, end, hidden)


class _FaultError(Exception):
    def __init__(self, offset: int, what: str, help_: str = "") -> None:
        self.offset, self.what, self.help = offset, what, help_


class _SilentError(Exception):
    """A text that refers to a var which is reported elsewhere."""


def interpolate(tree: dict[str, Any], variables: Mapping[str, Any], env: Env) -> Trace:
    """Replace `${...}` in all texts of `tree`, in place, keys excepted.

    Args:
        tree: a pipeline's mapping; its `vars` are what `${var:name}` means.
        variables: values that take the place of `vars` of the same name; taken as they are.
        env: where `${NAME}` is looked up.
    """
    return _Interpolator(tree, variables, env).run()


class _Interpolator:
    def __init__(self, tree: dict[str, Any], variables: Mapping[str, Any], env: Env) -> None:
        self.tree = tree
        self.env = env
        self.trace = Trace()
        own = tree.get("vars")
        self.own: dict[str, Any] | None = own if isinstance(own, dict) else None if own is not None else {}
        self.given = variables
        self.known: dict[str, _Piece | None] = {}
        self.open: list[str] = []
        self.done: dict[str, tuple[_Piece, tuple[Span, ...]]] = {}
        self.matrix: Mapping[str, Any] = {}  # of the task that is being walked

    def run(self) -> Trace:
        own = self.own or {}
        if self.own is not None:
            self.trace.unknown = [(name, tuple(own)) for name in self.given if name not in own]
        for name in own:
            self._quietly(self._var, name)
        own.update({name: piece.value for name, piece in self.known.items() if piece is not None})
        tasks = self.tree.get("tasks")
        done = {"vars"}
        if isinstance(tasks, dict) and any(isinstance(t, dict) and "matrix" in t for t in tasks.values()):
            done.add("tasks")
            self.tree["tasks"] = self._members(tasks)
        self._walk({key: value for key, value in self.tree.items() if key not in done}, [], self.tree)
        return self.trace

    def _members(self, tasks: dict[str, Any]) -> dict[str, Any]:
        """Return all tasks interpolated, those with a matrix as one task for each combination of its values."""
        found: dict[str, Any] = {}
        for name, spec in tasks.items():
            if not isinstance(spec, dict) or "matrix" not in spec:
                found[name] = spec
                self._walk({name: spec}, ["tasks"], found)
                continue
            top = {"matrix": spec["matrix"]}
            self._walk(top, ["tasks", name], top)
            rest = {key: value for key, value in spec.items() if key != "matrix"}
            try:
                made = members(name, top["matrix"])
            except MatrixError as error:
                fault = error.fault
                self.trace.faults.append(Fault(("tasks", name, "matrix", *fault.path), 0, fault.what, fault.help))
                continue
            for member, values in made.items():
                self.trace.members.add(member)
                self.matrix = values
                body = copy.deepcopy(rest)
                self._walk(body, ["tasks", member], body)
                found[member] = {"matrix": values, **body}
            self.matrix = {}
        return found

    @staticmethod
    def _quietly(function: Callable[[str], object], name: str) -> None:
        try:
            function(name)
        except _SilentError:
            return

    def _walk(self, items: Any, trail: list[str | int], into: Any) -> None:
        for key, value in items.items() if isinstance(items, dict) else enumerate(items):
            if isinstance(value, str):
                if "${" in value:
                    piece = self._text(value, (*trail, key))
                    into[key] = value if piece is None else piece.value
            elif isinstance(value, (dict, list)):
                trail.append(key)
                self._walk(value, trail, value)
                trail.pop()

    def _text(self, text: str, path: Path) -> _Piece | None:
        """Return what a whole text becomes, or None when it is wrong; tell the trace."""
        try:
            if text not in self.done or "${matrix:" in text:  # the same text often stands in thousands of tasks
                pieces = self._pieces(text, 0)
                self.done[text] = _whole(text, pieces), _spans(pieces)
        except _FaultError as error:
            self.trace.faults.append(Fault(path, error.offset, error.what, error.help))
            return None
        except _SilentError:
            self.trace.faults.append(Fault(path, 0, "", ""))
            return None
        whole, self.trace.spans[path] = self.done[text]
        if whole.hidden:
            self.trace.hidden.add(path)
        return whole

    def _pieces(self, text: str, base: int) -> list[_Piece]:
        pieces = []
        at = 0
        while found := _OPEN.search(text, at):
            begin, at = found.span()
            if found[0] == "$${":
                pieces.append(_piece("${", begin, at))
                continue
            end = _close(text, at)
            if end is None:
                raise _FaultError(base + begin, "'${' is not closed", LITERAL_HELP)
            pieces.append(self._expression(text[at:end], begin, end + 1, base))
            at = end + 1
        return pieces

    def _expression(self, body: str, begin: int, end: int, base: int) -> _Piece:
        at = base + begin
        if body.startswith("var:"):
            return replace(self._reference(body[4:], at), begin=begin, end=end)
        if body.startswith("matrix:"):
            return _piece(self._of_matrix(body[7:], at), begin, end)
        if body.startswith("secret:"):
            if not _NAME.fullmatch(body[7:]):
                raise _FaultError(at, f"'${{{body}}}' names no secret", "write ${secret:NAME}")
            return _piece(f"${{{body}}}", begin, end, live=True)
        found = _ENVIRONMENT.fullmatch(body)
        if found is None:
            raise _FaultError(at, f"'${{{body}}}' is not understood", LITERAL_HELP)
        name, operator, rest = found.groups()
        if looks_secret(name):
            help_ = f"write ${{secret:{name}}}: it is looked up when the task runs and stored nowhere"
            raise _FaultError(at, f"'{name}' looks like a secret", help_)
        value = self.env.get(name)
        if value is not None and not is_utf8(value):
            raise _FaultError(at, f"environment variable '{name}' is not UTF-8", f"set '{name}' to text")
        if value is not None and (value or not operator):
            return _piece(value, begin, end, hidden=True)
        if operator != "-":
            raise self._unset(name, value, rest if operator else None, at)
        nested = self._pieces(rest, at + 2 + found.start(3))
        segments = tuple(_segments(rest, nested))
        return _Piece(None, segments, begin, end, hidden=any(piece.hidden for piece in nested))

    def _unset(self, name: str, value: str | None, message: str | None, at: int) -> _FaultError:
        state = "not set" if value is None else "empty"
        what = f"environment variable '{name}' is {state}"
        if message is not None:
            return _FaultError(at, f"{what}: {message}" if message else what, f"set '{name}'")
        if self.own and name in self.own:
            return _FaultError(at, what, f"did you mean '${{var:{name}}}'?")
        return _FaultError(at, what, f"set it, or give a default: ${{{name}:-default}}")

    def _of_matrix(self, name: str, at: int) -> Any:
        if name in self.matrix:
            return self.matrix[name]
        if not self.matrix:
            raise _FaultError(at, f"'${{matrix:{name}}}' stands in no task with a matrix", "give the task a `matrix`")
        meant = near(name, self.matrix)
        help_ = (f"did you mean '{meant}'? " if meant else "") + f"its variables: {', '.join(self.matrix)}"
        raise _FaultError(at, f"the matrix has no variable '{name}'", help_)

    def _reference(self, name: str, at: int) -> _Piece:
        if self.own is None:  # `vars` itself is wrong, and reported by the schema
            raise _SilentError
        if name in self.open:
            circle = " -> ".join([*self.open[self.open.index(name) :], name])
            raise _FaultError(at, f"the vars refer to each other: {circle}", "give one of them a value of its own")
        if name not in self.own:
            raise _FaultError(at, f"there is no var '{name}'", _var_help(name, self.own))
        return self._var(name)

    def _var(self, name: str) -> _Piece:
        """Return a var's final value. Raises _SilentError when it is wrong."""
        if name not in self.known:
            self.open.append(name)
            self.known[name] = self._final(name)
            self.open.pop()
        piece = self.known[name]
        if piece is None or isinstance(piece.value, dict) or piece.value is None:
            raise _SilentError
        return piece

    def _final(self, name: str) -> _Piece | None:
        assert self.own is not None
        if name in self.given:
            given = self.given[name]
            return replace(_piece(given), value=literal(given) if isinstance(given, str) else given)
        value = self.own[name]
        if isinstance(value, str) and "${" in value:
            return self._text(value, ("vars", name))
        if isinstance(value, list):
            value = [
                self._text(v, ("vars", name, n)) if isinstance(v, str) and "${" in v else _piece(v)
                for n, v in enumerate(value)
            ]
            return None if any(v is None for v in value) else _piece([v.value for v in value])
        return _piece(value)


def _var_help(name: str, own: Mapping[str, Any]) -> str:
    if not own:
        return f"add '{name}' under 'vars:'"
    meant = near(name, own)
    known = f"vars: {', '.join(own)}"
    return f"did you mean '{meant}'? {known}" if meant else f"add '{name}' under 'vars:'; {known}"


def _close(text: str, at: int) -> int | None:
    """Return where the `}` stands that closes the `${` before `at`."""
    depth = 1
    for found in _EDGE.finditer(text, at):
        depth += 1 if found[0] == "${" else -1
        if depth == 0:
            return found.start()
    return None


def _segments(text: str, pieces: list[_Piece]) -> Iterator[Segment]:
    at = 0
    for piece in pieces:
        yield text[at : piece.begin], False
        yield from piece.segments
        at = piece.end
    yield text[at:], False


def _whole(text: str, pieces: list[_Piece]) -> _Piece:
    """Return the resolved text, or the value of the one var that the text is."""
    hidden = any(piece.hidden for piece in pieces)
    alone = len(pieces) == 1 and pieces[0].end - pieces[0].begin == len(text)
    if alone and isinstance(pieces[0].value, (int, float, list)):
        return pieces[0]
    for piece in pieces:
        if isinstance(piece.value, list):
            raise _FaultError(piece.begin, "a var that is a list is part of a text", "it can only stand alone")
    segments = tuple(_segments(text, pieces))
    made, run = "", ""
    for part, live in segments:
        if not live:
            run += part
            continue
        if run.endswith("$"):
            # `$` and a live secret would read as a literal one.
            raise _FaultError(0, f"a '$' comes directly before '{part}'", "put something between them")
        made, run = made + literal(run) + part, ""
    return _Piece(made + literal(run), segments, hidden=hidden)


def _spans(pieces: list[_Piece]) -> tuple[Span, ...]:
    spans, moved = [], 0
    for piece in pieces:
        length = sum(len(text) for text, _ in piece.segments)
        begin = piece.begin + moved
        spans.append(Span(begin, begin + length, piece.begin, piece.end))
        moved += length - (piece.end - piece.begin)
    return tuple(spans)
