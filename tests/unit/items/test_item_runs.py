"""Item-wise transforms: only new items are computed, and every row is as if all had been."""

from __future__ import annotations

import json
import signal

import pytest
from harness import wait_for

LOUD = ["--select", "loud+ +loud"]


def loud(texts):
    return texts.go("--select", "+loud")["loud"]


def test_a_first_run_computes_everything_once(texts):
    done = loud(texts)
    assert done["outcome"] == "ran"
    assert done["items"] == {"added": 200, "computed": 200}
    assert len(texts.computed()) == 200
    assert texts.table("loud")[3] == {"id": 3, "place": 3, "text": "text number 3", "loud": "TEXT NUMBER 3!"}
    assert texts.go("--select", "+loud")["loud"]["outcome"] == "fresh"


def test_an_edit_computes_one_item(texts):
    loud(texts)
    texts.computed()
    texts.rows[5] = (5, "edited")
    texts.save()
    assert loud(texts)["items"] == {"changed": 1, "unchanged": 199, "computed": 1}
    assert texts.computed() == ["edited"]
    assert texts.table("loud")[5]["loud"] == "EDITED!"


def test_a_column_that_is_not_read_is_updated_without_computing(texts):
    loud(texts)
    texts.computed()
    texts.rows[5] = (99, texts.rows[5][1])
    texts.save()
    assert loud(texts)["items"] == {"updated": 1, "unchanged": 199, "computed": 0}
    assert texts.computed() == []
    assert texts.table("loud")[5]["place"] == 99


def test_a_renamed_item_is_found(texts):
    loud(texts)
    texts.computed()
    texts.rows[1000] = texts.rows.pop(5)
    texts.save()
    assert loud(texts)["items"] == {"added": 1, "removed": 1, "unchanged": 199, "computed": 0}
    assert texts.computed() == []
    assert texts.table("loud")[-1]["id"] == 1000


def test_equal_items_are_computed_once(texts):
    texts.save({i: (i, "same" if i % 2 else f"t{i}") for i in range(100)})
    assert loud(texts)["items"] == {"added": 100, "computed": 51}
    assert len(texts.computed()) == 51
    assert all(r["loud"] == r["text"].upper() + "!" for r in texts.table("loud"))


def test_a_changed_recipe_computes_everything_and_changing_back_nothing(texts):
    loud(texts)
    texts.computed()
    texts.edit("pipeline.yaml", "own.shout, inputs: [texts]", "own.shout, inputs: [texts], params: {times: 2}")
    assert loud(texts)["items"] == {"changed": 200, "computed": 200}
    texts.computed()
    texts.edit("pipeline.yaml", "{times: 2}", "{times: 1}")
    assert loud(texts)["outcome"] == "restored"
    texts.edit("pipeline.yaml", "{times: 1}", "{times: 2}")
    texts.rows[3] = (3, "changed too")
    texts.save()
    assert loud(texts)["items"]["computed"] == 1
    assert texts.computed() == ["changed too"]


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [('SUFFIX = "!"', 'SUFFIX = "?"', 200), ("t.upper()", "t.lower()", 200), ('"""Write down', '"""Note', 0)],
)
def test_code_is_a_part_of_the_recipe(texts, old, new, again):
    loud(texts)
    texts.computed()
    texts.edit("own.py", old, new)
    loud(texts)
    assert len(texts.computed()) == again


def test_what_becomes_of_failures_does_not_make_items_new(texts):
    loud(texts)
    texts.computed()
    texts.edit(
        "pipeline.yaml", "own.shout, inputs: [texts]", "own.shout, inputs: [texts], params: {on_error: quarantine}"
    )
    assert loud(texts)["items"] == {"unchanged": 200, "computed": 0}
    assert texts.computed() == []


def test_force_computes_everything(texts):
    loud(texts)
    texts.computed()
    assert texts.go("--select", "loud", "--force")["loud"]["items"]["computed"] == 200
    assert len(texts.computed()) == 200


def test_many_rows_of_an_item(texts):
    texts.save({1: (1, "a b a"), 2: (2, ""), 3: (3, "c")})
    done = texts.go("--select", "+words")["words"]
    assert done["items"] == {"added": 3, "computed": 3}
    assert texts.table("words") == [
        {"id": 1, "place": 1, "word": "a", "n": 2},
        {"id": 1, "place": 1, "word": "b", "n": 1},
        {"id": 3, "place": 3, "word": "c", "n": 1},
    ]
    texts.computed()
    texts.save({1: (7, "a b a"), 2: (2, ""), 3: (3, "c d")})
    assert texts.go("--select", "+words")["words"]["items"] == {
        "changed": 1,
        "updated": 1,
        "unchanged": 1,
        "computed": 1,
    }
    assert texts.computed() == ["c d"], "an item that makes no row is not computed again"
    assert texts.table("words") == [
        {"id": 1, "place": 7, "word": "a", "n": 2},
        {"id": 1, "place": 7, "word": "b", "n": 1},
        {"id": 3, "place": 3, "word": "c", "n": 1},
        {"id": 3, "place": 3, "word": "d", "n": 1},
    ]
    assert texts.go("--select", "words")["words"]["outcome"] == "fresh"


def test_a_table_without_a_key(texts):
    texts.edit("pipeline.yaml", "params: {path: texts.csv}, key: [id]", "params: {path: texts.csv}")
    assert loud(texts)["items"] == {"added": 200, "computed": 200}
    texts.rows[5] = (5, "edited")
    texts.save()
    assert loud(texts)["items"]["computed"] == 1
    assert [r["id"] for r in texts.table("loud")] == list(range(200))


def test_an_empty_input(texts):
    texts.save({})
    assert loud(texts)["items"] == {"computed": 0}
    assert texts.table("loud") == []


def test_growth_that_cuts_the_buckets_anew_computes_only_what_is_new(texts):
    texts.save({i: (0, f"text {i} " + "x" * 300) for i in range(60)})
    loud(texts)
    texts.computed()
    texts.save({i: (0, f"text {i} " + "x" * 300) for i in range(2000)})
    assert loud(texts)["items"] == {"added": 1940, "unchanged": 60, "computed": 1940}
    assert len(texts.computed()) == 1940
    texts.save({i: (0, f"text {i} " + "x" * 300) for i in range(1500, 1600)})
    assert texts.go("--select", "+loud", "--allow-shrink", "texts")["loud"]["items"] == {
        "removed": 1900,
        "unchanged": 100,
        "computed": 0,
    }
    assert texts.computed() == []


def test_an_item_that_fails_fails_the_task_and_is_named(texts):
    texts.rows[7] = (7, "a bad one")
    texts.save()
    done = loud(texts)
    assert done["outcome"] == "failed"
    assert done["error"] == (
        "an item failed (id 7): ValueError: a bad text; mend it, or set failing items aside with `on_error: quarantine`"
    )
    texts.rows[7] = (7, "a good one")
    texts.save()
    texts.computed()
    assert loud(texts)["outcome"] == "ran"
    assert len(texts.table("loud")) == 200


def test_items_that_fail_are_set_aside_and_tried_again_when_they_change(texts):
    texts.edit(
        "pipeline.yaml", "own.shout, inputs: [texts]", "own.shout, inputs: [texts], params: {on_error: quarantine}"
    )
    texts.rows[7] = (7, "a bad one")
    texts.save()
    assert loud(texts)["items"] == {"added": 200, "computed": 200, "failed": 1}
    assert len(texts.table("loud")) == 199
    shown = texts.fast("quarantine", "show", "loud").out
    assert "ValueError: a bad text" in shown
    texts.computed()
    texts.rows[9] = (9, "new")
    texts.save()
    assert loud(texts)["items"] == {"changed": 1, "unchanged": 199, "computed": 1, "failed": 1}
    assert texts.computed() == ["new"]
    texts.rows[7] = (7, "mended")
    texts.save()
    assert loud(texts)["items"] == {"changed": 1, "unchanged": 199, "computed": 1}
    assert len(texts.table("loud")) == 200
    assert texts.fast("quarantine", "ls").out == ""


def test_too_many_failures_fail_the_task(texts):
    texts.edit(
        "pipeline.yaml",
        "own.shout, inputs: [texts]",
        "own.shout, inputs: [texts], params: {on_error: quarantine, max_fraction: 0.01}",
    )
    for i in range(5):
        texts.rows[i] = (i, f"bad {i}")
    texts.save()
    done = loud(texts)
    assert done["outcome"] == "failed"
    assert done["error"].startswith(
        "5 of 200 items failed, more than a share of 0.01; the first: ValueError: a bad text"
    )
    texts.computed()
    for i in range(5):
        texts.rows[i] = (i, f"good {i}")
    texts.save()
    assert loud(texts)["items"]["computed"] == 5, "what was finished is kept"


def test_a_busy_service_is_asked_again(texts):
    texts.edit("pipeline.yaml", "own.shout", "own.flaky")
    assert loud(texts)["outcome"] == "ran"
    assert "attempt 1 failed: Busy: come again" in next(texts.root.glob(".mmetl/logs/*/p.loud.log")).read_text()


def test_a_killed_run_does_not_compute_finished_batches_again(texts):
    texts.edit("pipeline.yaml", "own.shout, inputs: [texts]", "own.shout, inputs: [texts], params: {slow: 0.3}")
    texts.save({i: (0, f"text {i}") for i in range(1000)})
    process = texts.start("run", "--select", "+loud")
    computed = texts.root / "computed.txt"
    wait_for(lambda: computed.exists() and computed.read_text().count("\n") >= 600)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = len(texts.computed())
    texts.edit("own.py", "time.sleep(", "time.sleep(")
    texts.write("hurry", "")
    done = texts.go("--select", "+loud")["loud"]
    again = len(texts.computed()) - (1000 - before)
    assert done["items"]["computed"] == 1000 - before + again
    assert 0 <= again <= 550, "two seconds of work at most"
    assert again < before
    assert [r["loud"] for r in texts.table("loud")] == [f"TEXT {i}!" for i in range(1000)]


WRONG = [
    ('reads=["text"]', 'reads=["txt"]', "'texts' has no column 'txt'; did you mean 'text'? it has: id, place, text"),
    ('makes={"loud": "string"}', 'makes={"id": "string"}', "it makes 'id', which is a part of the key of 'texts'; name it otherwise"),
    ('makes={"loud": "string"}', 'makes={"quiet": "string"}', "'shout' did not return the column 'quiet'; it returned: loud"),
    ('return {"loud": [t', "return {\"loud\": ['one' for t in texts][:1]} or {\"x\": [t", "'shout' returned 1 rows for 50 items; return one row an item, or declare many=True and return the column _item"),
    ('return {"loud"', 'return 7 or {"loud"', "'shout' returned int, not rows; return a pyarrow RecordBatch or Table, or a dict of columns; or yield such"),
    ('makes={"loud": "string"}', 'makes={"loud": "strung"}', "the transform declares 'loud' as 'strung', which is no type: unknown type 'strung'; write a pyarrow type, or its text"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "error"), WRONG)
def test_what_does_not_fit_is_told(texts, old, new, error):
    texts.edit("own.py", old, new)
    assert loud(texts)["error"] == error


def test_columns_that_are_dropped_or_kept_make_no_item_new(texts):
    texts.go()
    texts.computed()
    texts.edit(
        "pipeline.yaml", "own.shout, inputs: [texts]", "own.shout, inputs: [texts], params: {drop: [text, place]}"
    )
    texts.edit("pipeline.yaml", "keep: [place]", "keep: [place, text]")
    done = texts.go()
    assert (done["loud"]["items"]["computed"], done["words"]["items"]["computed"]) == (0, 0)
    assert texts.computed() == []
    assert texts.table("loud")[3] == {"id": 3, "loud": "TEXT NUMBER 3!"}
    assert {"id": 0, "place": 0, "text": "text number 0", "word": "text", "n": 1} in texts.table("words")
    texts.edit("pipeline.yaml", "drop: [text, place]", "drop: [id]")
    assert texts.go()["loud"]["error"].startswith("'id' is a part of the key of 'texts', which cannot be dropped")


def test_rows_that_a_check_sets_aside_are_not_computed_again(texts):
    """Not with other items, not with another check or its code, and not after the artifact without them is collected."""
    texts.write("limits.py", "def far(rows, last=9):\n    return [v > last for v in rows['id'].to_pylist()]\n")
    far = "{function: limits.far, columns: id, severity: quarantine, max_fraction: 1}"
    texts.edit("pipeline.yaml", "own.shout, inputs: [texts]", f"own.shout, inputs: [texts], expect: [{far}]")
    assert loud(texts)["items"] == {"added": 200, "computed": 200, "quarantined": 190}
    assert len(texts.table("loud")) == 10
    texts.computed()
    texts.fast("gc")
    texts.rows[5] = (5, "edited")
    texts.save()
    assert loud(texts)["items"] == {"changed": 1, "unchanged": 199, "computed": 1, "quarantined": 190}
    assert texts.computed() == ["edited"]
    texts.edit("limits.py", "last=9", "last=99")
    assert loud(texts)["items"] == {"unchanged": 200, "computed": 0, "quarantined": 100}
    assert [r["id"] for r in texts.table("loud")] == list(range(100))
    texts.edit("pipeline.yaml", f", expect: [{far}]", "")
    assert loud(texts)["items"] == {"unchanged": 200, "computed": 0}
    assert len(texts.table("loud")) == 200
    assert texts.computed() == []


def test_a_check_sets_rows_aside_beside_items_that_failed(texts):
    texts.save({1: (1, "a"), 2: (2, "bad"), 3: (3, "c")})
    texts.edit(
        "pipeline.yaml",
        "own.shout, inputs: [texts]",
        "own.shout, inputs: [texts], params: {on_error: quarantine, max_fraction: 1},"
        " expect: [{range: {column: id, max: 2}, severity: quarantine, max_fraction: 1}]",
    )
    assert loud(texts)["outcome"] == "ran"
    assert [r["id"] for r in texts.table("loud")] == [1]
    aside = [json.loads(line) for line in texts.fast("quarantine", "show", "loud", "--json").out.splitlines()]
    assert [(r["id"], r["_error"]) for r in aside] == [(2, "ValueError: a bad text"), (3, "range(id)")]


def test_retry_computes_failed_items_again_and_no_others(texts):
    """What made them fail may be outside: a service, a file that was locked. What reads them follows."""
    texts.write(
        "pipeline.yaml",
        texts.read("pipeline.yaml")
        + "  many: {transform: tabular.sql, params: {sql: select count(*) as n from loud}}\n",
    )
    texts.edit("own.py", "if any(", "if not os.path.exists('mended') and any(")
    texts.edit(
        "pipeline.yaml", "own.shout, inputs: [texts]", "own.shout, inputs: [texts], params: {on_error: quarantine}"
    )
    texts.rows[7] = (7, "a bad one")
    texts.save()
    assert texts.go()["loud"]["items"]["failed"] == 1
    assert texts.go()["loud"]["outcome"] == "fresh"
    texts.computed()
    again = {t["task"]: t for t in texts.fast("retry", "--json").json()["tasks"]}
    assert {task: told["outcome"] for task, told in again.items()} == {"loud": "ran", "many": "fresh"}
    assert again["loud"]["reasons"] == ["items that failed are tried again"]
    assert again["loud"]["items"] == {"unchanged": 200, "computed": 1, "failed": 1}
    texts.write("mended", "")
    texts.computed()
    again = {t["task"]: t for t in texts.fast("retry", "--json").json()["tasks"]}
    assert again["loud"]["items"] == {"unchanged": 200, "computed": 1}
    assert (again["many"]["outcome"], texts.table("many")) == ("ran", [{"n": 200}])
    assert texts.computed() == ["a bad one"]
    assert len(texts.table("loud")) == 200
    assert texts.go()["loud"]["outcome"] == "fresh"
    assert texts.fast("retry").code == 2


def test_a_call_gets_no_more_than_its_bytes_and_a_larger_item_comes_alone(texts):
    """Memory is bounded by one batch: small texts do not wait for, or with, one that is larger than all of them."""
    texts.edit("own.py", "batch_rows=50))", "batch_rows=50, batch_bytes=3000))")
    texts.edit(
        "own.py",
        "    note(batch)\n    time",
        """\
    with open("calls.txt", "a") as f:
        f.write(f"{batch.num_rows} {batch.nbytes}\\n")
    note(batch)
    time""",
    )
    texts.rows[100] = (0, "huge " * 10_000)
    texts.save()
    assert loud(texts)["items"] == {"added": 200, "computed": 200}
    calls = [tuple(map(int, line.split())) for line in texts.read("calls.txt").splitlines()]
    assert sum(rows for rows, _ in calls) == 200
    assert [size for rows, size in calls if rows == 1 and size > 3000] == [50_000 + 4]
    assert all(size <= 3008 for rows, size in calls if rows > 1)
    assert len(calls) < 30, "and they are not cut finer than that"
    assert texts.table("loud")[100]["loud"] == "HUGE " * 10_000 + "!"
