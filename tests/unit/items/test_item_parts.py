"""What is known of items is taken over only where it holds: on the same basis, while its parts are there, in the bucket of today."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sqlite3

import pytest

from mmetl.core.looking.find import find_task
from mmetl.core.project import Project as Opened

OWN = """

@register_transform("own.kind", items=Items(reads="place", makes={"kind": "string"}))
def kind(batch):
    return {"kind": [str(batch.column("place").type)] * len(batch)}


@register_transform("own.mended", items=Items(reads="text", makes={"loud": "string"}, batch_rows=50))
def mended(batch):
    note(batch)
    texts = batch.column("text").to_pylist()
    if any("bad" in t for t in texts) and not os.path.exists("mended"):
        raise ValueError("a bad text")
    return {"loud": [t.upper() for t in texts]}


class Based(BaseModel):
    suffix: int = 1


based = register_transform("own.based", version=1, packages=["pyarrow"], items=Items(reads="text", makes={"loud": "string"}, batch_rows=50))


@based
def based_on(batch, params: Based):
    return mended(batch)
"""


@pytest.fixture
def own(texts):
    """The texts, and two more transforms."""
    texts.write("own.py", texts.read("own.py") + OWN)
    return texts


def manifest(texts, task):
    opened = Opened.open(texts.root)
    plan, name = find_task(opened, task)
    return opened.artifact(plan, name)[0]


def test_another_type_of_what_is_read_makes_all_items_new(own):
    """Numbers that are written alike are other numbers."""
    own.edit("pipeline.yaml", "loud: {transform: own.shout", "loud: {transform: own.kind")
    for text, arrow in (("BIGINT", "int64"), ("UBIGINT", "uint64")):
        own.edit("pipeline.yaml", "params: {path: texts.csv", f"params: {{types: {{place: {text}}}, path: texts.csv")
        own.go("--select", "+loud")
        assert {r["kind"] for r in own.table("loud")} == {arrow}
        own.edit("pipeline.yaml", f"types: {{place: {text}}}, ", "")


@pytest.mark.parametrize("more", ["", ", drop: [place]"], ids=["the same columns", "others"])
def test_what_a_failed_run_has_finished_is_taken_over_as_it_is_wanted_now(own, more):
    """Neither with the columns of then, nor with the failures, and whatever was collected in between."""
    setting = "on_error: quarantine, max_fraction: 0.001"
    own.edit("pipeline.yaml", "own.shout, inputs: [texts]", f"own.mended, inputs: [texts], params: {{{setting}}}")
    own.rows[7] = (0, "bad")
    own.save()
    assert own.go("--select", "+loud")["loud"]["outcome"] == "failed"
    assert len(own.computed()) > 200  # the batch with the bad one was halved
    assert own.fast("gc").code == 0
    own.edit("pipeline.yaml", setting, setting + more)
    own.write("mended", "")
    done = own.go("--select", "+loud")["loud"]
    assert (done["outcome"], own.computed()) == ("ran", ["bad"])
    found = manifest(own, "loud")
    assert len(found.parts) > 1
    with contextlib.closing(sqlite3.connect(own.root / ".mmetl/state.db")) as db:
        assert db.execute("select * from unfinished").fetchall() == []
    wanted = [{"id": i, "place": p, "text": t, "loud": t.upper()} for i, (p, t) in own.rows.items()]
    assert own.table("loud") == [{k: v for k, v in row.items() if not (more and k == "place")} for row in wanted]
    own.go("--force")
    assert manifest(own, "loud") == found


CHANGES = {
    "params": lambda own: own.edit("pipeline.yaml", "env: [MODE]", "env: [MODE], params: {suffix: 2}"),
    "environment": lambda own: own.setenv("MODE", "2"),
    "version": lambda own: own.edit("own.py", "version=1", "version=2"),
    "a package": lambda own: own.setattr(importlib.metadata, "version", lambda _: "9.9"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_failed_run_has_finished_holds_on_its_basis_only(own, monkeypatch, change):
    """Whatever else decides: where that is another one, all items are new."""
    own.setenv, own.setattr = monkeypatch.setenv, monkeypatch.setattr
    own.setenv("MODE", "1")
    own.edit("pipeline.yaml", "own.shout, inputs: [texts]", "own.based, inputs: [texts], env: [MODE]")
    own.rows[7] = (0, "bad")
    own.save()
    assert own.go("--select", "+loud")["loud"]["outcome"] == "failed"
    assert own.computed()
    change(own)
    own.edit("pipeline.yaml", "version: 1", "version: 1  # planned anew")
    own.write("mended", "")
    own.go("--select", "+loud")
    assert len(own.computed()) == 200


@pytest.mark.parametrize("lost", ["rows", "ledgers"])
def test_what_is_lost_is_computed_again(own, lost):
    """Also where the part that it was made of stays as it is, and where an item is looked for in it."""
    own.go("--select", "+loud")
    own.computed()
    rows = {p.fingerprint for p in manifest(own, "loud").parts}
    kept = {p.fingerprint for p in manifest(own, "texts").parts}
    for part in (own.root / ".mmetl/parts").glob("*/*"):
        if part.name not in kept and (part.name in rows) == (lost == "rows"):
            part.unlink()
    own.rows[5] = (5, "edited")
    own.save()
    assert own.go("--select", "+loud")["loud"]["outcome"] == "ran"
    assert sorted(own.computed()) == sorted(text for _, text in own.rows.values())
    assert [r["loud"] for r in own.table("loud")] == [f"{text.upper()}!" for _, text in own.rows.values()]


def test_rows_that_come_to_another_bucket(own):
    """A table that grew is cut anew around a part; what was made of it is the same, and lies where it would lie from scratch."""
    own.save({1: (0, "alone")})
    own.go("--select", "+loud")
    own.rows[2] = (0, "x" * 300_000)
    own.save()
    own.go("--select", "+loud")
    found = manifest(own, "loud")
    assert len({p.bucket for p in found.parts}) == 2
    assert own.computed() == ["alone", "x" * 300_000]
    own.go("--force")
    assert manifest(own, "loud") == found
