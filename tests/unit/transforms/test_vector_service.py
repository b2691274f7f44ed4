"""`vector.embed` with an OpenAI-compatible endpoint: a real server on loopback that is busy, slow, wrong, or refuses."""

from __future__ import annotations

import email.utils
import http.server
import json
import threading
import time
from typing import Any

import pytest
from harness import wait_for

PIPELINE = """\
version: 1
name: p
tasks:
  texts: {{transform: tabular.read, params: {{path: texts.csv, types: {{text: varchar}}}}, key: [id]}}
  vectors:
    transform: vector.embed
    inputs: [texts]
    params: {{provider: service, model: m, dimensions: 3, base_url: "{url}", api_key: "${{secret:KEY}}", batch_size: 2{more}}}
"""

KEY = "sk-right-0123456789"
POLL_S = 0.01  # how soon a server notices that it is to end
BAD: dict[str, Any] = {
    "null": None,
    "hole": [1, None, 2],
    "zero": [0, 0, 0],
    "short": [1, 2],
    "nan": [float("nan"), 1, 1],
    "inf": [1, 1e400, 1],
    "word": "abc",
}


class Endpoint(http.server.ThreadingHTTPServer):
    """An endpoint. `answers`: what it does with the next requests, before it answers as it should.

    Attributes:
        asked: the texts of each request, with the key and the time.
        answers: functions of a handler and the texts; None: answer as it should.
        refused: texts that it takes in no batch.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.answers: list[Any] = []
        self.refused: set[str] = set()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Authorization"]
        self.server.asked.append({**body, "key": key, "at": time.monotonic(), "path": self.path})
        answer = self.server.answers.pop(0) if self.server.answers else None
        if answer is not None:
            answer(self, body["input"])
        elif key != f"Bearer {KEY}":
            self.say(401, {"error": f"no such key: {key}"})
        elif self.server.refused & set(body["input"]):
            self.say(400, {"error": "a text is too long"})
        else:
            vectors = [BAD.get(t, [len(t), 1.0, 0.5]) for t in body["input"]]
            data = [{"index": i, "embedding": v} for i, v in enumerate(vectors)]
            self.say(200, {"data": data[::-1], "usage": {"prompt_tokens": sum(len(t.split()) for t in body["input"])}})

    def do_GET(self):
        self.server.asked.append({"key": self.headers["Authorization"], "path": self.path})
        self.say(200, {"data": []})

    def say(self, code, body, **headers):
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Say nothing."""


def busy(code=429, **headers):
    return lambda handler, texts: handler.say(code, {"error": "busy"}, **headers)


def hang_up(handler, texts):
    handler.close_connection = True
    handler.connection.close()


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr("mmetl.items.calls.RETRY_LIMIT_S", 0.01)
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def set_up(project, service, rows=None, more=""):
    project.write("pipeline.yaml", PIPELINE.format(url=service.url, more=more and f", {more}"))
    texts = rows or {1: "one", 2: "two", 3: "three"}
    project.write("texts.csv", "id,text\n" + "".join(f'{i},"{t}"\n' for i, t in texts.items()))


def run(project, key=KEY):
    done = project.fast("run", "--json", env={"KEY": key})
    return {t["task"]: t for t in done.json()["tasks"]}["vectors"]


def shown(project, *argv):
    return {row["id"]: row for row in map(json.loads, project.fast(*argv, "vectors", "--json").out.splitlines())}


def nowhere(project, secret):
    return not [p for p in project.root.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()]


def sizes(service):
    return [len(a["input"]) for a in service.asked]


def test_it_is_asked_in_batches_with_model_and_key(empty, service):
    set_up(empty, service)
    assert run(empty)["items"] == {"added": 3, "computed": 3}
    assert sizes(service) == [2, 1]
    assert {(a["model"], a["key"], a["path"]) for a in service.asked} == {("m", f"Bearer {KEY}", "/v1/embeddings")}
    assert "dimensions" not in service.asked[0]
    assert nowhere(empty, KEY)
    set_up(empty, service, more="send_dimensions: true")
    run(empty)
    assert service.asked[-1]["dimensions"] == 3


@pytest.mark.parametrize("code", [408, 409, 425, 429, 500, 502, 503, 504])
def test_it_is_asked_again_when_it_is_busy(empty, service, code):
    set_up(empty, service, {1: "one"})
    service.answers = [busy(code, Retry_After="0")]
    assert run(empty)["items"]["computed"] == 1
    assert sizes(service) == [1, 1]
    assert f"attempt 1 failed: BusyError: HTTP {code}" in empty.fast("logs", "latest", "vectors").out


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_it_is_left_alone_for_as_long_as_it_wants(empty, service, form):
    set_up(empty, service, {1: "one"})
    # A date has whole seconds: between one and two remain of it.
    after = "2" if form == "seconds" else email.utils.formatdate(time.time() + 2.5, usegmt=True)
    service.answers = [busy(Retry_After=after)]
    assert run(empty)["items"]["computed"] == 1
    first, second = (a["at"] for a in service.asked)
    assert second - first >= (2 if form == "seconds" else 1)


@pytest.mark.parametrize("after", ["soon", "-3", "", "Mon, 99 Abc 2020"])
def test_nonsense_in_retry_after_is_no_harm(empty, service, after):
    set_up(empty, service, {1: "one"})
    service.answers = [busy(Retry_After=after)]
    assert run(empty)["items"]["computed"] == 1


def test_a_connection_that_breaks_is_tried_again(empty, service):
    set_up(empty, service, {1: "one"})
    service.answers = [hang_up]
    assert run(empty)["items"]["computed"] == 1


def test_a_service_that_says_nothing_is_asked_again(empty, service):
    gone = threading.Event()
    set_up(empty, service, {1: "one"}, "timeout_s: 0.2")
    service.answers = [lambda handler, texts: gone.wait(30)]
    assert run(empty)["items"]["computed"] == 1
    gone.set()
    assert sizes(service) == [1, 1]


def test_one_that_stays_busy_fails_the_task_and_keeps_what_is_finished(empty, service):
    set_up(empty, service, {n: f"text {n}" for n in range(6)})
    service.answers = [None, None, *[busy(503)] * 6]
    assert run(empty)["error"].startswith("'vector.embed' gave up after 6 attempts: BusyError: HTTP 503")
    assert sizes(service) == [2, 2, *[2] * 6]
    service.asked.clear()
    assert run(empty)["items"]["computed"] == 2
    assert sizes(service) == [2], "what it had answered before is not asked again"


def test_requests_in_a_minute_are_kept_below_the_limit(empty, service):
    set_up(empty, service, {n: f"text {n}" for n in range(8)}, "per_minute: 300")
    assert run(empty)["items"]["computed"] == 8
    times = [a["at"] for a in service.asked]
    assert len(times) == 4
    # 0.2 s from one to the next, as they left; on a busy machine the first may arrive late.
    assert times[-1] - times[0] > 0.3, "without the limit it is a hundredth"


def test_an_interrupt_does_not_wait_for_the_service(empty, service):
    set_up(empty, service)
    service.answers = [busy(Retry_After="100")]
    empty.edit("pipeline.yaml", "    inputs: [texts]\n", "    inputs: [texts]\n    timeout_s: 1\n")
    started = time.monotonic()
    assert "timeout" in run(empty)["error"] or "interrupted" in run(empty)["error"]
    assert time.monotonic() - started < 60


def test_the_key_is_nowhere_even_if_the_service_repeats_it(empty, service):
    set_up(empty, service)
    done = run(empty, "sk-wrong-9876543210")
    assert done["error"].startswith(f"{service.url}/embeddings refused: HTTP 401: ")
    assert done["error"].endswith("see `model`, `api_key` and `base_url`")
    assert "wrong" not in done["error"]
    assert nowhere(empty, "sk-wrong-9876543210")
    assert len(service.asked) == 1, "a refusal is not tried again"


@pytest.mark.parametrize("end", ["\n", "\u20ac"])
def test_a_key_that_cannot_be_sent_is_not_told(empty, service, end):
    set_up(empty, service)
    assert (
        run(empty, f"sk-odd-4711{end}")["error"]
        == "`api_key` has characters that no key has; is there a line end behind it?"
    )
    assert not service.asked
    assert nowhere(empty, "sk-odd-4711")


def test_the_key_goes_to_no_other_address(empty, service):
    set_up(empty, service, {1: "one"})
    service.answers = [busy(302, Location=f"{service.url}/elsewhere")]
    assert run(empty)["error"].startswith(f"{service.url}/embeddings refused: HTTP 302")
    assert [a["path"] for a in service.asked] == ["/v1/embeddings"]


def test_no_key_is_sent_where_there_is_none(empty, service):
    set_up(empty, service, {1: "one"})
    empty.edit("pipeline.yaml", ', api_key: "${secret:KEY}"', "")
    run(empty)
    assert service.asked[0]["key"] is None


def test_a_text_that_it_does_not_take_is_set_aside(empty, service):
    service.refused = {"bad 0", "bad 5"}
    texts = {n: f"bad {n}" if n in {0, 5} else f"text {n}" for n in range(8)}
    set_up(empty, service, texts, "on_error: quarantine")
    assert run(empty)["items"]["failed"] == 2
    why = {n: row["_error"] for n, row in shown(empty, "quarantine", "show").items()}
    assert why == dict.fromkeys((0, 5), 'RefusedTextError: HTTP 400: {"error": "a text is too long"}')
    assert set(shown(empty, "show")) == set(texts) - {0, 5}


def test_a_service_that_takes_no_text_fails_the_task_at_once(empty, service):
    """With `on_error: quarantine` too: otherwise each text would be asked for, in vain."""
    service.answers = [busy(400)] * 100
    set_up(empty, service, {n: f"text {n}" for n in range(50)}, "on_error: quarantine, max_fraction: 1")
    assert run(empty)["error"].startswith(f"{service.url}/embeddings refused: HTTP 400")
    assert sizes(service) == [2, 1]


WHY = {
    "null": "it has no vector",
    "hole": "its vector is not finite",
    "zero": "its vector is zero",
    "short": "its vector has 2 numbers, not 3",
    "nan": "its vector is not finite",
    "inf": "its vector is not finite",
    "word": "its vector is no list of numbers",
}


@pytest.mark.parametrize("text", WHY)
def test_a_vector_that_no_search_could_use_is_set_aside(empty, service, text):
    set_up(empty, service, {1: "one", 2: text, 3: "three"}, "on_error: quarantine")
    assert run(empty)["items"] == {"added": 3, "computed": 3, "failed": 1}
    assert {n: row["_error"] for n, row in shown(empty, "quarantine", "show").items()} == {2: WHY[text]}
    assert set(shown(empty, "show")) == {1, 3}
    empty.edit("pipeline.yaml", "on_error: quarantine", "on_error: fail")
    done = empty.fast("run", "--json", "--force", env={"KEY": KEY}).json()["tasks"]
    assert done[-1]["error"].startswith(f"an item failed (id 2): {WHY[text]}; ")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html>", "did not answer with JSON: <html>"),
        ([1], "did not answer with 1 vectors, but with [1]"),
        ({"data": None}, 'did not answer with 1 vectors, but with {"data": null}'),
        ({"data": []}, 'did not answer with 1 vectors, but with {"data": []}'),
        ({"data": [{"index": 7, "embedding": [1, 2, 3]}]}, "did not answer with 1 vectors, but with "),
        ({"data": [{"embedding": [1, 2, 3, 4]}]}, "the embedder returned 1 x 4 numbers for 1 texts of 3 dimensions"),
    ],
)
def test_an_answer_that_is_none_fails_the_task(empty, service, body, told):
    set_up(empty, service, {1: "one"}, "on_error: quarantine, max_fraction: 1")
    service.answers = [lambda handler, texts: handler.say(200, body)]
    assert told in run(empty)["error"]


def test_it_counts_the_tokens_that_it_is_told():
    from mmetl.transforms.vector.service import Service

    spent: list[int] = []
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
    thread.start()
    try:
        asked = Service(server.url, "m", KEY, None, 0, 5.0, threading.Event(), spent.append)
        asked(["one two", "three"])
        asked(["four"])
        assert spent == [3, 1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        wait_for(lambda: not thread.is_alive())
