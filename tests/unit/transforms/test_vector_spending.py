"""Tokens and their price: told before a run, counted in it, and never more than it may spend. A real server on loopback."""

from __future__ import annotations

import http.server
import json
import threading

import pytest

PIPELINE = """\
version: 1
name: p
tasks:
  texts: {{transform: tabular.read, params: {{path: texts.csv, types: {{text: varchar}}}}, key: [id]}}
  vectors:
    transform: vector.embed
    inputs: [texts]
    params: {{provider: service, model: m, dimensions: 2, base_url: "{url}", batch_size: {batch}{more}}}
"""
PRICED = ", price_per_million: 1000"  # so that a token costs 0.001


class Endpoint(http.server.ThreadingHTTPServer):
    """An endpoint that takes a token for each word. `asked`: the texts of each request. `tells`: whether it says what it took."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[list[str]] = []
        self.tells = True
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def texts(self) -> list[str]:
        return [t for texts in self.asked for t in texts]

    @property
    def tokens(self) -> int:
        return sum(len(t.split()) for t in self.texts)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self):
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        self.server.asked.append(texts)
        answer = {"data": [{"index": i, "embedding": [len(t), 1.0]} for i, t in enumerate(texts)]}
        if self.server.tells:
            answer["usage"] = {"prompt_tokens": 0, "total_tokens": sum(len(t.split()) for t in texts)}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def service():
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)  # seconds to notice the end
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def set_up(project, service, more="", batch=4, texts=20):
    project.write("pipeline.yaml", PIPELINE.format(url=service.url, more=more, batch=batch))
    project.write(
        "texts.csv", "id,text\n" + "".join(f"{i},text number {i:02}\n" for i in range(texts))
    )  # 14 bytes each


def task_of(answer):
    return {t["task"]: t for t in answer.json()["tasks"]}["vectors"]


def test_tokens_are_counted_as_the_service_says_and_kept_with_the_run(empty, service):
    set_up(empty, service, PRICED)
    done = task_of(empty.fast("run", "--json"))
    assert done["usage"] == {"tokens": 60, "cost": 0.06}
    assert done["items"] == {"added": 20, "computed": 20}
    assert task_of(empty.fast("status", "--json"))["usage"] == {"tokens": 60, "cost": 0.06}
    assert "20 added, 20 computed, 60 tokens, cost 0.06" in empty.fast("status").out
    assert "60 tokens, cost 0.06, " in empty.fast("status").out.splitlines()[-1]


def test_without_a_price_there_is_no_cost(empty, service):
    set_up(empty, service)
    assert task_of(empty.fast("run", "--json"))["usage"] == {"tokens": 60, "cost": None}


def test_a_service_that_does_not_tell_is_estimated(empty, service):
    service.tells = False
    set_up(empty, service, PRICED)
    assert task_of(empty.fast("run", "--json"))["usage"] == {"tokens": 80, "cost": 0.08}, "4 bytes a token"


def test_dry_run_estimates_tokens_and_price_and_asks_nobody(empty, service):
    set_up(empty, service, PRICED)
    assert "usage" not in task_of(empty.fast("dry-run", "--json")), "its input is not settled"
    empty.fast("run", "--select", "texts")
    told = empty.fast("dry-run")
    assert "20 added, 20 to compute, about 70 tokens, cost 0.07" in told.out
    assert task_of(empty.fast("dry-run", "--json"))["usage"] == {"tokens": 70, "cost": 0.07}
    assert service.asked == []


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        (
            ["--max-tokens", "40"],
            "stopped before --max-tokens 40 was passed: 21 are spent, and the next item may take 22; ",
        ),
        (
            ["--max-cost", "0.04"],
            "stopped before --max-cost 0.04 was passed: 0.021 is spent, and the next item may cost 0.022; ",
        ),
    ],
)
def test_a_run_stops_before_it_spends_more_than_it_may_and_the_next_goes_on(empty, service, limit, error):
    set_up(empty, service, PRICED)
    done = empty.fast("run", "--json", *limit)
    assert done.code == 11
    stopped = task_of(done)
    assert stopped["outcome"] == "failed"
    assert stopped[
        "error"
    ] == f"{error}what is finished is kept; run again with a higher limit or none, to go on".replace(
        "limit or none", "limit, or none"
    )
    assert service.tokens == 21 == stopped["usage"]["tokens"]
    assert task_of(empty.fast("status", "--json"))["usage"]["tokens"] == 21
    before = set(service.texts)
    service.asked.clear()
    rest = task_of(empty.fast("run", "--json"))
    assert rest["items"] == {"added": 20, "computed": 13}
    assert len(service.texts) == 13
    assert before.isdisjoint(service.texts), "nothing is paid for twice"


def test_retry_has_the_limit_of_the_run_and_a_limit_that_is_enough_changes_nothing(empty, service):
    set_up(empty, service)
    assert empty.fast("run", "--max-tokens", "40").code == 11
    assert empty.fast("retry").code == 11
    assert empty.fast("run", "--max-tokens", "1000").code == 0
    assert service.tokens == 60


def test_max_cost_needs_a_price(empty, service):
    set_up(empty, service)
    done = empty.fast("run", "--json", "--max-cost", "1")
    assert done.code == 1
    assert task_of(done)["error"].startswith(
        "what it costs is not known, so --max-cost cannot be kept; set `price_per_million`"
    )
    assert service.asked == []


def test_a_new_price_embeds_nothing(empty, service):
    set_up(empty, service, PRICED)
    empty.run()
    service.asked.clear()
    set_up(empty, service, ", price_per_million: 5")
    assert empty.run()["vectors"] == "fresh"
    assert service.asked == []


def test_from_python(empty, service):
    from mmetl import Project
    from mmetl.api import RunFailedError

    set_up(empty, service)
    with pytest.raises(RunFailedError, match="stopped before --max-tokens 40 was passed"):
        Project.open(empty.root).run(max_tokens=40)
