"""A pipeline must not write what it is made of."""

from __future__ import annotations

import pytest
from harness import Project

TASK = "  a: {{transform: shell.run, params: {{command: 'true', outputs: [{path}]}}}}\n"
FUNCTION = "  f: {transform: python.run, params: {function: 'lib.fn:go', outputs: [o.txt]}}\n"


@pytest.mark.parametrize(
    "path",
    ["pipeline.yaml", "here/pipeline.yaml", "vars.yml", "mmetl.yml", "dodo.py", "own.py", "lib/fn.py", "lib/deep.py"],
)
def test_output_is_a_file_of_the_pipeline(empty: Project, path: str) -> None:
    (empty.root / "here").symlink_to(".")
    empty.write("vars.yml", "x: 1\n")
    empty.write("own.py", "")
    empty.write("lib/fn.py", "from lib.deep import go_on\ndef go():\n    go_on()\n")
    empty.write("lib/deep.py", "def go_on():\n    pass\n")
    head = "version: 1\nname: p\nimports: [./own.py]\nvars: !include vars.yml\ntasks:\n"
    empty.write("pipeline.yaml", head + FUNCTION + TASK.format(path=path))
    done = empty.fast("validate")
    column = TASK.format(path="@").index("@") + 1
    assert done.code == 3
    assert done.err == (
        f"pipeline.yaml:7:{column}: error: '{path}' is a file that the pipeline is made of\n"
        f"   7 | {TASK.format(path=path).rstrip()}\n"
        f"     | {' ' * (column - 1)}^\n"
        "help: write to another path\n"
    )


def test_new_file_beside_them(empty: Project) -> None:
    empty.write("lib/fn.py", "def go():\n    pass\n")
    empty.tasks(FUNCTION + TASK.format(path="lib/out.py"))
    assert empty.fast("validate").code == 0
