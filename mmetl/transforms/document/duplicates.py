"""Texts that say the same, or nearly so: signatures of single texts, and which texts are duplicates of which by them.

Near duplicates are found by MinHash (Broder, 1997): the share of places at which two signatures agree estimates the Jaccard
index of two sets of shingles. Signatures are cut into bands; only texts that share a band are compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from mmetl.engines.packages import require
from mmetl.transforms.document.kept_texts import NOTHING, KeptTexts, Numbers, Signatures
from mmetl.utils.hashing import xxh3_hex

Unit = Literal["words", "characters"]
Floats = np.ndarray[Any, np.dtype[np.float32]]

SEED = 42  # another one gives other signatures, equally good
MISSED = 0.005  # of the pairs that are just similar enough, the share that may not share a band
_WORD = re.compile(r"\w+")
_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9)  # odd numbers that spread bits (SplitMix64)


class Duplicates(NamedTuple):
    """For each text: the place of the one of which it is a duplicate, or NOTHING; and how similar they are.

    Attributes:
        compared: how many pairs of signatures were looked at.
    """

    of: Numbers
    similarity: Floats
    compared: int = 0


def normalized(text: str) -> str:
    """Return what makes two texts equal: their words, whatever the case, white space and punctuation.

    >>> normalized("Hello,  World!"), normalized("--- "), normalized(" ")
    ('hello world', '---', '')
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_WORD.findall(plain)) or "".join(plain.split())


def exact_names(texts: Sequence[str]) -> list[str | None]:
    """Return a hash of each normalized text; None for a blank one, which is a duplicate of nothing."""
    return [xxh3_hex(text.encode()) if text else None for text in texts]


def shingles(text: str, size: int, unit: Unit) -> list[str]:
    """Return the runs of so many words or characters; of a shorter text it is the text.

    >>> shingles("a b c d", 3, "words"), shingles("abcd", 3, "characters")
    (['a b c', 'b c d'], ['abc', 'bcd'])
    """
    if unit == "characters":
        return [text[i : i + size] for i in range(max(len(text) - size + 1, 1))]
    words = text.split()
    return [" ".join(words[i : i + size]) for i in range(max(len(words) - size + 1, 1))]


def signatures(texts: Sequence[str], size: int, unit: Unit, permutations: int) -> Signatures:
    """Return the MinHash signatures of normalized texts. Raises MissingError if the package is not installed."""
    require("documents", "rensa")
    import rensa

    found = rensa.RMinHash.digests_from_token_sets([shingles(t, size, unit) for t in texts], permutations, SEED)
    return np.array(found, np.uint32).reshape(len(texts), permutations)


def find_duplicates(exact: Sequence[str | None], signed: Signatures | None, threshold: float) -> Duplicates:
    """Return of which text before it each one is a duplicate; texts come in the order in which they are kept.

    A text is kept unless it equals one that is kept, or is similar enough to one; then it is a duplicate of the most similar
    of these, of equally similar ones the first. So no two texts that are kept and compared are similar, and every other one is
    similar to the one that is kept for it: duplicates do not chain. Which are compared, `kept_texts` says.

    Args:
        exact: hashes of the normalized texts; None for a blank one.
        signed: their signatures; None to find equal ones only.
        threshold: the similarity from which on texts are duplicates.
    """
    of, similarity, compared = np.full(len(exact), NOTHING, np.int64), np.zeros(len(exact), np.float32), 0
    first: dict[str, int] = {}
    for place, name in enumerate(exact):
        if name is not None and (before := first.setdefault(name, place)) != place:
            of[place], similarity[place] = before, 1
    if signed is not None:
        single = np.fromiter(first.values(), np.int64, len(first))
        near = _near(signed[single], threshold)
        compared = near.compared
        there = near.of != NOTHING
        of[single[there]], similarity[single[there]] = single[near.of[there]], near.similarity[there]
        moved = (of != NOTHING) & (of[of] != NOTHING)  # equal to one that is near another
        similarity[moved] = similarity[of[moved]]
        of[moved] = of[of[moved]]
    return Duplicates(of, similarity, compared)


def _near(signed: Signatures, threshold: float) -> Duplicates:
    count = len(signed)
    of, similarity = np.full(count, NOTHING, np.int64), np.zeros(count, np.float32)
    kept = KeptTexts(signed, _groups(_bands(signed, threshold)), rows_of_a_band(signed.shape[1], threshold))
    compared = 0
    for place in kept.sharing:
        others = kept.like(place)
        if len(others):
            compared += len(others)
            alike = (signed[others] == signed[place]).mean(axis=1)
            best = int(alike.argmax())
            if alike[best] >= threshold:
                of[place], similarity[place] = others[best], alike[best]
                continue
        kept.add(place)
    return Duplicates(of, similarity, compared)


def rows_of_a_band(permutations: int, threshold: float) -> int:
    """Return how many values a band has: as many as find all but a few of the pairs that are just similar enough.

    >>> rows_of_a_band(128, 0.7), rows_of_a_band(128, 0.9)
    (4, 9)
    """
    fits = [r for r in range(1, permutations + 1) if (1 - threshold**r) ** (permutations // r) <= MISSED]
    return max(fits, default=1)


def _bands(signed: Signatures, threshold: float) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return one number for each band of each signature; equal bands have equal numbers."""
    count, permutations = signed.shape
    rows = rows_of_a_band(permutations, threshold)
    cut = signed[:, : permutations // rows * rows].reshape(count, permutations // rows, rows).astype(np.uint64)
    mixed = np.zeros(cut.shape[:2], np.uint64)
    for row in range(rows):
        mixed = (mixed ^ cut[:, :, row]) * np.uint64(_MIX[0])
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(_MIX[1])
    return mixed


def _groups(bands: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Return for each band of each text the number of the group of texts that have it; NOTHING where no other one has."""
    groups = np.full(bands.shape, NOTHING, np.int32)
    number = 0
    for band in range(bands.shape[1] if len(bands) else 0):
        order = np.argsort(bands[:, band], kind="stable")
        equal = bands[order[1:], band] == bands[order[:-1], band]  # to the one before it
        shared = np.concatenate([[False], equal]) | np.concatenate([equal, [False]])
        begins = shared & ~np.concatenate([[False], equal])
        groups[order[shared], band] = number + np.cumsum(begins)[shared] - 1
        number += int(begins.sum())
    return groups
