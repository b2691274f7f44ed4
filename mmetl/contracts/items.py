"""Frozen data about items: from which part of the input each part of an output was made, and what its items were."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from mmetl.contracts.artifact import Fingerprint, Part, encode

INDEX_FORMAT = 1


class Unit(NamedTuple):
    """What one part of the input came to.

    Attributes:
        input: fingerprint of the input's part.
        ledger: the part that says, item by item, what it was and how many rows it made (see items.ledger).
        parts: the parts of the output; none where no item made a row.
        failed: how many of its items failed and were set aside.
    """

    input: Fingerprint
    ledger: Part
    parts: tuple[Part, ...]
    failed: int = 0

    def to_list(self) -> list[Any]:
        """Return the unit as JSON values."""
        parts = [[p.fingerprint, p.rows, p.size_bytes] for p in self.parts]
        ledger = self.ledger
        return [ledger.bucket, self.input, ledger.fingerprint, ledger.rows, ledger.size_bytes, self.failed, parts]

    @classmethod
    def from_list(cls, listed: list[Any]) -> Unit:
        """Read what `to_list` returned."""
        bucket, input_, fingerprint, rows, size, failed, parts = listed
        made = tuple(Part(made_of, rows_of, size_of, bucket) for made_of, rows_of, size_of in parts)
        return cls(input_, Part(fingerprint, rows, size, bucket), made, failed)


class ItemIndex(NamedTuple):
    """The units of one output, in the order of its parts.

    Attributes:
        basis: fingerprint of all that decides what an item comes to, besides the item itself: recipe and further inputs.
        units: one for each part of the input.
    """

    basis: Fingerprint
    units: tuple[Unit, ...]

    @property
    def ledgers(self) -> tuple[Part, ...]:
        """The parts that the units keep beside the rows."""
        return tuple(u.ledger for u in self.units)

    def to_json(self) -> str:
        """Return the canonical text."""
        body = {
            "format": INDEX_FORMAT,
            "kind": "items",
            "basis": self.basis,
            "units": [u.to_list() for u in self.units],
        }
        return encode(body) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ItemIndex:
        """Read what `to_json` wrote. Raises ValueError for a format that this version does not know."""
        body = json.loads(text)
        if body.get("format") != INDEX_FORMAT:
            raise ValueError(f"item index format {body.get('format')} is not {INDEX_FORMAT}")
        return cls(body["basis"], tuple(Unit.from_list(u) for u in body["units"]))
