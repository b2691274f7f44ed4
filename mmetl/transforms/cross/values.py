"""What a similarity join compares: the vectors or texts of a column, and what finds those that are alike."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmetl.errors import TaskError
from mmetl.transforms.cross.join_params import JoinParams
from mmetl.transforms.cross.matching import EditSearch, Search, SetSearch, VectorSearch
from mmetl.transforms.cross.names import Spelling, spelled
from mmetl.transforms.vector.distances import Places
from mmetl.transforms.vector.numbers import column_vectors, judged

RUN = 3
"""Letters of a token of `tokens: characters`."""


class Values(NamedTuple):
    """The values of some rows.

    Attributes:
        places: of the rows that have one; null and blank texts are none.
        values: theirs, in this order: vectors, sets of tokens, or texts in one spelling.
    """

    places: Places
    values: Any


def values_of(column: pa.ChunkedArray, params: JoinParams, size: int, task: str) -> Values:
    """Return the values of a column.

    Args:
        column: of some rows.
        params: of the task.
        size: dimensions of the vectors; 0 for texts.
        task: which made the rows, for messages.

    Raises:
        TaskError: for vectors that cannot be compared.
    """
    if size:
        places = np.nonzero(np.asarray(pc.is_valid(column)))[0]
        vectors, errors = column_vectors(column.take(pa.array(places)), size)
        bad = [e for e in judged(vectors, errors, zero_is_bad=params.measure == "cosine") if e]
        if bad:
            raise TaskError(
                f"{len(bad):,} rows of '{task}' cannot be compared; of the first, {bad[0]}",
                help="mend them, or leave them out before",
            )
        return Values(places, vectors)
    spelling = Spelling(**{name: getattr(params, name) for name in Spelling.model_fields})
    texts = ["" if text is None else spelled(text, spelling) for text in column.to_pylist()]
    places = np.array([n for n, text in enumerate(texts) if text], np.intp)
    there = [text for text in texts if text]
    return Values(places, there if params.measure == "edit" else [_tokens(t, params.tokens) for t in there])


def searching(params: JoinParams, values: Sequence[Any]) -> Search:
    """Return what finds those that are like others.

    Args:
        params: of the task.
        values: that are searched, in pieces as `values_of` gives them.
    """
    if params.measure == "edit":
        return EditSearch([*itertools.chain(*values)], params.threshold)
    if params.measure == "jaccard":
        return SetSearch([*itertools.chain(*values)], params.threshold)
    return VectorSearch(np.concatenate(values), params.measure, params.threshold)


def _tokens(text: str, tokens: str) -> frozenset[str]:
    if tokens == "words":
        return frozenset(text.split())
    return frozenset(text[start : start + RUN] for start in range(max(len(text) - RUN + 1, 1)))
