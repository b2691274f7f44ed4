"""What is known of a query, as data: a plan keeps it, so that a run need not load the parser to find it out again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple


class Mention(NamedTuple):
    """A name in the SQL, and how many characters stand before it."""

    name: str
    offset: int


class Doubt(NamedTuple):
    """Why the number of threads may change a result; `of_sums`: only if not all that is added up is exact."""

    reason: str
    of_sums: bool


class Analysis(NamedTuple):
    """What the text of one query tells.

    Attributes:
        sql: the text.
        start: characters before the query itself.
        end: characters before what follows it.
        canonical: the same for texts that differ in comments, white space and the case of keywords only.
        tables: tables read, each name once; names of CTEs and aliases are not among them.
        doubts: why the number of threads may change the result; see `single_thread`.
        sums: how many sums there are.
        exact_if: for each sum that may add exact numbers the lower-case names of the columns that then have to be exact.
        ordered: whether the query itself says in which order its rows come.
        ties_at: characters of `body` before the place where `break_ties` adds columns; None: nothing to add.
    """

    sql: str
    start: int
    end: int
    canonical: str
    tables: Sequence[Mention]
    doubts: Sequence[Doubt]
    sums: int
    exact_if: Sequence[Sequence[str]]
    ordered: bool
    ties_at: int | None

    @staticmethod
    def kept(values: Sequence[Any], sql: str) -> Analysis | None:
        """Return what a plan has kept of a query as JSON values; None if that is nothing, or of another text."""
        if not values or values[0] != sql:
            return None
        found = Analysis(*values)
        return found._replace(tables=[Mention(*m) for m in found.tables], doubts=[Doubt(*d) for d in found.doubts])

    @property
    def body(self) -> str:
        """The query without the semicolon and the comments around it."""
        return self.sql[self.start : self.end]

    def single_thread(self, exact: Collection[str] = frozenset()) -> tuple[str, ...]:
        """Return why the number of threads may change the result; empty when it cannot.

        Args:
            exact: lower-case names of input columns that hold integers or decimals: sums of these do not depend on threads.
        """
        settled = sum(1 for needed in self.exact_if if set(needed) <= set(exact)) >= self.sums
        return tuple(dict.fromkeys(d.reason for d in self.doubts if not (d.of_sums and settled)))

    def break_ties(self, columns: int) -> str:
        """Return an ordered query with its ties broken by all `columns` of its result, before any LIMIT."""
        if self.ties_at is None:
            return self.body
        ties = "".join(f", {n}" for n in range(1, columns + 1))
        return self.body[: self.ties_at] + ties + self.body[self.ties_at :]
