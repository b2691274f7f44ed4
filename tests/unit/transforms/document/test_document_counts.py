"""What one change costs among ten thousand items: that item, and no other."""

from __future__ import annotations

import json

import pytest

ITEMS = 10_000
TASKS = {
    "document.clean": ["clean: {transform: document.clean, inputs: [texts], params: {form: NFKC, hyphens: true}}"],
    "document.deduplicate": ["kept: {transform: document.deduplicate, inputs: [texts], params: {keep: all}}"],
    "document.entities": [
        "found: {transform: document.entities, inputs: [texts], params: {names: {PERSON: [Ada Lovelace]}}}"
    ],
    "document.redact": ["redact: {transform: document.redact, inputs: [texts]}"],
}


def text(number):
    """Return a text that is like no other: those that are alike would all be compared with each other."""
    own = " ".join(f"w{number * prime % 99_991}" for prime in range(7, 60, 2))
    return f"Text {number} of ann{number}@example.com names Ada Lovelace and the number {number * 7919}: {own}."


@pytest.mark.parametrize("name", TASKS)
def test_one_edited_item_is_one_computed_item(empty, name):
    read = "texts: {transform: tabular.read, params: {path: texts.ndjson}, key: [id]}"
    empty.tasks("".join(f"  {task}\n" for task in [read, *TASKS[name]]))
    texts = [text(i) for i in range(ITEMS)]

    def run():
        empty.write("texts.ndjson", "".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in enumerate(texts)))
        done = empty.fast("run", "--json")
        assert done.code == 0, done.err
        return done.json()["tasks"][-1]

    first = run()
    assert (first["outcome"], first["items"]) == ("ran", {"added": ITEMS, "computed": ITEMS})
    texts[1234] += " It was edited by bob@example.com."
    assert run()["items"] == {"changed": 1, "unchanged": ITEMS - 1, "computed": 1}
    again = run()
    assert (again["outcome"], again.get("items", {})) == ("fresh", {})
