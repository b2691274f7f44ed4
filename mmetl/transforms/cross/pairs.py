"""Pairs of records of a block, and how alike they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mmetl.transforms.cross.blocks import MEMBERS
from mmetl.transforms.cross.names import DIGITS, similarities
from mmetl.transforms.cross.resolve_params import Comparison

if TYPE_CHECKING:
    from mmetl.transforms.cross.names import Scores


def similar_pairs(batch: pa.RecordBatch, compare: Mapping[str, Comparison], least: float) -> dict[str, Any]:
    """Return the pairs of each block that are similar enough.

    Args:
        batch: blocks, their records as JSON: a name, and the values that are compared.
        compare: how each of these is compared.
        least: the similarity from which on a pair counts.
    """
    members = [json.loads(text) for text in batch.column(MEMBERS).to_pylist()]
    records = [record for block in members for record in block]
    pairs = [np.triu_indices(len(block), 1) for block in members]
    starts = np.cumsum([0, *map(len, members)])[:-1]
    blocks = np.repeat(np.arange(len(members)), [len(left) for left, _ in pairs])
    left = np.concatenate([start + p[0] for start, p in zip(starts, pairs, strict=True)])
    right = np.concatenate([start + p[1] for start, p in zip(starts, pairs, strict=True)])
    total, weights = np.zeros(len(left)), np.zeros(len(left))
    for number, comparison in enumerate(compare.values(), 1):
        values = [record[number] for record in records]
        _add(comparison, values, left, right, total, weights)
    scores = np.round(np.divide(total, weights, out=np.zeros(len(left)), where=weights > 0), DIGITS)
    near = np.nonzero(scores >= least)[0]
    return {
        "_item": pa.array(blocks[near], pa.int64()),
        "_left": pa.array([records[n][0] for n in left[near].tolist()], pa.string()),
        "_right": pa.array([records[n][0] for n in right[near].tolist()], pa.string()),
        "_score": pa.array(scores[near]),
    }


def _add(comparison: Comparison, values: Sequence[Any], left: Any, right: Any, total: Scores, weights: Scores) -> None:
    """Add what a column says of each pair to the totals, and its weight where it says something."""
    there = np.array([v is not None for v in values], bool)
    both = there[left] & there[right]
    alike = np.zeros(len(left))
    alike[both] = _alike(comparison, values, left[both], right[both])
    counts = both
    if comparison.missing is not None:
        alike[~both] = comparison.missing
        counts = np.ones(len(left), bool)
    total += np.where(counts, comparison.weight * alike, 0.0)
    weights += np.where(counts, comparison.weight, 0.0)


def _alike(comparison: Comparison, values: Sequence[Any], left: Any, right: Any) -> Scores:
    if comparison.measure == "number":
        numbers = np.array([np.nan if v is None else v for v in values], np.float64)
        alike: Scores = np.maximum(1 - np.abs(numbers[left] - numbers[right]) / (comparison.scale or 1), 0.0)
        return alike
    pairs = [values[n] for n in left.tolist()], [values[n] for n in right.tolist()]
    if comparison.measure == "exact":
        return np.array([float(a == b) for a, b in zip(*pairs, strict=True)], np.float64)
    return similarities(comparison.measure, *pairs)
