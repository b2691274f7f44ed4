"""Blocks: which records are compared with each other at all, namely those that share a key that is quick to find."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from mmetl.cache.arrow_types import columns_of, normal_schema
from mmetl.cache.buckets import ITEM_BYTES, bucket_count, bucket_of
from mmetl.cache.tables import BUCKET, write_table
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.transform import Table
from mmetl.transforms.cross.names import Spelling, spelled
from mmetl.utils.hashing import xxh3_hex

By = Literal["exact", "prefix", "words", "sound"]
BLOCK, MEMBERS = "_block", "_members"
BATCH = 4096
SHORTEST_WORD = 2  # an initial says too little
_SOUNDS = {c: d for d, letters in enumerate(("bfpv", "cgjkqsxz", "dt", "l", "mn", "r"), 1) for c in letters}
_SOUNDEX_LENGTH = 4


class Blocks(NamedTuple):
    """Records by blocks.

    Attributes:
        members: name of a block -> the places of its records; at least two.
        large: names of blocks of which there are too many records, with their number.
    """

    members: dict[str, list[int]]
    large: dict[str, int]


def blocks_of(
    columns: Mapping[str, Sequence[Any]], rules: Sequence[Mapping[str, By]], prefix: int, largest: int
) -> Blocks:
    """Return which records share a block.

    Args:
        columns: the values of each column that a rule names.
        rules: of each one: column -> what of it must be equal.
        prefix: how many letters count for `prefix`.
        largest: records of a block; larger ones are told apart.
    """
    found: dict[str, list[int]] = {}
    for number, rule in enumerate(rules):
        keys = [[_keys(value, by, prefix) for value in columns[name]] for name, by in rule.items()]
        for place, row in enumerate(zip(*keys, strict=True)):
            for one in itertools.product(*row):
                found.setdefault("\x1f".join((str(number), *one)), []).append(place)
    members = {name: places for name, places in found.items() if 1 < len(places) <= largest}
    return Blocks(members, {name: len(places) for name, places in found.items() if len(places) > largest})


def soundex(word: str) -> str:
    """Return how a word sounds in English: its first letter and three digits; an empty text where it has no letters.

    Source: the rules of the National Archives of the United States.

    >>> soundex("robert"), soundex("rupert"), soundex("ashcraft"), soundex("tymczak")
    ('R163', 'R163', 'A261', 'T522')
    """
    letters = [c for c in word if "a" <= c <= "z"]
    if not letters:
        return ""
    digits, last = "", _SOUNDS.get(letters[0], 0)
    for letter in letters[1:]:
        if letter in "hw":
            continue
        digit = _SOUNDS.get(letter, 0)
        if digit and digit != last:
            digits += str(digit)
        last = digit
    return (letters[0].upper() + digits).ljust(_SOUNDEX_LENGTH, "0")[:_SOUNDEX_LENGTH]


def _keys(value: Any, by: By, prefix: int) -> Sequence[str]:
    """Return what of a value must be equal: any of these."""
    plain = spelled(str(value), Spelling()) if value is not None else ""
    if not plain:
        return ()
    if by == "exact":
        return (plain,)
    if by == "prefix":
        return (plain.replace(" ", "")[:prefix],)
    words = dict.fromkeys(w for w in plain.split() if len(w) >= SHORTEST_WORD)
    return [*words] if by == "words" else [*dict.fromkeys(filter(None, map(soundex, words)))]


class ScratchParts:
    """Keeps parts in a folder that is gone after the task. Follows `contracts.transform.Parts` as far as writing needs it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, itertools.count()

    def temp(self, suffix: str = "") -> Path:
        """Return a new path."""
        return self._folder / f"block-{next(self._count)}{suffix}"

    def adopt(self, temp: Path) -> tuple[str, int]:
        """Move a finished file to its place; return (fingerprint, bytes)."""
        data = temp.read_bytes()
        temp.rename(self.path(fingerprint := xxh3_hex(data)))
        return fingerprint, len(data)

    def has(self, fingerprint: str) -> bool:
        """Tell whether a part is there."""
        return self.path(fingerprint).exists()

    def path(self, fingerprint: str) -> Path:
        """Return where a part lies."""
        return self._folder / fingerprint

    def set_aside(self, path: str) -> str | None:
        """Nothing is in the way in a folder of our own."""
        raise NotImplementedError(path)


def block_table(blocks: Mapping[str, Sequence[int]], records: Sequence[str], folder: Path) -> Table:
    """Write a table with one row a block, which says all that decides what comparing its records comes to.

    Args:
        blocks: name -> places of its records.
        records: each as JSON.
        folder: where its files go.
    """
    buckets = bucket_count(len(blocks) * ITEM_BYTES)
    named = sorted((bucket_of((name,), buckets), name) for name in blocks)
    schema = normal_schema(pa.schema([(BLOCK, pa.string()), (MEMBERS, pa.string())]))

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(named), BATCH):
            some = named[start : start + BATCH]
            members = [f"[{','.join(sorted(records[p] for p in blocks[name]))}]" for _, name in some]
            buckets_of = pa.array([bucket for bucket, _ in some], pa.uint32())
            yield pa.record_batch([[name for _, name in some], members, buckets_of], names=[BLOCK, MEMBERS, BUCKET])

    folder.mkdir(parents=True, exist_ok=True)
    parts = ScratchParts(folder)
    made = write_table(batches(), schema, parts, bucketed=True)
    manifest = Manifest("table", made, (BLOCK,), columns_of(schema), buckets)
    return Table("blocks", manifest, tuple(parts.path(p.fingerprint) for p in made))


def number_of(value: Any) -> float | None:
    """Return a number, a date (in days) or a time (in days) as a number."""
    if isinstance(value, dt.datetime):
        plain = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
        return (plain - dt.datetime(1970, 1, 1)) / dt.timedelta(days=1)  # noqa: DTZ001  both are in UTC
    if isinstance(value, dt.date):
        return float(value.toordinal() - dt.date(1970, 1, 1).toordinal())
    number = None if value is None else float(value)
    return number if number is not None and np.isfinite(number) else None


def as_json(name: str, values: Sequence[Any]) -> str:
    """Return a record: its name, and the values that it is compared by."""
    return json.dumps([name, *values], ensure_ascii=False, separators=(",", ":"))
