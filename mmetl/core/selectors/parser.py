"""Selector text to data. Pure: a plan gives the names, nothing is looked up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from mmetl.contracts.plan import Plan
from mmetl.core.dag import ANY
from mmetl.errors import UsageError, Where
from mmetl.utils.text import near

STATES = ("stale", "fresh", "new")
RESULTS = {
    "error": {"failed"},
    "success": {"ran", "restored"},
    **{outcome: {outcome} for outcome in ("ran", "fresh", "restored", "failed", "blocked", "skipped")},
}
WORDS = {"state": STATES, "result": tuple(RESULTS)}
METHODS = ("tag", "transform", "state", "result")
EXAMPLES = {"tag": "tag:NAME", "transform": "transform:tabular.*", "state": "state:stale", "result": "result:error"}

_ATOM = re.compile(r"(?:(?P<around>@)|(?P<up>[\d.\-]*)(?P<plus>\+))?(?P<body>[^+]*)(?P<tail>\+(?P<down>[^+]*))?")
_MEMBER_VALUE = re.compile(r"[^:@+]+(\+\d*)?")


class Place(NamedTuple):
    """Where a selector stands: which `--select` or `--exclude`, counted from 1, and how many characters into it."""

    option: str
    number: int
    text: str
    offset: int = 0

    def moved(self, by: int) -> Place:
        """Return the place so many characters further."""
        return self._replace(offset=self.offset + by)

    @property
    def where(self) -> Where:
        """The place for an error: the option is the file, its number the line."""
        return Where(self.option, self.number, self.offset + 1, re.sub(r"\s", " ", self.text))


class Atom(NamedTuple):
    """One method with its value and graph operators.

    Attributes:
        method: `name`, or one of METHODS.
        value: what the method looks for, as written.
        above: how many steps up what it needs is taken too.
        below: how many steps down what needs it is taken too.
        around: whether all that needs it is taken, with all that those need.
        place: of the value.
    """

    method: str
    value: str
    above: float
    below: float
    around: bool
    place: Place


Selection = tuple[tuple[Atom, ...], ...]  # a union of intersections


def parse(texts: Sequence[str], plan: Plan, option: str = "--select") -> Selection:
    """Return what the texts of an option say: a space (or another text) is a union, a comma an intersection.

    Raises:
        UsageError: with a caret at the wrong place.
    """
    words = []
    for number, text in enumerate(texts, 1):
        place = Place(option, number, text)
        if not text.strip():
            raise UsageError("the selector is empty", place.where, "name a task, such as +report, or leave it out")
        words += [_word(found[0], place.moved(found.start()), plan) for found in re.finditer(r"\S+", text)]
    return tuple(words)


def _word(text: str, place: Place, plan: Plan) -> tuple[Atom, ...]:
    return tuple(_atom(piece, place.moved(at), plan) for at, piece in _pieces(text, plan))


def _pieces(text: str, plan: Plan) -> Iterator[tuple[int, str]]:
    """Split a word at its commas, but not at those inside the name of a member of a matrix, such as `task@2024,eu`."""
    pieces, at = text.split(","), 0
    while pieces:
        piece = pieces.pop(0)
        for _ in range(_commas(piece, plan)):
            if pieces and _MEMBER_VALUE.fullmatch(pieces[0]):
                piece += f",{pieces.pop(0)}"
        yield at, piece
        at += len(piece) + 1


def _commas(piece: str, plan: Plan) -> int:
    """Return how many commas the names of a family have; 0 where the piece names no member."""
    family, at, _ = piece.lstrip("@+0123456789").removeprefix(f"{plan.pipeline}:").partition("@")
    if not at:
        return 0
    members = [n.partition("@") for n in plan.tasks if "@" in n]
    return max((values.count(",") for name, _, values in members if fnmatchcase(name, family)), default=0)


def _atom(text: str, place: Place, plan: Plan) -> Atom:
    found = _ATOM.match(text)
    assert found
    if not found["body"]:
        what = f"nothing is named by '{text}'" if text else "nothing stands on one side of a comma"
        help_ = "a comma joins what must hold at once, a space what may; neither stands beside a comma"
        raise UsageError(what, place.where, "write +NAME, NAME+ or @NAME" if text else help_)
    if found.end() < len(text):
        help_ = "a selector takes one '+' before and one after; in the name of a tag write '?' for it"
        raise UsageError(f"'{text}' has a '+' too many", place.moved(found.end()).where, help_)
    if found["around"] and found["tail"]:
        help_ = "@NAME is already all that needs it, with all that those need"
        raise UsageError("'@' and '+' do not go together", place.moved(found.start("tail")).where, help_)
    above = _steps(found, "up", place) if found["plus"] else 0
    below = _steps(found, "down", place) if found["tail"] else 0
    here = place.moved(found.start("body"))
    method, value = _method(found["body"], here, plan)
    return Atom(method, value, above, below, bool(found["around"]), here)


def _steps(found: re.Match[str], group: str, place: Place) -> float:
    text = found[group]
    if not text:
        return ANY
    if text.isascii() and text.isdigit() and int(text):
        return int(text)
    help_ = "2+NAME goes two steps up, NAME+3 three steps down; +NAME and NAME+ all the way"
    raise UsageError(f"'{text}' is not a number of steps", place.moved(found.start(group)).where, help_)


def _method(body: str, place: Place, plan: Plan) -> tuple[str, str]:
    head, colon, value = body.partition(":")
    if not colon:
        return "name", body
    if head == plan.pipeline and head not in METHODS:
        head = "name"
    elif head not in METHODS:
        raise UsageError(f"no method is called '{head}'", place.where, _methods_help(head, plan))
    if not value:
        what = f"nothing stands after '{body}'"
        raise UsageError(what, place.moved(len(body)).where, f"write {EXAMPLES.get(head, f'{plan.pipeline}:TASK')}")
    if head in WORDS and value not in WORDS[head]:
        raise unknown(f"no {head} is called '{value}'", place.moved(len(head) + 1), value, WORDS[head], f"{head}s")
    return head, value


def _methods_help(head: str, plan: Plan) -> str:
    close = near(head, METHODS)
    known = ", ".join(f"{m}:" for m in METHODS)
    return f"did you mean '{close}:'?" if close else f"methods: {known}; a task is NAME or {plan.pipeline}:NAME"


def unknown(what: str, place: Place | None, word: str, known: Any, title: str) -> UsageError:
    """Return the error for a word that stands for nothing, with the near one, or the first eight of what there is."""
    close = near(word, known)
    some = ", ".join(list(known)[:8]) or "none"
    return UsageError(what, place.where if place else None, f"did you mean '{close}'?" if close else f"{title}: {some}")
