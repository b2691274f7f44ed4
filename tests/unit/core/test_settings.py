"""`mmetl.yml`: the root that it names is the project's, however that is written and wherever a command is started."""

from __future__ import annotations

import pytest
from harness import Project

WRITTEN = {
    "plain": "version: 1\nroot: sub\n",
    "spaced": "version: 1\nroot : sub\n",
    "quoted": 'version: 1\n"root": sub\n',
    "JSON": '{"version": 1, "root": "sub"}\n',
    "explicit key": "version: 1\n? root\n: sub\n",
    "merged": "version: 1\n<<: {root: sub}\n",
    "interpolated": "version: 1\nroot: ${NOT_SET:-sub}\n",
    "included": "!include settings.yaml\n",
}
PIPELINE = (
    "version: 1\nname: p\ntasks: {a: {transform: shell.run, params: {command: pwd > out.txt, outputs: [out.txt]}}}\n"
)


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN.keys())
def test_root(empty: Project, text: str) -> None:
    """Previously only a line that began with `root:` was seen: else all paths were relative to another folder."""
    empty.write("mmetl.yml", text)
    empty.write("settings.yaml", "version: 1\nroot: sub\n")
    empty.write("sub/pipelines/p.yaml", PIPELINE)
    assert empty.fast("run").code == 0
    assert (empty.root / "sub/out.txt").read_text() == f"{empty.root / 'sub'}\n"
    assert not (empty.root / ".mmetl").exists()


def test_settings_count_inside_of_the_root(empty: Project) -> None:
    """Previously a command that was started there found the state, and not the project file above."""
    empty.write("mmetl.yml", "version: 1\nroot: sub\npipelines: [flows/*.yaml]\n")
    empty.write("sub/flows/p.yaml", PIPELINE)
    assert empty.fast("run").code == 0
    for folder in ("sub", "sub/flows"):
        assert empty.mmetl("dry-run", cwd=folder).out == "p: 0 of 1 task have work to do or wait for it\n"


def test_a_project_file_above_that_names_another_root(empty: Project) -> None:
    """It has nothing to say about a project of its own, nor has one that is wrong."""
    empty.write("sub/dodo.py", "")
    empty.write("sub/p.yaml", PIPELINE)
    for text in (
        "version: 1\nroot: other\npipelines: [x.yaml]\n",
        "version: 1\npipelines: [x.yaml]\n",
        "root: [sub]\n",
    ):
        empty.write("mmetl.yml", text)
        assert empty.mmetl("validate", cwd="sub").out == "p: valid, 1 task\n"


ERRORS = {
    "outside": (
        "version: 1\npipelines: [x.yaml, ../p.yaml]\ntests: [/x/*.yaml]\n",
        """\
mmetl.yml:2:21: error: 'pipelines[1]' is '../p.yaml', expected a path or glob inside of the project's root, relative to it
   2 | pipelines: [x.yaml, ../p.yaml]
     |                     ^

mmetl.yml:3:9: error: 'tests[0]' is '/x/*.yaml', expected a path or glob inside of the project's root, relative to it
   3 | tests: [/x/*.yaml]
     |         ^
""",
    ),
    "true is no version": (
        "version: true\n",
        """\
mmetl.yml:1:10: error: 'version' is true, expected a number
   1 | version: true
     |          ^
help: this mmETL reads version 1
""",
    ),
}


@pytest.mark.parametrize(("text", "told"), ERRORS.values(), ids=ERRORS.keys())
def test_errors(empty: Project, text: str, told: str) -> None:
    empty.write("mmetl.yml", text)
    done = empty.fast("validate")
    assert (done.code, done.err) == (3, told)
