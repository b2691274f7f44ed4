"""`vector.normalize`, `vector.knn` and `vector.deduplicate`: compared with plain Python over all pairs; costs at 10,000 rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmetl.transforms.vector.distances import estimated, grouped, measured, widened
from mmetl.transforms.vector.leaders import leaders
from mmetl.transforms.vector.nearest import Nearest

READ = "  {name}: {{transform: tabular.read, params: {{path: {file}.parquet}}, key: [id]}}\n"
SIZED = "  {name}: {{transform: tabular.sql, key: [id], params: {{sql: 'select * replace (vector::float[{size}] as vector) from {name}_lists'}}}}\n"


def save(project, name, vectors, ids=None, kind=None, **columns):
    """Write a table of vectors; None: no vector."""
    size = next(len(v) for v in vectors if v is not None)
    kind = kind or pa.list_(pa.float32(), size)
    made = pa.array([v if v is None else [None if x is None else float(x) for x in v] for v in vectors], kind)
    ids = list(range(len(vectors))) if ids is None else ids
    pq.write_table(pa.table({"id": ids, "vector": made, **columns}), project.root / f"{name}.parquet")


def pipeline(project, transform, params="", inputs="[a]", tables=("a",), task="t"):
    read = "".join(reading(project, name) for name in tables)
    project.tasks(f"{read}  {task}: {{transform: {transform}, inputs: {inputs}, params: {{{params}}}}}\n")


def reading(project, name):
    """Return the tasks that read a table. In a Parquet file vectors are lists of any length."""
    kind = pq.read_schema(project.root / f"{name}.parquet").field("vector").type
    if not pa.types.is_fixed_size_list(kind):
        return READ.format(name=name, file=name)
    return READ.format(name=f"{name}_lists", file=name) + SIZED.format(name=name, size=kind.list_size)


def run(project, *argv):
    return {t["task"]: t for t in project.fast("run", "--json", *argv).json()["tasks"]}["t"]


def rows(project, task="t"):
    shown = project.fast("show", task, "--json", "--limit", "0").out
    return sorted(
        map(json.loads, shown.splitlines()),
        key=lambda r: [str(v).zfill(9) for v in r.values() if not isinstance(v, list)],
    )


def normal(count, size, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


# --- normalize


def test_vectors_get_the_length_one(empty):
    save(empty, "a", [[3, 4], [0, 0], None, [1, None], [3e30, 4e30], [float("nan"), 1]])
    pipeline(empty, "vector.normalize", "on_error: quarantine, max_fraction: 1")
    assert run(empty)["items"] == {"added": 6, "computed": 6, "failed": 4}
    assert [(r["id"], np.round(r["vector"], 6).tolist()) for r in rows(empty)] == [(0, [0.6, 0.8]), (4, [0.6, 0.8])]
    shown = map(json.loads, empty.fast("quarantine", "show", "t", "--json").out.splitlines())
    assert {r["id"]: r["_error"] for r in shown} == {
        1: "its vector is zero",
        2: "it has no vector",
        3: "its vector is not finite",
        5: "its vector is not finite",
    }
    empty.edit("pipeline.yaml", "on_error: quarantine, max_fraction: 1", "into: unit")
    assert run(empty)["error"].startswith("an item failed (id 1, and 3 more): its vector is zero")


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.list_(pa.float32(), 2), pa.list_(pa.int64())])
def test_lists_become_vectors_of_one_type(empty, kind):
    save(empty, "a", [[3, 4], [6, 8]], kind=kind)
    pipeline(empty, "vector.normalize", "dimensions: 2, into: unit")
    assert run(empty)["items"]["computed"] == 2
    assert [np.round(r["unit"], 6).tolist() for r in rows(empty)] == [[0.6, 0.8]] * 2
    assert [r["vector"] for r in rows(empty)] == [[3, 4], [6, 8]]


@pytest.mark.parametrize(
    ("kind", "params", "error"),
    [
        (pa.list_(pa.float32()), "", "the vectors in 'vector' of 'a' are lists of any length; set `dimensions`"),
        (pa.list_(pa.float32(), 2), "dimensions: 3", "the vectors of 'a' have 2 dimensions, not 3"),
        (pa.list_(pa.float32()), "dimensions: 3", "no vector has 3 dimensions: "),
        (pa.list_(pa.float32()), "vector: id", "the column 'id' of 'a' is no column of vectors"),
        (pa.list_(pa.float32()), "vector: v", "'a' has no column 'v'"),
    ],
)
def test_columns_that_cannot_be_normalized(empty, kind, params, error):
    save(empty, "a", [[3, 4], [6, 8]], kind=kind)
    pipeline(empty, "vector.normalize", params)
    assert run(empty)["error"].startswith(error)


def test_one_of_ten_thousand_vectors_is_normalized_again(empty):
    vectors = normal(10_000, 4)
    save(empty, "a", vectors)
    pipeline(empty, "vector.normalize")
    assert run(empty)["items"] == {"added": 10_000, "computed": 10_000}
    vectors[77] = 1
    save(empty, "a", vectors)
    assert run(empty)["items"] == {"changed": 1, "unchanged": 9_999, "computed": 1}


# --- knn


def plain_distance(a, b, cosine):
    a, b = a.astype(np.float64), b.astype(np.float64)
    if cosine:
        a, b = a / np.sqrt((a * a).sum()), b / np.sqrt((b * b).sum())
    square = float(((a - b) * (a - b)).sum())
    return square / 2 if cosine else square**0.5


def plain_nearest(left, right, k, cosine, most, own):
    found = []
    for i, a in enumerate(left):
        pairs = sorted((plain_distance(a, b, cosine), j) for j, b in enumerate(right) if not (own and i == j))
        found += [(i, j, n + 1) for n, (d, j) in enumerate(p for p in pairs[:k]) if d <= most]
    return found


NUMBERS = st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0, 0.1, 3.0000002])
VECTORS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS).filter(any), min_size=1, max_size=25)


@settings(max_examples=150, deadline=None)
@given(VECTORS, VECTORS, st.integers(1, 6), st.booleans(), st.sampled_from([0.0, 0.01, 1.0, 9.0]), st.booleans())
def test_the_nearest_are_those_of_all_pairs(left, right, k, cosine, most, own):
    """Ties, equal vectors and multiples of one among them."""
    right = left if own else right
    a, b = np.array(left, np.float32), np.array(right, np.float32)
    near = Nearest(b, k, cosine=cosine, max_distance=most).of(a, np.arange(len(a)) if own else None)
    expected = plain_nearest(a, b, k, cosine, most, own)
    assert list(zip(near.rows.tolist(), near.places.tolist(), near.ranks.tolist(), strict=True)) == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 2000), st.integers(2, 300))
def test_the_distance_of_a_pair_does_not_depend_on_what_is_around_it(seed, rows_of, start, size):
    vectors = normal(start + rows_of, size, seed)
    wide = widened(vectors, unit=True)
    alone = widened(vectors[start:], unit=True)
    assert (alone == wide[start:]).all()
    at = np.arange(rows_of)
    assert (measured(wide, alone, at + start, at[::-1]) == measured(alone[:], wide[start:], at, at[::-1])).all()
    about, error = estimated(alone, wide)
    exact = measured(alone, wide, np.repeat(at, len(wide)), np.tile(np.arange(len(wide)), rows_of))
    assert (np.abs(about - exact.reshape(about.shape)) <= error).all()


def test_nearest_of_another_table(empty):
    save(empty, "a", [[1, 0], [0, 1], [1, 1]], ids=[10, 11, 12])
    save(empty, "b", [[1, 0], [2, 0], [0, 1], [-1, 0]], ids=[3, 1, 2, 4])
    pipeline(empty, "vector.knn", "k: 2", "[a, b]", ("a", "b"))
    assert run(empty)["items"] == {"added": 3, "computed": 3}
    found = [(r["id"], r["rank"], r["near_id"], round(r["distance"], 6)) for r in rows(empty)]
    assert sorted(found) == [
        (10, 1, 1, 0), (10, 2, 3, 0),
        (11, 1, 2, 0), (11, 2, 1, 1),
        (12, 1, 1, 0.292893), (12, 2, 2, 0.292893),
    ]  # fmt: skip
    empty.edit("pipeline.yaml", "k: 2", "k: 2, metric: euclidean, max_distance: 1")
    run(empty)
    assert [(r["id"], r["near_id"], r["distance"]) for r in rows(empty) if r["id"] == 10] == [
        (10, 1, 1.0),
        (10, 3, 0.0),
    ]


def test_nearest_within_a_table(empty):
    save(empty, "a", [[1, 0], [1, 0], [0, 1]])
    pipeline(empty, "vector.knn", "k: 1")
    run(empty)
    assert [(r["id"], r["near_id"], r["distance"]) for r in rows(empty)] == [(0, 1, 0.0), (1, 0, 0.0), (2, 0, 1.0)]


def test_what_a_change_of_either_table_costs(empty):
    """10,000 vectors in each: a changed row of the first is compared again; a change of the second changes all."""
    left, right = normal(10_000, 8, 1), normal(10_000, 8, 2)
    save(empty, "a", left)
    save(empty, "b", right)
    pipeline(empty, "vector.knn", "k: 3", "[a, b]", ("a", "b"))
    assert run(empty)["items"] == {"added": 10_000, "computed": 10_000}
    left[5] = 1
    save(empty, "a", left)
    assert run(empty)["items"] == {"changed": 1, "unchanged": 9_999, "computed": 1}
    right[5] = 1
    save(empty, "b", right)
    assert run(empty)["items"] == {"changed": 10_000, "computed": 10_000}
    lines = empty.fast("show", "t", "--json", "--limit", "0").out.splitlines()
    assert len(lines) == 30_000
    (first,) = (r["near_id"] for r in map(json.loads, lines) if r["id"] == 5 and r["rank"] == 1)
    assert first == 5


def test_the_same_bytes_on_any_number_of_threads(empty):
    """Of the library that multiplies matrices, too: its number of threads is set before it is loaded."""
    save(empty, "a", normal(3000, 96))
    pipeline(empty, "vector.knn", "k: 4")
    manifests = set()
    for threads in ("1", "2"):
        env = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-m", "mmetl", "run", "--force", "--json"]
        done = subprocess.run(command, cwd=empty.root, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = empty.fast("show", "t", "--json", "--limit", "0").out
        manifests.add(found)
    assert len(manifests) == 1


@pytest.mark.parametrize(
    ("params", "inputs", "error"),
    [
        ("vector: id", "[a]", "the column 'id' of 'a' is no column of vectors"),
        ("", "[a, c]", "the vectors of 'a' have 2 dimensions, those of 'c' 3"),
        ("other_vector: v", "[a, b]", "'b' has no column 'v'"),
        ("", "[k]", "'k' has no key"),
        ("", "[a, z]", "1 rows of 'z' cannot be compared; of the first, its vector is zero; mend them"),
        ("", "[z]", "1 rows of 'z' cannot be compared"),
    ],
)
def test_tables_that_cannot_be_compared(empty, params, inputs, error):
    for name in ("a", "b"):
        save(empty, name, [[1, 0], [0, 1]])
    save(empty, "c", [[1, 0, 0]])
    save(empty, "z", [[1, 0], [0, 0]])
    save(empty, "k", [[1, 0]])
    pipeline(empty, "vector.knn", params, inputs, ("a", "b", "c", "k", "z"))
    empty.edit("pipeline.yaml", "k: {transform: tabular.sql, key: [id], ", "k: {transform: tabular.sql, ")
    assert run(empty)["error"].startswith(error)


def test_rows_without_a_vector_are_set_aside_and_are_nobodys_neighbour(empty):
    save(empty, "a", [[1, 0], [0, 0], [0, 1], None])
    pipeline(empty, "vector.knn", "on_error: quarantine")
    assert run(empty)["items"]["failed"] == 2
    assert [(r["id"], r["near_id"]) for r in rows(empty)] == [(0, 2), (2, 0)]
    empty.edit("pipeline.yaml", "on_error: quarantine", "on_error: quarantine, metric: euclidean")
    assert run(empty)["items"]["failed"] == 1
    assert {r["id"] for r in rows(empty)} == {0, 1, 2}


# --- deduplicate


def plain_leaders(vectors, most):
    stays, of = [], []
    for i, v in enumerate(vectors):
        near = [j for j in stays if plain_distance(v, vectors[j], cosine=True) <= most]
        of.append(near[0] if near else i)
        if not near:
            stays.append(i)
    return of


@settings(max_examples=150, deadline=None)
@given(VECTORS, st.sampled_from([0.0, 0.001, 0.05, 0.3, 1.0]))
def test_leaders_are_those_of_all_pairs(vectors, most):
    array = np.array(vectors, np.float32)
    assert leaders(array, most).of.tolist() == plain_leaders(array, most)


def test_leaders_across_blocks():
    """More rows than are compared at a time; each of 50 directions comes again and again, slightly turned."""
    base, random = normal(50, 16), np.random.default_rng(1)
    array = base[random.integers(0, 50, 5000)] + random.normal(scale=0.001, size=(5000, 16)).astype(np.float32)
    found = leaders(array, 0.01)
    assert len(set(found.of.tolist())) == 50
    assert (found.of <= np.arange(5000)).all()
    assert (found.distances <= 0.01).all()
    assert found.of.tolist() == plain_leaders_fast(array, 0.01)


def plain_leaders_fast(array, most):
    wide = widened(array, unit=True)
    stays, of = [], []
    for i, v in enumerate(wide):
        near = np.nonzero(((wide[stays] - v) ** 2).sum(axis=1) / 2 <= most)[0] if stays else []
        of.append(stays[near[0]] if len(near) else i)
        if not len(near):
            stays.append(i)
    return of


def test_groups_keep_the_order_of_their_first():
    found = grouped(np.array([[2, 1], [1, 1], [2, 1], [0, 1]], np.float32))
    assert (found.first.tolist(), found.of.tolist()) == ([0, 1, 3], [0, 1, 0, 2])
    assert grouped(np.zeros((0, 3), np.float32)).first.tolist() == []


def test_the_smallest_key_is_kept(empty):
    save(empty, "a", [[1, 0.01], [1, 0], [0, 1], [0, 2]], ids=[7, 3, 20, 9], n=pa.array([1, 2, 3, 4]))
    pipeline(empty, "vector.deduplicate")
    assert run(empty)["items"] == {"computed": 4, "duplicates": 2}
    assert [(r["id"], r["n"]) for r in rows(empty)] == [(3, 2), (9, 4)]
    empty.edit("pipeline.yaml", "params: {}", "params: {keep: all, drop: [n]}")
    run(empty)
    found = [(r["id"], r["duplicate_of"], r["similarity"] and round(r["similarity"], 4)) for r in rows(empty)]
    assert found == [(3, None, None), (7, 3, 0.9999), (9, None, None), (20, 9, 1.0)]
    empty.edit("pipeline.yaml", "params: {keep: all, drop: [n]}", "params: {threshold: 0.99999}")
    run(empty)
    assert [r["id"] for r in rows(empty)] == [3, 7, 9]


def test_which_row_is_kept_does_not_depend_on_history(empty, tmp_path_factory):
    vectors = np.repeat(normal(40, 6), 3, axis=0) + normal(120, 6, 5) * 1e-3
    save(empty, "a", vectors[20:], ids=list(range(20, 120)))
    pipeline(empty, "vector.deduplicate")
    run(empty)
    save(empty, "a", vectors)  # smaller keys come later
    run(empty)
    kept = rows(empty)
    assert [r["id"] for r in kept] == list(range(0, 120, 3))
    again = type(empty)(tmp_path_factory.mktemp("scratch"))
    save(again, "a", vectors)
    pipeline(again, "vector.deduplicate")
    run(again)
    assert rows(again) == kept


def test_ten_thousand_vectors_are_compared_and_parts_without_duplicates_kept(empty):
    vectors = normal(10_000, 16)
    vectors[9_000] = vectors[10] * 2
    save(empty, "a", vectors)
    pipeline(empty, "vector.deduplicate", "threshold: 0.9999")
    assert run(empty)["items"] == {"computed": 10_000, "duplicates": 1}
    ids = {r["id"] for r in rows(empty)}
    assert ids == set(range(10_000)) - {9_000}
    from mmetl.core.looking.find import find_task
    from mmetl.core.project import Project as Opened

    opened = Opened.open(empty.root)
    parts = {n: {p.fingerprint for p in opened.artifact(*find_task(opened, n))[0].parts} for n in ("a", "t")}
    assert len(parts["a"] - parts["t"]) == 1, "only the part that the duplicate was in is written again"


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ("z", "2 rows of 'z' cannot be compared; of the first, 1, its vector is zero; set them aside before: "),
        ("k", "'k' has no key"),
    ],
)
def test_tables_that_cannot_be_deduplicated(empty, table, error):
    save(empty, "z", [[1, 0], [0, 0], None])
    save(empty, "k", [[1, 0]])
    pipeline(empty, "vector.deduplicate", "", f"[{table}]", ("z", "k"))
    empty.edit("pipeline.yaml", "k: {transform: tabular.sql, key: [id], ", "k: {transform: tabular.sql, ")
    assert run(empty)["error"].startswith(error)
