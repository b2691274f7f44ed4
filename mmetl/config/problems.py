"""What pydantic found wrong, in plain words, with its position and how to mend it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mmetl.config.expectations import annotation_at, is_kind, models_in, wanted
from mmetl.config.positions import Source
from mmetl.config.resolver import Path
from mmetl.errors import Problem
from mmetl.utils.text import either, near

MAX_SHOWN = 60  # characters of a value in a message
KEY = "[key]"  # pydantic's mark for an error in the key of a mapping, not in its value


def problems_from_validation(
    error: ValidationError, source: Source, base: Path, model: type[BaseModel], owner: str
) -> list[Problem]:
    """Return one problem for each thing that is wrong, in the order of the text.

    Args:
        error: what `model.model_validate` raised.
        source: where the validated value came from.
        base: where in the source the value stands; it ends in "params" for the params of a task.
        model: the validated model.
        owner: what takes the keys: "a pipeline", or the name of the transform whose params these are.
    """
    teller = _Teller(source, base, model, owner)
    grouped: dict[tuple[Path, str], list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        path = _real(source, base, details)
        group = "" if details["type"] not in ("missing", "extra_forbidden") else details["type"]
        grouped.setdefault((path, group + (KEY if details["loc"][-1:] == (KEY,) else "")), []).append(details)
    inner = {path[:end] for path, _ in grouped for end in range(len(base), len(path))}
    found = [
        problem
        for (path, group), several in grouped.items()
        # Of several types that a value may have, the one that fits so far is the one that is meant.
        if not (path in inner and all(is_kind(details) for details in several))
        # `inputs: [X]` has one text for both: the alias and the task.
        if group == KEY or (path, KEY) not in grouped
        for problem in teller.tell(path, several)
    ]
    return sorted(_without_hidden_lines(found), key=source.order)


def wrong_paths(error: ValidationError, source: Source) -> list[Path]:
    """Return where in the source each error of a whole file is."""
    return [_real(source, (), details) for details in error.errors(include_url=False)]


def _without_hidden_lines(problems: list[Problem]) -> list[Problem]:
    """Return problems of which none shows a line that one of them does not show."""
    hidden = {p.where[:2] for p in problems if p.where and not p.where.text}
    return [p._replace(where=p.where._replace(text="")) if p.where and p.where[:2] in hidden else p for p in problems]


def _real(source: Source, base: Path, details: ErrorDetails) -> Path:
    """Return the path of an error in the tree, without pydantic's names of union members."""
    *outer, last = details["loc"] or (None,)
    path = base
    for part in outer:
        if source.has((*path, part)):
            path = (*path, part)
    if last is None or last == KEY:
        return path
    named = details["type"] in ("missing", "extra_forbidden")
    return (*path, last) if named or source.has((*path, last)) else path


class _Teller:
    def __init__(self, source: Source, base: Path, model: type[BaseModel], owner: str) -> None:
        self.source = source
        self.base = base
        self.model = model
        self.owner = owner
        self.noun = "param" if base[-1:] == ("params",) else "key"

    def tell(self, path: Path, several: list[ErrorDetails]) -> Iterator[Problem]:
        details = several[0]
        match details["type"]:
            case "missing":
                yield self._missing(path)
            case "extra_forbidden":
                yield self._unknown(path)
            case _ if details["loc"][-1:] == (KEY,):
                what = f"'{path[-1]}' is not a name that can be used here"
                where = self.source.locate(path, on_key=True)
                yield Problem(what, where, f"expected {wanted(details, self.model, path[len(self.base) :])}")
            case _:
                yield self._wrong(path, several)

    def _missing(self, path: Path) -> Problem:
        noun = "param " if self.noun == "param" and len(path) == len(self.base) + 1 else ""
        help_ = self._takes(path[:-1])
        return Problem(f"{self._subject(path[:-1])} needs {noun}'{path[-1]}'", self.source.locate(path), help_)

    def _unknown(self, path: Path) -> Problem:
        noun = self.noun if len(path) == len(self.base) + 1 else "key"
        what = f"{self._subject(path[:-1])} has no {noun} '{path[-1]}'"
        meant = near(str(path[-1]), self._names(path[:-1]))
        help_ = " ".join([f"did you mean '{meant}'?"] * bool(meant) + [self._takes(path[:-1])])
        return Problem(what, self.source.locate(path, on_key=True), help_)

    def _wrong(self, path: Path, several: list[ErrorDetails]) -> Problem:
        details = several[0]
        where = self.source.locate(path)
        if details["type"] == "twice":
            return Problem(f"'{details['ctx']['item']}' is in {self._label(path)} twice", where, "name it once")
        if details["type"] == "written_out":
            # Neither the value nor its line is shown.
            what = f"{self._label(path)} is written out, where files and messages would show it"
            return Problem(what, where and where._replace(text=""), details["ctx"]["help"])
        value = self._value(path, details["input"])
        if details["type"] in ("value_error", "assertion_error"):
            subject = self._label(path) if isinstance(details["input"], dict) else f"{self._label(path)} is {value}"
            return Problem(f"{subject}: {self._said(path, details)}", where)
        kinds = [wanted(one, self.model, path[len(self.base) :]) for one in several]
        expected = either(kind for kind in kinds if kind != "a whole number" or "a number" not in kinds)
        help_ = "this mmETL reads version 1" if path == ("version",) else _mended(details["input"], kinds)
        return Problem(f"{self._label(path)} is {value}, expected {expected}", where, help_)

    def _said(self, path: Path, details: ErrorDetails) -> str:
        """Return what a validator wrote, unless it may quote a value of the environment."""
        return "not valid" if self.source.hides(path) else str(details["ctx"]["error"]).rstrip(".")

    def _value(self, path: Path, value: object) -> str:
        original = self.source.original(path)
        if original is not None:
            return _quoted(original)
        if value is None or value == "":
            return "empty"
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, (dict, BaseModel)):
            return "a mapping"
        if isinstance(value, (list, tuple, set)):
            return "a list" if value else "an empty list"
        return _quoted(value) if isinstance(value, str) else str(value)[:MAX_SHOWN]

    def _subject(self, path: Path) -> str:
        """Name the mapping at `path`: a task, a mapping inside of it, or the whole."""
        if path[:1] == ("tasks",) and len(path) > 1 and (path == self.base or len(path) == 2):
            return f"task '{path[1]}'"
        return self.owner if path == self.base else self._label(path)

    def _label(self, path: Path) -> str:
        """Name the value at `path` by its last key and the indexes behind it."""
        if path == self.base or (path[:1] == ("tasks",) and len(path) == 2):
            return self._subject(path)
        begin = max((at for at, part in enumerate(path) if isinstance(part, str)), default=0)
        return f"'{path[begin]}{''.join(f'[{part}]' for part in path[begin + 1 :])}'"

    def _names(self, path: Path) -> list[str]:
        names: list[str] = []
        for model in models_in(annotation_at(self.model, path[len(self.base) :])):
            names += [info.alias or name for name, info in model.model_fields.items()]
        return names

    def _takes(self, path: Path) -> str:
        names = self._names(path)
        if path == self.base:
            taker = f"'{self.owner}'" if self.noun == "param" else self.owner
        else:
            taker = "a task" if path[:1] == ("tasks",) and len(path) == 2 else self._label(path)
        return f"{taker} takes: {', '.join(names)}" if names else f"{taker} takes no {self.noun}s"


def _mended(value: object, kinds: Sequence[str]) -> str:
    """Return how to write a value so that it is of the kind that is expected, where that is plain."""
    if "text" in kinds and isinstance(value, int | float):
        return "write it in quotes"
    if "a list" in kinds and isinstance(value, str):
        return "put it in brackets: [...]"
    return ""


def _quoted(text: str) -> str:
    line = text.strip().split("\n")[0]
    return f"'{text}'" if len(text) <= MAX_SHOWN and line == text else f"'{line[:MAX_SHOWN]}…'"
