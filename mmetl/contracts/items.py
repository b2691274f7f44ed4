"""Items: what a transform declares of them, of which part of the input its output was made, and what is known of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from mmetl.contracts.artifact import Fingerprint, Part, encode

INDEX_FORMAT = 1

Names = Sequence[str] | Callable[[Any], Sequence[str]]
Types = Mapping[str, Any] | Callable[[Any], Mapping[str, Any]]


class BusyError(Exception):
    """What a transform raises when a service may answer later: the batch is tried again.

    Args:
        said: what the service said.
        after_s: for how many seconds it wants to be left alone, at least.
    """

    def __init__(self, said: str, after_s: float = 0.0) -> None:
        super().__init__(said)
        self.after_s = after_s


TOKEN_BYTES = 4
"""Bytes of UTF-8 that a token has on the average of English text: what `dry-run` estimates with, and a run where the service tells nothing."""

TOKENS_BESIDE = 8
"""Tokens that a service may add to each text. It has no more than these and one for each byte: so much is reserved."""


@dataclass(frozen=True)
class Paid:
    """What items cost at a service that is paid by tokens.

    Attributes:
        sent: a function from the params and a batch to the bytes of UTF-8 that are sent for each item, as numbers.
        price: a function from the params to the price of a million tokens; None where it is not known.
        used: a function from the params to whether the service is used with them.
    """

    sent: Callable[[Any, Any], Sequence[int]]
    price: Callable[[Any], float | None]
    used: Callable[[Any], bool] = lambda _params: True


@dataclass(frozen=True)
class Items:
    """What an item-wise transform declares. Its function is called with batches of new items, and with no others.

    Attributes:
        reads: columns that decide what an item comes to; or a function from the params to them.
        makes: column -> its type, as a pyarrow type or its text (`float`, `list<element: float not null>`); or a function
            from the params to that.
        sees: further columns that the function is given, which decide nothing, such as the path of a file.
        many: whether an item makes any number of rows instead of one. The function then returns a column `_item`, the
            position in the batch of the item that the row belongs to; the rows of an item keep their order.
        key: of those rows: which of the made columns name a row of one item. They join the input's key.
        model: a function from the params to what identifies the model (a fingerprint of its weights, a name and revision).
        retry_on: errors of a service that is busy, besides `BusyError`: the batch is tried again, later and later.
        retries: how often.
        retry_delay_s: seconds before the first of them; doubled each time, up to half a minute.
        batch_rows: items of a call, at most; or a function from the params to that.
        batch_bytes: bytes of a call's input, about; one item may be larger.
        weight: a column of bytes that count too: the size of a file that an item only names.
        parallel: whether the function may be called in other processes, several at a time: it keeps nothing between calls that matters,
            and its time goes into computing. Its modules are imported there anew.
        paid: what it sends to a service that is paid by tokens; None: it sends nothing.
    """

    reads: Names
    makes: Types
    sees: Names = ()
    many: bool = False
    key: Sequence[str] = ()
    model: Callable[[Any], str] | None = None
    retry_on: tuple[type[Exception], ...] = ()
    retries: int = 5
    retry_delay_s: float = 0.5
    batch_rows: int | Callable[[Any], int] = 1024
    batch_bytes: int = 16 << 20
    weight: str = ""
    parallel: bool = False
    paid: Paid | None = None


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


class Basis(NamedTuple):
    """What two outputs must have in common for one to be made of the other.

    Attributes:
        items: fingerprint of all that decides what an item comes to, besides the item itself: recipe and further inputs.
        columns: fingerprint of which columns stand beside the made ones; a part is kept as it is only if it is the same too.
    """

    items: Fingerprint
    columns: Fingerprint


class ItemIndex(NamedTuple):
    """The units of one output, in the order of its parts.

    Attributes:
        basis: what it was made on.
        units: one for each part of the input.
    """

    basis: Basis
    units: tuple[Unit, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that the units need: their ledgers, and rows that a check may have kept from the artifact."""
        return tuple(p for u in self.units for p in (u.ledger, *u.parts))

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
        return cls(Basis(*body["basis"]), tuple(Unit.from_list(u) for u in body["units"]))


class Earlier(Protocol):
    """What earlier runs computed for the items of a task.

    Attributes:
        forced: whether everything is to be computed again (`--force`): what is known only counts as what was before.
        retried: whether items that failed are to be computed again (`mmetl retry`).
    """

    forced: bool
    retried: bool

    @property
    def recipe(self) -> Fingerprint:
        """Fingerprint of all in the task's recipe that decides what an item comes to."""
        ...

    def last(self) -> ItemIndex | None:
        """Return the items of the task's last output."""
        ...

    def like(self, basis: Basis) -> ItemIndex | None:
        """Return the items of the newest output, of whatever task, whose items were made on this basis."""
        ...

    def noted(self, basis: Basis) -> Sequence[tuple[Basis, Unit]]:
        """Return what runs whose items were made on this basis had finished before they were cut short."""
        ...

    def note(self, basis: Basis, units: Sequence[Unit]) -> None:
        """Make finished units durable, so that a run that is cut short from now on does not lose them."""
        ...
