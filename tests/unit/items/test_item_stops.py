"""What ends a task within its items: an interrupt, a failure, a service that stays busy; finished batches are kept."""

from __future__ import annotations

import signal

import pytest
from harness import wait_for

SLOW = "own.shout, inputs: [texts], params: {slow: 0.2}"


@pytest.mark.parametrize("argv", [[], ["--jobs", "2"]])
def test_ctrl_c_loses_no_finished_batch(texts, argv):
    texts.edit("pipeline.yaml", "own.shout, inputs: [texts]", SLOW)
    texts.save({i: (0, f"text {i}") for i in range(500)})
    process = texts.start("run", "--select", "+loud", *argv)
    computed = texts.root / "computed.txt"
    wait_for(lambda: computed.exists() and computed.read_text().count("\n") >= 150)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    before = len(texts.computed())
    assert before < 500
    texts.write("hurry", "")
    done = texts.go("--select", "+loud")["loud"]
    assert 500 - before <= done["items"]["computed"] <= 500 - before + 50, "the batch under way, at most"
    assert [r["loud"] for r in texts.table("loud")] == [f"TEXT {i}!" for i in range(500)]


def test_a_failure_keeps_what_was_computed_in_its_own_batch(texts):
    """A batch that fails is halved; a service that gives up after its first half does not take that half with it."""
    texts.edit("pipeline.yaml", "params: {path: texts.csv}, key: [id]", "params: {path: texts.csv}")  # in their order
    texts.edit("own.py", "retries=1", "retries=1, retry_delay_s=0.0")
    texts.edit(
        "own.py",
        '    if not os.path.exists("answers"):',
        """\
    note(batch)
    found = batch.column("text").to_pylist()
    if "text number 5" in found:
        raise ValueError("a bad text")
    if "text number 150" in found and not os.path.exists("answers"):
        raise Busy("closed")
    if False:""",
    )
    texts.edit(
        "pipeline.yaml", "own.shout, inputs: [texts]", "own.flaky, inputs: [texts], params: {on_error: quarantine}"
    )
    done = texts.go("--select", "+loud")["loud"]
    assert done["outcome"] == "failed"
    assert done["error"] == (
        "'flaky' gave up after 2 attempts: Busy: closed; what is finished is kept; run again when the service answers"
    )
    texts.write("answers", "")
    texts.computed()
    assert texts.go("--select", "+loud")["loud"]["outcome"] == "ran"
    again = set(texts.computed())
    assert again == {f"text number {i}" for i in (5, *range(100, 200))}, "the half that was finished is kept"
    assert len(texts.table("loud")) == 199


def test_attempts_are_counted_and_wait_as_declared(texts):
    texts.edit("own.py", "retries=1", "retries=3, retry_delay_s=0.0")
    texts.edit("own.py", 'if not os.path.exists("answers"):', "if True:")
    texts.edit("pipeline.yaml", "own.shout", "own.flaky")
    assert texts.go("--select", "+loud")["loud"]["error"].startswith(
        "'flaky' gave up after 4 attempts: Busy: come again"
    )
    log = next(texts.root.glob(".mmetl/logs/*/p.loud.log")).read_text()
    assert [line for line in log.splitlines() if "attempt" in line][:3] == [
        f"attempt {n} failed: Busy: come again" for n in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    "wrong", ["retry_on=(Exception,)", "retry_on=(Busy,), retries=-1", "retry_on=(Busy,), retry_delay_s=-1"]
)
def test_retries_that_cannot_be_are_refused(texts, wrong):
    texts.edit("own.py", "retry_on=(Busy,), retries=1", wrong)
    texts.edit("pipeline.yaml", "own.shout", "own.flaky")
    done = texts.fast("validate")
    assert done.code == 3
    assert "'own.flaky' has a `retry_on`, `retries` or `retry_delay_s` that cannot be" in done.err
