"""`vector.embed`: what is embedded, by what, and which vectors never get through."""

from __future__ import annotations

import http.server
import json
import threading
from typing import ClassVar

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


class Service(http.server.BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint that is busy at first."""

    asked: ClassVar[list[dict]] = []
    busy = 1

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append({**body, "key": self.headers["Authorization"]})
        if len(self.asked) <= self.busy:
            self.send_response(429)
            self.send_header("Retry-After", "0")
            self.end_headers()
            return
        if self.headers["Authorization"] != "Bearer right":
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b'{"error": "no such key"}')
            return
        data = [{"index": i, "embedding": [len(t), 1.0, 0.5]} for i, t in enumerate(body["input"])]
        answer = json.dumps({"data": data[::-1]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def service():
    Service.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


SERVICE = 'provider: service, model: m, dimensions: 3, base_url: "{url}", api_key: "${{secret:KEY}}", batch_size: 2'


def test_a_service_is_asked_in_batches_and_again_when_it_is_busy(empty, service):
    set_up(empty, SERVICE.format(url=service))
    assert task(empty, env={"KEY": "right"})["items"] == {"added": 3, "computed": 3}
    assert [len(a["input"]) for a in Service.asked] == [2, 2, 1]
    assert np.allclose(vectors(empty)[3], np.array([5, 1, 0.5]) / np.linalg.norm([5, 1, 0.5]))
    assert not [p for p in empty.root.rglob("*") if p.is_file() and b"right" in p.read_bytes()], "the key is nowhere"


def test_a_service_that_refuses_fails_the_task(empty, service):
    Service.asked = [{}]
    set_up(empty, SERVICE.format(url=service))
    done = task(empty, env={"KEY": "wrong"})
    assert done["error"].startswith(f'{service}/embeddings refused: HTTP 401: {{"error": "no such key"}}; see `model`')
