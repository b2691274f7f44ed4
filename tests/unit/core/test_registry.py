"""Names of modules and of transforms: what is refused, and where the error points."""

from __future__ import annotations

import pytest

from tests.harness import Project

TASK = "  {0}: {{transform: python.run, params: {{function: '{1}', args: {{t: {0}.txt}}, outputs: [{0}.txt]}}}}\n"
FUNCTION = "\n\ndef f(t):\n    open(t, 'w').close()\n"


@pytest.fixture
def p(tmp_path) -> Project:
    return Project(tmp_path)


def test_two_modules_of_one_name_are_refused_by_validate(p: Project) -> None:
    """Python would give the second function the first one's helper."""
    for x in ("a", "b"):
        p.write(f"{x}/helper.py", f"V = {x!r}\n")
        p.write(f"{x}/t{x}.py", f"import helper{FUNCTION}")
    p.tasks(TASK.format("a", "./a/ta.py:f") + TASK.format("b", "./b/tb.py:f"))
    done = p.fast("validate")
    assert done.code == 3
    assert done.err == (
        "pipeline.yaml:5:49: error: two files of the project are modules called 'helper': a/helper.py and b/helper.py\n"
        "   5 |   b: {transform: python.run, params: {function: './b/tb.py:f', args: {t: b.txt}, outputs: [b.txt]}}\n"
        "     |                                                 ^\n"
        "help: rename one\n"
    )


def test_two_imports_of_one_name_are_refused(p: Project) -> None:
    for x in ("a", "b"):
        p.write(f"{x}/helper.py", f"V = {x!r}\n")
        p.write(f"{x}/own.py", "import helper\n")
    p.write("pipeline.yaml", "version: 1\nname: p\nimports: [./a/own.py, ./b/own.py]\ntasks: {}\n")
    done = p.fast("validate")
    assert done.code == 3
    assert "pipeline.yaml:3:23: error: two files of the project are modules called 'helper'" in done.err


def test_a_neighbour_that_hides_an_outside_module_is_refused(p: Project) -> None:
    """The folder of `b` is searched for the imports of `a` too."""
    p.write("a/ta.py", f"import yaml{FUNCTION}")
    p.write("b/tb.py", FUNCTION)
    p.write("b/yaml.py", "")
    p.tasks(TASK.format("a", "./a/ta.py:f") + TASK.format("b", "./b/tb.py:f"))
    done = p.fast("validate")
    assert done.code == 3
    assert "pipeline.yaml:5:49: error: 'b/yaml.py' would be imported in place of the module 'yaml'" in done.err


NAMES = [
    ("json.py", "json", "a module of Python's standard library"),
    ("random.py", "random", "a module of Python's standard library"),
    ("pydantic/__init__.py", "pydantic", "the installed package 'pydantic'"),
]


@pytest.mark.parametrize(("file", "name", "where"), NAMES)
def test_a_module_named_like_one_from_outside_is_refused(p: Project, file: str, name: str, where: str) -> None:
    """Which of the two Python takes depends on what was imported before."""
    p.write(file, "V = 1\n")
    p.write("steps.py", f"import {name}{FUNCTION}")
    p.tasks(TASK.format("a", "steps:f"))
    done = p.fast("validate")
    assert done.code == 3
    assert (
        f"pipeline.yaml:4:49: error: '{file}' is named like {where}, which may be imported in its place\n" in done.err
    )
    assert "help: rename it: a module of the project needs a name of its own\n" in done.err


def test_the_function_itself_may_not_stand_in_such_a_module(p: Project) -> None:
    p.write("random.py", FUNCTION)
    p.tasks(TASK.format("a", "./random.py:f"))
    done = p.fast("validate")
    assert done.code == 3
    assert "pipeline.yaml:4:49: error: 'random.py' is named like a module of Python's standard library" in done.err


def test_a_plain_folder_hides_nothing(p: Project) -> None:
    """A folder without `__init__.py` comes after every module of its name."""
    p.write("json/data.txt", "")
    p.write("code/steps.py", f"import json{FUNCTION}")
    p.tasks(TASK.format("a", "./code/steps.py:f"))
    assert p.run() == {"a": "ran"}


def test_code_of_an_installed_project_is_followed(p: Project) -> None:
    """A folder of the project that is on `sys.path` by itself, as `src` of an editable installation is."""
    p.write("src/own_lib/__init__.py", "V = 'one'\n")
    p.write("steps.py", "from own_lib import V\n\n\ndef f(t):\n    with open(t, 'w') as file:\n        file.write(V)\n")
    p.tasks(TASK.format("a", "steps:f"))
    env = {"PYTHONPATH": str(p.root / "src")}
    assert p.mmetl("run", "--json", env=env).outcomes() == {"a": "ran"}
    p.edit("src/own_lib/__init__.py", "one", "two")
    assert p.mmetl("run", "--json", env=env).outcomes() == {"a": "ran"}
    assert p.read("a.txt") == "two"


def own(p: Project, name: str, path: str = "./own.py") -> None:
    p.write(
        "own.py", f"from mmetl import register_transform\n\n\n@register_transform('{name}')\ndef late(inputs): ...\n"
    )
    p.write("pipeline.yaml", f"version: 1\nname: p\nimports: [{path}]\ntasks: {{}}\n")


@pytest.mark.parametrize("name", ["late", "local.", "local late", ""])
def test_a_transform_needs_two_words(p: Project, name: str) -> None:
    own(p, name)
    done = p.fast("validate")
    assert done.code == 3
    assert done.err == (
        f"pipeline.yaml:3:11: error: '{name}' cannot be the name of a transform\n"
        "   3 | imports: [./own.py]\n"
        "     |           ^\n"
        "help: join two words by a dot, such as 'local.late'\n"
    )


@pytest.mark.parametrize("path", ["./own.py", "own.py", "own"])
def test_an_import_is_a_path_or_a_dotted_name(p: Project, path: str) -> None:
    own(p, "local.late", path)
    assert p.fast("validate").code == 0


PLUG_IN = """\
from pydantic import BaseModel, ConfigDict
from mmetl.contracts.transform import Declaration


class Params(BaseModel):
    path: str


class Loose(Params):
    model_config = ConfigDict(extra="ignore")


class Touch:
    name, version, params, packages, code = "acme.touch", 1, Params, (), ()

    def declare(self, params, scope):
        return Declaration(outputs=(params.path,))

    def run(self, job):
        job.outputs[0].write_text("there")


TOUCH = Touch()
LOOSE = Touch()
LOOSE.params = Loose
"""


def test_a_plug_in_by_an_entry_point(p: Project) -> None:
    """Unknown params are told whatever its model says of them by default; what its author has chosen holds."""
    p.write("site/acme.py", PLUG_IN)
    p.write("site/acme-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    points = "[mmetl.transforms]\nacme.touch = acme:TOUCH\nacme.loose = acme:LOOSE\n"
    p.write("site/acme-1.dist-info/entry_points.txt", points)
    env = {"PYTHONPATH": str(p.root / "site")}
    p.tasks("  a: {transform: acme.touch, params: {path: a.txt}}\n")
    assert p.mmetl("run", env=env).code == 0
    assert p.read("a.txt") == "there"
    p.tasks("  a: {transform: acme.touch, params: {path: a.txt, pathh: b}}\n")
    done = p.mmetl("validate", env=env)
    assert done.code == 3
    assert "pipeline.yaml:4:52: error: task 'a' has no param 'pathh'\n" in done.err
    assert "help: did you mean 'path'? 'acme.touch' takes: path\n" in done.err
    p.tasks("  a: {transform: acme.loose, params: {path: a.txt, pathh: b}}\n")
    assert p.mmetl("validate", env=env).code == 0
