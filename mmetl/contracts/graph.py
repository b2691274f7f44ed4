"""A property graph as one table: a row for each node and each edge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol

from mmetl.contracts.artifact import Column
from mmetl.contracts.target import Target

KIND = "_kind"
"""`node` or `edge`."""

LABEL = "_label"
"""The label of a node, or the type of an edge."""

NAME = "_key"
"""The text that names a node under its label. Of an edge: a JSON list of its two ends, and of what tells parallel ones apart."""

SOURCE_LABEL, SOURCE = "_source_label", "_source"
TARGET_LABEL, TARGET = "_target_label", "_target"
"""Label and name of the two ends of an edge; null for a node."""

KEY = (KIND, LABEL, NAME)
OWN = (*KEY, SOURCE_LABEL, SOURCE, TARGET_LABEL, TARGET)
"""The columns of every graph; all others are properties, null where a node or an edge does not have them."""

WORD = r"^[A-Za-z][A-Za-z0-9_]{0,62}$"
"""What labels, types and properties are called: every engine takes such a word as it is."""

Kind = Literal["node", "edge"]


def is_word(name: str) -> bool:
    """Tell whether a label, a type or a property may be called so."""
    return re.fullmatch(WORD, name) is not None


def is_graph(key: Iterable[str], columns: Iterable[Column]) -> bool:
    """Tell whether a table is a graph, by its key and its columns."""
    return tuple(key) == KEY and {c.name for c in columns}.issuperset(OWN)


def properties_of(columns: Iterable[Column]) -> list[Column]:
    """Return the columns of a graph that are properties."""
    return [c for c in columns if c.name not in OWN]


class Answer(Protocol):
    """The rows that a query of a graph database gave. Can be read once, while the database is open."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns."""
        ...

    @property
    def entities(self) -> Sequence[str]:
        """Those of them that hold nodes, edges or paths, and no values; of some engines when the rows were read."""
        ...

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows. A node is `{_label, _key, properties}`, an edge too, a path `{nodes, edges}`."""
        ...

    def table(self) -> Any:
        """Return the rows as a pyarrow Table; nodes, edges and paths are plain data in it."""
        ...

    def stream(self, scratch: Path) -> AbstractContextManager[Any]:
        """Give the rows as a pyarrow RecordBatchReader, which holds few of them at a time; the others may lie in `scratch`."""
        ...

    def warnings(self) -> Sequence[str]:
        """Return what the database says of the query, when its rows were read: names that are nowhere in it."""
        ...


class GraphStore(Target, Protocol):
    """A target that is a graph database, and can be asked."""

    engine: str

    def ask(
        self, query: str, parameters: Mapping[str, Any], *, scratch: Path | None = None
    ) -> AbstractContextManager[Answer]:
        """Run a query.

        Args:
            query: one that was looked at (see engines.cypher_text).
            parameters: values of its `$names`, bound by the engine.
            scratch: where a query may write that changes the graph; None: it only reads.

        Raises:
            QueryError: if the engine refuses it, with the place in it.
            TaskError: if the database is not there, or cannot be opened.
        """
        ...
