"""Which row of a table a mention means: one that has this name or alias, else one whose name is nearly the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mmetl.transforms.cross.candidates import Candidates
from mmetl.transforms.cross.names import DIGITS, Measure, Spelling, similarities, spelled, written


class Named(NamedTuple):
    """One name of a row.

    Attributes:
        group: a mention of another one does not mean the row.
        text: the name.
        alias: whether it is one of its other names.
        place: of the row, in the order that breaks ties.
    """

    group: tuple[str, ...]
    text: str
    alias: bool
    place: int


class Link(NamedTuple):
    """What a mention means.

    Attributes:
        place: of the row; None: of none.
        score: how alike the names are; None without a row.
        how: `exact`, `alias`, `fuzzy` or `none`.
        review: whether somebody should look at it.
        rivals: how many other rows might be meant as well.
    """

    place: int | None
    score: float | None
    how: str
    review: bool
    rivals: int


NONE = Link(None, None, "none", review=False, rivals=0)


@dataclass(frozen=True)
class Rules:
    """When a mention means a row.

    Attributes:
        measure: of how alike two names are.
        threshold: the similarity from which on a row is linked.
        review: that from which on it is linked, for somebody to look at.
        margin: a row that is less alike than the best one by up to so much might be meant as well.
        candidates: names that a mention is measured against, at most.
        spelling: which differences are none.
    """

    measure: Measure
    threshold: float
    review: float
    margin: float
    candidates: int
    spelling: Spelling


class Linker:
    """Knows the names of a table.

    Args:
        names: of its rows; blank ones count for nothing.
        rules: when a mention means a row.
    """

    def __init__(self, names: Iterable[Named], rules: Rules) -> None:
        self._rules = rules
        self._equal: dict[tuple[tuple[str, ...], str], list[tuple[str, bool, int]]] = {}
        for group, text, alias, place in names:
            if plain := spelled(text, rules.spelling):
                self._equal.setdefault((group, plain), []).append((written(text), alias, place))
        self._names = list(self._equal)
        self._groups: dict[tuple[str, ...], int] = {}
        numbers = [self._groups.setdefault(group, len(self._groups)) for group, _ in self._names]
        self._candidates = Candidates([name for _, name in self._names], np.array(numbers, np.int64))

    def link(self, mentions: Sequence[tuple[tuple[str, ...], str]]) -> list[Link]:
        """Return what mentions mean, each told by its group and its text."""
        plain = [(group, spelled(text, self._rules.spelling)) for group, text in mentions]
        links = [
            self._same(mention, written(text)) if mention in self._equal else NONE
            for mention, (_, text) in zip(plain, mentions, strict=True)
        ]
        left = [n for n, (group, name) in enumerate(plain) if name and group in self._groups and links[n] is NONE]
        for n, link in zip(left, self._near([plain[n] for n in left]), strict=True):
            links[n] = link
        return links

    def _same(self, mention: tuple[tuple[str, ...], str], text: str) -> Link:
        """Return the row that has the name: as it is written, if one has it so; by its name, if one has it so."""
        ranked = sorted((other != text, alias, place) for other, alias, place in self._equal[mention])
        differs, alias, place = ranked[0]
        rivals = len({p for d, a, p in ranked if (d, a) == (differs, alias)}) - 1
        return Link(place, 1.0, "alias" if alias else "exact", rivals > 0, rivals)

    def _near(self, mentions: Sequence[tuple[tuple[str, ...], str]]) -> list[Link]:
        rules, names = self._rules, self._names
        groups = np.array([self._groups[group] for group, _ in mentions], np.int64)
        pairs = self._candidates.of([name for _, name in mentions], groups, rules.candidates)
        rows, places = pairs.rows.tolist(), pairs.places.tolist()
        left, right = [mentions[row][1] for row in rows], [names[place][1] for place in places]
        scores = similarities(rules.measure, left, right)
        near: list[dict[int, float]] = [{} for _ in mentions]
        for n in np.nonzero(scores >= rules.review - rules.margin)[0].tolist():
            for _, _, place in self._equal[names[places[n]]]:
                near[rows[n]][place] = max(near[rows[n]].get(place, 0.0), float(scores[n]))
        return [self._best(found) for found in near]

    def _best(self, found: dict[int, float]) -> Link:
        rules = self._rules
        place, score = min(found.items(), key=lambda item: (-item[1], item[0]), default=(0, 0.0))
        if score < rules.review or not found:
            return NONE
        rivals = sum(round(score - other, DIGITS) <= rules.margin for other in found.values()) - 1
        return Link(place, score, "fuzzy", score < rules.threshold or rivals > 0, rivals)
