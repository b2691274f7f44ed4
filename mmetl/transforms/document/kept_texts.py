"""Which of the texts that are kept a text is compared with: those that share a band with it; in a crowd, those most like it.

Forms and letters that share much of their words and are no duplicates fall into the same bands, all of them. So a group of more
than `CROWD` kept texts is held in the order of what follows the band in their signatures, and a text is compared with
its neighbours there: those that share the longest piece with it. (A prefix tree over MinHash, as in LSH Forest: Bawa, Condie and Ganesan, 2005.)
"""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np

Signatures = np.ndarray[Any, np.dtype[np.uint32]]
"""One a text: (texts, permutations)."""
Numbers = np.ndarray[Any, np.dtype[np.int64]]
Groups = np.ndarray[Any, np.dtype[np.int32]]
"""For each band of each text the group of texts that have it: (texts, bands)."""

NOTHING = -1
CROWD = 32  # of a band; a text is compared with so many of its group at most
_FURTHER = 16  # numbers of a signature behind a band by which a crowd is in order


class KeptTexts:
    """The texts that are kept so far.

    Args:
        signed: the signatures of all texts, in the order in which they are kept.
        groups: NOTHING where no other text has the band.
        rows: how many numbers of a signature a band has.
    """

    def __init__(self, signed: Signatures, groups: Groups, rows: int) -> None:
        self._signed, self._groups, self._rows = signed, groups, rows
        number = groups.max(initial=NOTHING) + 1
        self._sizes = np.zeros(number, np.int32)
        self._newest = np.full(number, NOTHING, np.int32)  # of each group, the last text that was kept
        self._before = np.full(
            groups.shape, NOTHING, np.int32
        )  # of a kept text and a band, the one kept before it in its group
        self._crowds: dict[int, list[tuple[bytes, int]]] = {}

    @property
    def sharing(self) -> list[int]:
        """The texts that share a band with any other."""
        found: list[int] = np.nonzero((self._groups != NOTHING).any(axis=1))[0].tolist()
        return found

    def like(self, place: int) -> Any:
        """Return the kept texts that a text is compared with, in order."""
        bands = np.nonzero(self._groups[place] != NOTHING)[0]
        own = self._groups[place, bands]
        crowded = self._sizes[own] > CROWD
        found = self._chain(self._newest[own[~crowded]], bands[~crowded])
        for band, group in zip(bands[crowded].tolist(), own[crowded].tolist(), strict=True):
            crowd = self._crowds[group]
            at = bisect.bisect_left(crowd, (self._key(place, band), place))
            near = crowd[max(at - CROWD // 2, 0) : at + CROWD // 2]
            found.append(np.array([other for _, other in near], np.int32))
        return np.unique(np.concatenate(found)) if found else own[:0]

    def add(self, place: int) -> None:
        """Keep a text."""
        bands = np.nonzero(self._groups[place] != NOTHING)[0]
        own = self._groups[place, bands]
        self._before[place, bands], self._newest[own] = self._newest[own], place
        self._sizes[own] += 1
        crowded = self._sizes[own] > CROWD
        for band, group in zip(bands[crowded].tolist(), own[crowded].tolist(), strict=True):
            if group in self._crowds:
                bisect.insort(self._crowds[group], (self._key(place, band), place))
            else:
                chain = np.concatenate(self._chain(self._newest[[group]], np.array([band])))
                self._crowds[group] = sorted((self._key(other, band), other) for other in chain.tolist())

    def _chain(self, last: Any, bands: Any) -> list[Any]:
        """Return the places of all kept texts in some groups, from the last one of each."""
        found = []
        while len(last):
            there = last != NOTHING
            last, bands = last[there], bands[there]
            found.append(last)
            last = self._before[last, bands]
        return found

    def _key(self, place: int, band: int) -> bytes:
        """Return what follows a band in a signature, behind whose end its beginning comes."""
        signature = self._signed[place]
        at = (band + 1) * self._rows
        further = np.concatenate([signature[at : at + _FURTHER], signature[: max(at + _FURTHER - len(signature), 0)]])
        return further.astype(">u4").tobytes()
