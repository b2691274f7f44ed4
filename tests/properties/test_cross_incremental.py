"""What mentions mean, which records are one, and which rows are alike, after any edits and kills: as from scratch, all rows and all bytes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from harness import Project
from hypothesis import given, settings
from hypothesis import strategies as st
from test_items_incremental import compare_with_scratch

PIPELINE = """\
version: 1
name: p
tasks:
  texts: {{transform: tabular.read, params: {{path: people.csv, types: {{id: bigint, name: varchar, born: int}}}}, key: [id]}}
  mentions: {{transform: tabular.read, params: {{path: mentions.csv, types: {{id: bigint, text: varchar}}}}, key: [id]}}
  exceptions: {{transform: tabular.read, params: {{path: exceptions.csv}}}}
  linked:
    transform: cross.link_entities
    inputs: [mentions, texts]
    params: {{threshold: {threshold}, ignore_case: {case}}}
  persons:
    transform: cross.resolve_entities
    inputs: {{records: texts, exceptions: exceptions}}
    params:
      compare: {{name: words, born: {{measure: number, scale: 5, weight: 0.5}}}}
      block: [{{name: {block}}}, {{name: sound}}]
      threshold: {threshold}
      ignore_case: {case}
      largest_block: {largest}
  alike:
    transform: cross.similarity_join
    inputs: [mentions, texts]
    params: {{column: text, other_column: name, measure: {measure}, threshold: {threshold}, ignore_case: {case}, k: {most}}}
  vectors: {{transform: tabular.sql, key: [id], params: {{sql: "select id, [id % 7, born - 1900, coalesce(length(name), 0) % 5]::float[3] as v from texts"}}}}
  near: {{transform: cross.similarity_join, inputs: [vectors], params: {{column: v, measure: euclidean, threshold: {threshold}}}}}
"""
PARAMS = {
    "threshold": ["0.9", "0.8", "0.95"],
    "case": ["true", "false"],
    "block": ["words", "prefix", "exact"],
    "largest": ["300", "5"],
    "measure": ["edit", "jaccard"],
    "most": ["2", "1"],
}
FIRST, LAST = (
    ["Ada", "Anna", "ANNA", "Bob", "Rob", "Mary"],
    ["Lee", "Leigh", "Lovelace", "Lovelase", "Smith", "Smyth", "de Boer"],
)
NAME = st.builds("{} {}".format, st.sampled_from(FIRST), st.sampled_from(LAST))
ID = st.integers(0, 40)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), ID, st.none() | NAME, st.integers(1900, 1903)),
        st.tuples(st.just("many"), st.integers(41, 90), st.integers(1, 120), NAME),
        st.tuples(st.just("drop"), ID, st.integers(1, 20)),
        st.tuples(st.just("rename"), ID, st.integers(0, 200)),
        st.tuples(st.just("say"), ID, NAME),
        st.tuples(st.just("decide"), ID, ID, st.booleans()),
        st.tuples(st.just("undo"), ID),
        st.tuples(st.just("kill"), st.floats(0.3, 1.5)),
        *(st.tuples(st.just(name), st.sampled_from(values)) for name, values in PARAMS.items()),
    ),
    min_size=1,
    max_size=5,
)


class Register:
    """What the sources say."""

    def __init__(self) -> None:
        names = [f"{FIRST[n % 6]} {LAST[n % 7]}" for n in range(30)]
        self.people: dict[int, tuple[str | None, int]] = {n: (name, 1900 + n % 3) for n, name in enumerate(names)}
        self.mentions: dict[int, str] = {n: name.replace("e", "a", 1) for n, name in enumerate(names)}
        self.decided: dict[int, tuple[int, bool]] = {}
        self.params = {name: values[0] for name, values in PARAMS.items()}

    def edit(self, kind: str, a: Any, *more: Any) -> None:
        """Change something."""
        if kind == "put":
            self.people[a] = more
        elif kind == "many":
            self.people.update({a + i: (f"{more[1]} {i % 9}", 1900 + i % 3) for i in range(more[0])})
        elif kind == "drop":
            for i in range(a, a + more[0]):
                self.people.pop(i, None)
        elif kind == "rename" and a in self.people:
            self.people[more[0]] = self.people.pop(a)
        elif kind == "say":
            self.mentions[a] = more[0]
        elif kind == "decide" and not self.contradicts(a, *more):
            self.decided[a] = more
        elif kind == "undo":
            self.decided.pop(a, None)
        elif kind in PARAMS:
            self.params[kind] = a

    def contradicts(self, a: int, b: int, same: bool) -> bool:
        """Tell whether two may be said to be apart by one row and one by others; said of few records, that is seldom."""
        used = {a, b}
        for one, (other, _) in self.decided.items():
            if used & {one, other}:
                return True
        return a == b and not same

    def save(self, project: Project) -> None:
        """Write the sources."""
        people = sorted({999: ("Last", 1900), **self.people}.items())
        project.write(
            "people.csv", "id,name,born\n" + "".join(f"{n},{name or ''},{born}\n" for n, (name, born) in people)
        )
        project.write(
            "mentions.csv", "id,text\n" + "".join(f"{n},{text}\n" for n, text in sorted(self.mentions.items()))
        )
        decided = ((a, b, str(same).lower()) for a, (b, same) in sorted(self.decided.items()))
        project.write("exceptions.csv", "id,other_id,same\n" + "".join(f"{a},{b},{same}\n" for a, b, same in decided))
        project.write("pipeline.yaml", PIPELINE.format(**self.params))


@settings(max_examples=6, deadline=None)
@given(st.lists(EDITS, min_size=1, max_size=3))
def test_any_edits_and_kills_of_names(steps: list[list[Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project, register = Project(Path(folder) / "a"), Register()
        register.save(project)
        project.run()
        for edits in steps:
            for edit in edits:
                register.edit(*edit)
                if edit[0] == "kill":
                    register.save(project)
                    run = project.start("run")
                    time.sleep(edit[1])
                    run.kill()
                    run.communicate()
            register.save(project)
            allowed = [word for task in ("texts", "exceptions") for word in ("--allow-shrink", task)]
            done = project.fast("run", "--json", *allowed)
            assert done.code == 0, done.err + done.out
            assert set(project.run().values()) == {"fresh"}
        compare_with_scratch(project, Project(Path(folder) / "b"), ("linked", "persons", "alike"), ["near"])
