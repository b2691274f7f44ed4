"""`vector.embed`: what is embedded, by what, and which vectors never get through."""

from __future__ import annotations

import json

import numpy as np
import pytest

PIPELINE = """\
version: 1
name: p
tasks:
  texts: {{transform: tabular.read, params: {{path: texts.csv, types: {{text: varchar}}}}, key: [id]}}
  vectors: {{transform: vector.embed, inputs: [texts], params: {{{params}}}}}
"""

OWN = """\
import numpy as np

SCALE = 1.0


def lengths(texts):
    with open("embedded.txt", "a") as f:
        f.writelines(t + "\\n" for t in texts)
    return np.array([[len(t) * SCALE, 1.0, t.count("z") * float("inf") if "z" in t else 2.0] for t in texts])


BAD = {"null": None, "hole": [1, None, 2], "nan": [1, float("nan"), 2], "inf": [1, float("inf"), 2], "large": [1, 1e39, 2],
       "zero": [0, 0, 0], "short": [1, 2], "long": [1, 2, 3, 4], "word": "abc", "flat": 1.0, "nested": [[1], [2], [3]]}


def some_bad(texts):
    return [BAD.get(t, [len(t), 1, 2]) for t in texts]


def raising(texts):
    if "zz" in texts:
        raise ValueError("no zz")
    return [[1, 2, 3]] * len(texts)


def wrong(texts):
    return np.ones((len(texts), 4))


def nothing(texts):
    return np.zeros((len(texts), 3))
"""


def save(project, rows):
    project.write("texts.csv", "id,text\n" + "".join(f'{i},"{t}"\n' for i, t in rows.items()))


def set_up(project, params, rows=None):
    project.write("own.py", OWN)
    project.write("pipeline.yaml", PIPELINE.format(params=params))
    save(project, rows or {1: "one", 2: "two", 3: "three"})


def task(project, *argv, env=None):
    return {t["task"]: t for t in project.fast("run", "--json", *argv, env=env).json()["tasks"]}["vectors"]


def vectors(project):
    shown = project.fast("show", "vectors", "--json", "--limit", "0").out
    return {row["id"]: np.array(row["vector"]) for row in map(json.loads, shown.splitlines())}


def embedded(project):
    file = project.root / "embedded.txt"
    found = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return found


def test_the_offline_model(empty):
    set_up(empty, "", {1: "a cat sits on the mat", 2: "a kitten is sitting on a rug", 3: "stock prices fell in March"})
    assert task(empty)["items"] == {"added": 3, "computed": 3}
    found = vectors(empty)
    assert all(v.shape == (256,) and abs(np.linalg.norm(v) - 1) < 1e-5 for v in found.values())
    assert found[1] @ found[2] > found[1] @ found[3] + 0.2
    empty.write("pipeline.yaml", PIPELINE.format(params="dimensions: 64, into: v"))
    assert task(empty)["items"]["computed"] == 3


def test_equal_texts_are_embedded_once_and_blank_ones_never(empty):
    set_up(
        empty,
        'provider: function, function: "own:lengths", dimensions: 3, on_error: quarantine',
        {1: "a", 2: "a", 3: " ", 4: "b"},
    )
    assert task(empty)["items"] == {"added": 4, "computed": 3, "failed": 1}
    assert sorted(embedded(empty)) == ["a", "b"]
    assert set(vectors(empty)) == {1, 2, 4}
    assert "there is no text" in empty.fast("quarantine", "show", "vectors").out


def test_an_edit_embeds_one_text_and_another_model_all(empty):
    set_up(empty, 'provider: function, function: "own:lengths", dimensions: 3')
    task(empty)
    embedded(empty)
    save(empty, {1: "one", 2: "edited", 3: "three"})
    assert task(empty)["items"] == {"changed": 1, "unchanged": 2, "computed": 1}
    assert embedded(empty) == ["edited"]
    empty.edit("own.py", "SCALE = 1.0", "SCALE = 2.0")
    assert task(empty)["items"]["computed"] == 3
    embedded(empty)
    empty.edit("pipeline.yaml", "dimensions: 3", "dimensions: 3, batch_size: 1")
    assert task(empty)["outcome"] == "fresh", "how many at a time is no part of the model"


@pytest.mark.parametrize(
    ("params", "error"),
    [
        (
            'provider: function, function: "own:wrong", dimensions: 3',
            "the embedder returned 3 x 4 numbers for 3 texts of 3 dimensions; set `dimensions` to what the model makes",
        ),
        (
            'provider: function, function: "own:nothing", dimensions: 3',
            "an item failed (id 1, and 2 more): its vector is zero; ",
        ),
        ("text: txt", "'texts' has no column 'txt'; did you mean 'text'? it has: id, text"),
    ],
)
def test_what_never_gets_through(empty, params, error):
    set_up(empty, params)
    assert task(empty)["error"].startswith(error)


def test_a_vector_that_is_not_finite_is_set_aside(empty):
    set_up(
        empty,
        'provider: function, function: "own:lengths", dimensions: 3, on_error: quarantine',
        {1: "a", 2: "zz", 3: "c"},
    )
    assert task(empty)["items"]["failed"] == 1
    assert set(vectors(empty)) == {1, 3}
    assert "its vector is not finite" in empty.fast("quarantine", "show", "vectors").out


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ("provider: service, dimensions: 3", "provider 'service' needs `model`"),
        ("provider: service, dimensions: 3, model: m, base_url: host/v1", "`base_url` is no address"),
        ("provider: folder, dimensions: 3", "provider 'folder' needs `folder`"),
        ('provider: function, function: "own:lengths"', "provider 'function' needs `dimensions`"),
        ("dimensions: 100", "the offline model has no 100 dimensions"),
    ],
)
def test_params_are_checked_before_anything_runs(empty, params, error):
    set_up(empty, params)
    done = empty.fast("validate")
    assert done.code == 3
    assert error in done.err


WHY = {
    "null": "it has no vector",
    "hole": "its vector is not finite",
    "nan": "its vector is not finite",
    "inf": "its vector is not finite",
    "large": "its vector is not finite",
    "zero": "its vector is zero",
    "short": "its vector has 2 numbers, not 3",
    "long": "its vector has 4 numbers, not 3",
    "word": "its vector is no list of numbers",
    "flat": "its vector is no list of numbers",
    "nested": "its vector is no list of numbers",
}


def aside(project):
    """Return id -> why an item was set aside."""
    shown = project.fast("quarantine", "show", "vectors", "--json").out
    return {row["id"]: row["_error"] for row in map(json.loads, shown.splitlines())}


@pytest.mark.parametrize("batch", [1, 4, 128])
def test_vectors_of_a_function_that_no_search_could_use_are_set_aside(empty, batch):
    texts = {0: "fine", **dict(enumerate(WHY, 1)), 50: "good"}
    params = f'provider: function, function: "own:some_bad", dimensions: 3, batch_size: {batch}'
    set_up(empty, f"{params}, on_error: quarantine, max_fraction: 1", texts)
    if batch == 1:  # a vector of another size is the model's fault if there is no other one in its batch
        assert task(empty)["error"].startswith("the embedder returned 1 x 2 numbers for 1 texts of 3 dimensions")
        return
    assert task(empty)["items"]["failed"] == len(WHY)
    assert aside(empty) == {n: WHY[t] for n, t in texts.items() if t in WHY}
    assert {n: v.round(3).tolist() for n, v in vectors(empty).items()} == {
        0: [0.873, 0.218, 0.436],
        50: [0.873, 0.218, 0.436],
    }
    empty.edit("pipeline.yaml", "on_error: quarantine", "on_error: fail")
    assert task(empty, "--force")["error"].startswith("an item failed (id 1")


def test_a_function_that_raises_fails_the_texts_that_it_raises_for(empty):
    texts = {n: "zz" if n in {3, 8} else f"t{n}" for n in range(10)}
    set_up(empty, 'provider: function, function: "own:raising", dimensions: 3, on_error: quarantine', texts)
    assert task(empty)["items"]["failed"] == 2
    assert aside(empty) == {3: "ValueError: no zz", 8: "ValueError: no zz"}


def test_the_offline_model_is_not_asked_for_texts_that_are_none(empty):
    set_up(empty, "on_error: quarantine, max_fraction: 1", {1: "a cat", 2: " ", 3: "", 4: "\t"})
    assert task(empty)["items"]["failed"] == 3
    assert set(vectors(empty)) == {1}


def test_tiny_and_large_vectors_get_the_length_one():
    """Their squares are no numbers of 32 bits."""
    from mmetl.transforms.vector.numbers import unit

    found = unit(np.array([[3e-30, 4e-30], [3e30, 4e30], [3.0, 4.0], [0.0, 0.0]], np.float32))
    assert np.allclose(found, [[0.6, 0.8]] * 3 + [[0, 0]])


def test_ten_thousand_texts_and_one_edit(empty):
    texts = {n: f"text {n}" for n in range(10_000)}
    set_up(empty, 'provider: function, function: "own:lengths", dimensions: 3, batch_size: 1000', texts)
    assert task(empty)["items"] == {"added": 10_000, "computed": 10_000}
    embedded(empty)
    save(empty, texts | {5000: "edited"})
    assert task(empty)["items"] == {"changed": 1, "unchanged": 9_999, "computed": 1}
    assert embedded(empty) == ["edited"]


def test_the_offline_model_gives_a_text_the_same_vector_whatever_its_neighbours():
    """The order of texts in a batch is that of their lengths, and which of them are new differs from run to run."""
    from mmetl.transforms.vector.providers import offline

    texts = [f"{'word ' * n}{'#' * (n % 7)} {n * 7919}" for n in range(1, 90)]
    embed = offline(64)
    alone = np.concatenate([embed([t]) for t in texts])
    assert embed(texts).tobytes() == alone.tobytes()
    assert embed(texts[::-1])[::-1].tobytes() == alone.tobytes()


def test_texts_of_a_batch_come_by_length_and_every_vector_to_its_own_text(empty):
    texts = {1: "ab", 2: "a word and another", 3: "abc", 4: "#-#-#-#-#-#-#-#-#-", 5: "ab"}
    set_up(empty, 'provider: function, function: "own:lengths", dimensions: 3, normalize: false', texts)
    task(empty)
    assert embedded(empty) == [texts[4], texts[2], "abc", "ab"], "the one with the most tokens first"
    assert {n: v[0] for n, v in vectors(empty).items()} == {n: len(t) for n, t in texts.items()}
