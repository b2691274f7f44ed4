"""Names that are known, found in texts: all of them in one pass, across line ends, as whole words."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mmetl.engines.packages import require
from mmetl.errors import TaskError


class Name(NamedTuple):
    """A name of a gazetteer, what kind of thing it names, and which."""

    name: str
    label: str
    entity: str


class Mention(NamedTuple):
    """A place in a text, in characters, at which something is named."""

    start: int
    end: int
    label: str
    entity: str


class Folded(NamedTuple):
    """A text in which every run of white space is one space, and where its characters stood.

    Attributes:
        text: without case, where that was asked for.
        places: offsets in `text` behind which the original is further on.
        shifts: by how much, for each of these places.
    """

    text: str
    places: list[int]
    shifts: list[int]

    def original(self, offset: int) -> int:
        """Return where a character stood."""
        at = bisect.bisect_right(self.places, offset)
        return offset + (self.shifts[at - 1] if at else 0)


_SPACE = re.compile(r"[^\S ]\s*| \s+")


def fold(text: str, *, ignore_case: bool) -> Folded:
    r"""Return a text as names are compared.

    >>> fold("Guido  van\n Rossum", ignore_case=True)
    Folded(text='guido van rossum', places=[6, 10], shifts=[1, 2])
    """
    pieces, places, shifts = [], [], []
    at = size = shift = 0
    for space in _SPACE.finditer(text):
        pieces += [text[at : space.start()], " "]
        size += space.start() - at + 1
        at = space.end()
        if len(space[0]) > 1:
            shift += len(space[0]) - 1
            places.append(size)
            shifts.append(shift)
    whole = "".join([*pieces, text[at:]])
    return Folded(_without_case(whole) if ignore_case else whole, places, shifts)


def _without_case(text: str) -> str:
    """Return a text in small letters, as long as it was: a letter whose small form is longer stays as it is."""
    small = text.lower()
    return small if len(small) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


class Gazetteer:
    """Finds names in texts (Aho and Corasick, 1975): the cost does not grow with their number.

    Args:
        names: what is looked for; of equal names the first one counts where only one may.
        ignore_case: whether case does not matter.
        whole_words: whether a name must not touch a letter, digit or `_` of another word.

    Raises:
        MissingError: if the package is not installed.
        TaskError: for a name that is blank.
    """

    def __init__(self, names: Iterable[Name], *, ignore_case: bool, whole_words: bool) -> None:
        require("documents", "ahocorasick")
        import ahocorasick

        self._ignore_case, self._whole_words = ignore_case, whole_words
        meanings: dict[str, list[tuple[str, str]]] = {}
        for name in names:
            folded = fold(name.name, ignore_case=ignore_case).text.strip()
            if not folded:
                raise TaskError(f"a name of '{name.label}' is blank", help="take it out of the gazetteer")
            found = meanings.setdefault(folded, [])
            if name[1:] not in found:
                found.append(name[1:])
        self._automaton = ahocorasick.Automaton()
        for folded, found in meanings.items():
            self._automaton.add_word(folded, (len(folded), found))
        if meanings:
            self._automaton.make_automaton()
        self.size = len(meanings)

    def find(self, text: str) -> Iterator[Mention]:
        """Yield all mentions, also those that overlap."""
        if not self.size:
            return
        folded = fold(text, ignore_case=self._ignore_case)
        for last, (length, meanings) in self._automaton.iter(folded.text):
            start, end = last + 1 - length, last + 1
            if self._whole_words and not _whole(folded.text, start, end):
                continue
            place = folded.original(start), folded.original(last) + 1
            for label, entity in meanings:
                yield Mention(*place, label, entity)


def _whole(text: str, start: int, end: int) -> bool:
    """Tell whether no word goes on beyond either end."""
    return not (_joined(text, start) or _joined(text, end))


def _joined(text: str, at: int) -> bool:
    return 0 < at < len(text) and _of_word(text[at - 1]) and _of_word(text[at])


def _of_word(sign: str) -> bool:
    return sign == "_" or sign.isalnum()
