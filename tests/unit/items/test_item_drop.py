"""`mmetl quarantine drop`: items that failed are forgotten until they change."""

from __future__ import annotations

import pytest

ASIDE = "own.shout, inputs: [texts], params: {on_error: quarantine, max_fraction: 1}"


@pytest.fixture
def failing(texts):
    """Three of 200 texts fail, for a reason that can be taken away from outside."""
    texts.edit("pipeline.yaml", "own.shout, inputs: [texts]", ASIDE)
    texts.edit("own.py", "if any(", "if not os.path.exists('mended') and any(")
    for i in (3, 7, 9):
        texts.rows[i] = (i, f"bad {i}")
    texts.save()
    assert texts.go()["loud"]["items"]["failed"] == 3
    texts.computed()
    return texts


def loud(texts):
    return texts.go("--select", "+loud")["loud"]


def test_they_are_listed_and_tried_no_more(failing):
    assert failing.fast("quarantine", "drop", "loud").out == "p:loud: 3 items forgotten until changed\n"
    assert failing.fast("quarantine", "ls").out == ""
    assert "set aside" not in failing.fast("status").out
    assert loud(failing)["outcome"] == "fresh"
    assert failing.fast("retry").code == 2, "there is nothing to retry"
    failing.fast("gc")
    failing.rows[20] = (20, "new")
    failing.save()
    assert loud(failing)["items"] == {"changed": 1, "unchanged": 199, "computed": 1}
    assert failing.computed() == ["new"]
    assert len(failing.table("loud")) == 197
    assert failing.fast("quarantine", "drop", "loud").err == "no row of 'loud' is set aside\n"


def test_one_that_changes_is_tried_again(failing):
    failing.fast("quarantine", "drop", "loud")
    failing.rows[3] = (3, "good")
    failing.rows[7] = (7, "bad as before")
    failing.save()
    assert loud(failing)["items"] == {"changed": 2, "unchanged": 198, "computed": 2, "failed": 1}
    assert len(failing.table("loud")) == 198
    assert "bad as before" not in failing.fast("show", "loud", "--json").out


def test_another_recipe_tries_all_again(failing):
    failing.fast("quarantine", "drop", "loud")
    failing.edit("own.py", 'SUFFIX = "!"', 'SUFFIX = "?"')
    assert loud(failing)["items"]["failed"] == 3


def test_a_restored_output_has_forgotten_them_too(failing):
    failing.fast("quarantine", "drop", "loud")
    failing.rows[20] = (20, "new")
    failing.save()
    loud(failing)
    failing.rows[20] = (20 % 7, "text number 20")
    failing.save()
    assert loud(failing)["outcome"] == "restored"
    assert failing.fast("quarantine", "ls").out == ""


def test_what_comes_of_it_is_the_same_when_the_buckets_are_cut_anew(failing):
    failing.fast("quarantine", "drop", "loud")
    failing.save(failing.rows | {i: (0, f"text {i} " + "x" * 300) for i in range(300, 3000)})
    assert loud(failing)["items"] == {"added": 2700, "unchanged": 200, "computed": 2700}
    assert len(failing.table("loud")) == 2897


def test_rows_that_a_check_sets_aside_stay(texts):
    texts.save({1: (1, "a"), 2: (2, "bad"), 3: (3, "c")})
    check = "expect: [{range: {column: id, max: 2}, severity: quarantine, max_fraction: 1}]"
    texts.edit("pipeline.yaml", "own.shout, inputs: [texts]", f"{ASIDE}, {check}")
    loud(texts)
    assert texts.fast("quarantine", "drop", "loud").out == "p:loud: 1 item forgotten until changed\n"
    shown = texts.fast("quarantine", "show", "loud").out
    assert "range(id)" in shown
    assert "a bad text" not in shown
    done = texts.fast("quarantine", "drop", "loud")
    assert done.code == 2
    assert "the rows of 'loud' that are set aside are no items that failed" in done.err
