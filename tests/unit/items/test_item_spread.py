"""Items in worker processes: the same results as here, and a process that dies costs the items that it dies of."""

from __future__ import annotations

import os
import signal

import pytest
from harness import wait_for

from mmetl.core.looking.find import find_task
from mmetl.core.project import Project as Opened
from mmetl.workers.local import LocalWorkers

REAL_CORES = os.cpu_count()
OWN = '''\
"""An item-wise transform that may be called in other processes."""
import os, signal, sys, time
import helper
from mmetl import Items, register_transform
from pydantic import BaseModel


class Params(BaseModel):
    mark: str = "!"


@register_transform("own.heavy", items=Items(reads=["text"], makes={"loud": "string"}, batch_rows=20, parallel=True))
def heavy(batch, params: Params, inputs):
    texts = batch.column("text").to_pylist()
    open(f"pids/{os.getpid()}", "a").close()
    print("called with", len(texts))
    time.sleep(0.3 if os.path.exists("slow") else 0)
    if any("deadly" in t for t in texts):
        os.kill(os.getpid(), signal.SIGKILL)
    if any("bad" in t for t in texts):
        raise ValueError("a bad text")
    with open("computed.txt", "a") as f:
        f.writelines(t + "\\n" for t in texts)
    more = inputs["more"].column("word")[0].as_py() if "more" in inputs else ""
    return {"loud": [helper.loud(t) + params.mark + more for t in texts]}
'''
PIPELINE = """\
version: 1
name: p
imports: [./own.py]
tasks:
  texts: {transform: tabular.read, params: {path: texts.csv}}
  more: {transform: tabular.sql, params: {sql: "select 'more' as word"}}
  loud: {transform: own.heavy, inputs: [texts, more], params: {mark: "?", on_error: quarantine, max_fraction: 1}}
"""


@pytest.fixture
def heavy(texts, monkeypatch):
    """The project, where workers pay for any amount of work, on a machine of two cores."""
    monkeypatch.setattr("mmetl.items.spread.PAYS_S", -1.0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    texts.write("own.py", OWN)
    texts.write("helper.py", "def loud(text):\n    return text.upper()\n")
    texts.write("pipeline.yaml", PIPELINE)
    (texts.root / "pids").mkdir()
    return texts


def pids(project):
    found = {int(p.name) for p in (project.root / "pids").iterdir()}
    for pid in found:
        (project.root / "pids" / str(pid)).unlink()
    return found - {os.getpid()}


def manifest(project):
    shown = project.fast("show", "loud", "--json", "--limit", "0").out
    parts = sorted(p.name for p in project.root.glob(".mmetl/parts/*/*"))
    return shown, parts


def test_the_same_bytes_as_here(heavy):
    done = heavy.go()["loud"]
    assert done["items"] == {"added": 200, "computed": 200}
    assert 1 <= len(pids(heavy)) <= 2
    assert sorted(heavy.computed()) == sorted(f"text number {i}" for i in range(200))
    assert heavy.table("loud")[7]["loud"] == "TEXT NUMBER 7?more"
    outside = manifest(heavy)
    heavy.edit("own.py", ", parallel=True", "")
    assert heavy.go("--force")["loud"]["items"]["computed"] == 200
    assert pids(heavy) == set()
    assert manifest(heavy) == outside, "not a part was added"


def test_what_is_printed_there_stands_in_the_log(heavy):
    heavy.go()
    log = next(heavy.root.glob(".mmetl/logs/*/p.loud.log")).read_text()
    assert log.count("called with 20") == 10


def test_a_process_that_dies_costs_the_item_that_it_dies_of(heavy):
    heavy.save({**heavy.rows, 150: (0, "a deadly text"), 190: (0, "a bad text")})
    done = heavy.go()["loud"]
    assert done["items"] == {"added": 200, "computed": 200, "failed": 2}
    shown = heavy.fast("quarantine", "show", "loud").out
    assert "its process crashed (SIGKILL)" in shown
    assert "ValueError: a bad text" in shown
    assert len(heavy.table("loud")) == 198


def test_few_items_are_computed_here(heavy, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    heavy.go()
    assert pids(heavy) == set(), "it would take longer to start a process"


@pytest.mark.parametrize("cores", [1, 2])
def test_one_core_needs_no_processes_and_tasks_share_them(heavy, monkeypatch, cores):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    heavy.go("--jobs", str(cores))
    assert pids(heavy) == set()


def test_what_does_not_fit_fails_the_task_as_it_does_here(heavy):
    heavy.edit("own.py", 'return {"loud": [', 'return {"quiet" if "text number 199" in texts else "loud": [')
    assert heavy.go()["loud"]["error"] == "'heavy' did not return the column 'loud'; it returned: quiet"


def test_an_interrupt_ends_the_processes_and_keeps_finished_batches(heavy):
    if REAL_CORES == 1:
        pytest.skip("one core: no worker process is started")
    heavy.write("slow", "")
    heavy.save({i: (0, f"text {i}") for i in range(1000)})
    process = heavy.start("run")
    wait_for(lambda: len(list((heavy.root / "pids").iterdir())) > 1 or process.poll() is not None)
    computed = heavy.root / "computed.txt"
    wait_for(lambda: computed.exists() and computed.read_text().count("\n") >= 400)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    for pid in pids(heavy):
        wait_for(lambda pid=pid: not os.path.exists(f"/proc/{pid}"))
    before = len(heavy.computed())
    (heavy.root / "slow").unlink()
    done = heavy.go()["loud"]
    assert 1000 - before <= done["items"]["computed"] <= 1000 - before + 5 * 20, "what was under way, at most"
    assert len(heavy.table("loud")) == 1000


def made(project, *tasks):
    """Return the parts of some tasks."""
    opened = Opened.open(project.root)
    return [opened.artifact(*find_task(opened, task))[0].parts for task in tasks]


BUILT_IN = """\
version: 1
name: p
tasks:
  texts: {transform: tabular.read, params: {path: texts.csv}, key: [id]}
  redacted: {transform: document.redact, inputs: [texts], params: {placeholder: "<{kind} {n}>"}}
  chunks: {transform: document.chunk, inputs: [texts], params: {method: tokens, size: 8, markup: none}}
"""


def test_built_in_transforms_make_the_same_bytes_there(texts, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    texts.write("pipeline.yaml", BUILT_IN)
    texts.save({i: (0, f"Text {i} of ann{i}@example.com, which has words enough for two chunks.") for i in range(600)})
    computed = {"redacted": {"added": 600, "computed": 600}, "chunks": {"added": 600, "computed": 600}}
    counts = {task: done["items"] for task, done in texts.go().items() if "items" in done}
    assert counts == computed
    here = made(texts, *counts)
    started: list[str] = []
    monkeypatch.setattr("mmetl.items.spread.PAYS_S", -1.0)
    ask = LocalWorkers.stream
    monkeypatch.setattr(LocalWorkers, "stream", lambda self, calls: started.append(self._called) or ask(self, calls))
    texts.go("--force")
    assert len(started) == 2
    assert made(texts, *counts) == here
