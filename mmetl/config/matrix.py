"""`matrix:`: one task of the YAML becomes a family of them, one for each combination of values."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Scalar = bool | int | float | str

NAME_CHARACTERS = 120  # of a member's name: it is also the name of a log file
MEMBERS = 10_000  # of one family

_OTHER = re.compile(r"[^a-z0-9_.]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Fault:
    """What is wrong with a matrix: where below `matrix`, what, and how to mend it."""

    path: tuple[str | int, ...]
    what: str
    help: str


class MatrixError(Exception):
    """A matrix that cannot be used; `fault` says why."""

    def __init__(self, path: tuple[str | int, ...], what: str, help_: str) -> None:
        super().__init__(what)
        self.fault = Fault(path, what, help_)


def members(task: str, matrix: Any) -> dict[str, dict[str, Scalar]]:
    """Return the name of each member with its values, in the order of the lists, the last one fastest.

    >>> members("load", {"day": [1, 2], "region": ["EU"]})
    {'load@1,eu': {'day': 1, 'region': 'EU'}, 'load@2,eu': {'day': 2, 'region': 'EU'}}

    Args:
        task: the task's name.
        matrix: variable -> list of values, interpolated.

    Raises:
        MatrixError: for what is no mapping of lists of values, or gives one name twice.
    """
    if not isinstance(matrix, dict) or not matrix:
        raise MatrixError((), "a matrix names variables, each with a list of values", "write matrix: {day: [1, 2]}")
    slugs = {name: _slugs(name, values) for name, values in matrix.items()}
    count = 1
    for values in slugs.values():
        count *= len(values)
    if count > MEMBERS:
        raise MatrixError((), f"this matrix makes {count} tasks, and at most {MEMBERS} are allowed", "split the task")
    found: dict[str, dict[str, Scalar]] = {}
    for combination in itertools.product(*(by_slug.items() for by_slug in slugs.values())):
        name = f"{task}@{','.join(slug for slug, _ in combination)}"
        if len(name) > NAME_CHARACTERS:
            raise MatrixError(
                (), f"the name '{name[:40]}...' has more than {NAME_CHARACTERS} characters", "use shorter values"
            )
        found[name] = dict(zip(slugs, (value for _, value in combination), strict=True))
    return found


def _slugs(name: str, values: Any) -> Mapping[str, Scalar]:
    """Return the values of one variable by what they are called in a name."""
    if _VARIABLE.fullmatch(str(name)) is None:
        raise MatrixError((name,), f"'{name}' is no name of a variable", "use letters, digits and underscores")
    if not isinstance(values, list) or not values:
        raise MatrixError((name,), f"'{name}' needs a list of values", f"write {name}: [a, b], or a var that is a list")
    found: dict[str, Scalar] = {}
    for n, value in enumerate(values):
        if not isinstance(value, (bool, int, float, str)):
            raise MatrixError((name, n), f"a value of '{name}' is not text, a number, true or false", "write one value")
        slug = slug_of(value)
        if not slug:
            raise MatrixError((name, n), f"the value '{value}' has nothing to make a name of", "use letters or digits")
        if slug in found:
            what = f"the values '{found[slug]}' and '{value}' of '{name}' both give the name '{slug}'"
            raise MatrixError((name, n), what, "rename one of them")
        found[slug] = value
    return found


def slug_of(value: Scalar) -> str:
    """Return what a value is called in the name of a task.

    >>> slug_of("North America")
    'north-america'
    """
    return _OTHER.sub("-", str(value).lower()).strip("-")


def family_of(member: str) -> str:
    """Return the name that a member's task has in the YAML; a task without matrix is its own.

    >>> family_of("load@1,eu")
    'load'
    """
    return member.partition("@")[0]


def families(tasks: Sequence[str]) -> dict[str, list[str]]:
    """Return each family with its members, in the order of the tasks."""
    found: dict[str, list[str]] = {}
    for task in tasks:
        if "@" in task:
            found.setdefault(family_of(task), []).append(task)
    return found
