"""Which project code counts for a function, and which edits of it are changes."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmetl.cache.code import Code, CodeReader, FunctionInfo
from mmetl.cache.code import canonical as canonical_module
from mmetl.cache.code.canonical import canonical
from mmetl.errors import ParamError, Where

PROJECT = {
    "transforms.py": '''\
"""What the pipeline calls."""
from __future__ import annotations

import math
import helpers
from helpers import scale as s, shift
from pkg import trim
from pydantic import BaseModel

LIMIT = 10
UNUSED = 11
data = [1, 2]
TOTAL: int = LIMIT * 2


class Base:
    def size(self):
        return helpers.WIDTH


class CleanParams(BaseModel):
    """Params."""

    limit: int = 3


class Cleaner(Base):
    def clean(self, x):
        # a comment
        return x + TOTAL

    def other(self):
        return 1


def clean(inputs, params: CleanParams):
    """Clean."""
    data = 1
    width: int = s(shift(2))
    found = [trim(i) for i in inputs]
    return math.floor(width), Cleaner().clean(params.limit), found, data


def unused(x):
    return x + UNUSED


if __name__ == "__main__":
    print(clean([1], None))
''',
    "helpers.py": """\
import random
from math import floor as down

WIDTH = 3
FACTOR = 2
PAIR, REST = (1, 2), 3
random.seed(1)


def memo(f):
    return f


def step(x, by=FACTOR):
    return recurse(x - by) if x > 0 else down(x)


def recurse(x):
    return step(x)


@memo
def scale(x):
    return step(x)


def shift(x):
    return x + PAIR[0]


def unused():
    return WIDTH
""",
    "pkg/__init__.py": "from .sub import trim\nfrom . import extra\n",
    "pkg/sub.py": "EDGE = ' '\n\n\ndef trim(x):\n    return x.strip(EDGE)\n\n\ndef pad(x):\n    return EDGE + x\n",
    "pkg/extra.py": "print('extra')\nNAME = 'x'\n",
}

ENTRY = "./transforms.py:clean"

REACHED = {
    "helpers.py:<module>", "helpers.py:FACTOR", "helpers.py:PAIR", "helpers.py:WIDTH", "helpers.py:down",
    "helpers.py:memo", "helpers.py:random", "helpers.py:recurse", "helpers.py:scale", "helpers.py:shift",
    "helpers.py:step", "pkg/__init__.py:trim", "pkg/extra.py:<module>", "pkg/sub.py:EDGE", "pkg/sub.py:trim",
    "transforms.py:Base", "transforms.py:BaseModel", "transforms.py:CleanParams", "transforms.py:Cleaner",
    "transforms.py:LIMIT", "transforms.py:TOTAL", "transforms.py:clean", "transforms.py:helpers",
    "transforms.py:<module>", "transforms.py:math", "transforms.py:s", "transforms.py:shift", "transforms.py:trim",
}  # fmt: skip


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


def read(root: Path, files: dict[str, str], entry: str) -> Code:
    return CodeReader(write(root, {n: textwrap.dedent(t) for n, t in files.items()})).fingerprint(entry)


def changed(before: Code, after: Code) -> set[str]:
    keys = {*before.pieces, *after.pieces}
    return {k for k in keys if before.pieces.get(k) != after.pieces.get(k)}


def test_the_project_counts_as_far_as_it_is_reached(tmp_path):
    code = CodeReader(write(tmp_path, PROJECT)).fingerprint(ENTRY)
    assert set(code.pieces) == REACHED
    assert code.whole == {}
    assert [f for f in code.files if (tmp_path / f).exists()] == sorted(PROJECT)
    assert "math.py" in code.files, "a file that would be imported instead must void the plan"


NOTHING: set[str] = set()

EDITS = [
    # title, file, old, new, pieces that change
    ("the function", "transforms.py", "data = 1\n", "data = 2\n", {"transforms.py:clean"}),
    ("its docstring", "transforms.py", '"""Clean."""', '"""Tidy."""', NOTHING),
    ("its docstring removed", "transforms.py", '    """Clean."""\n', "", NOTHING),
    ("the module's docstring", "transforms.py", '"""What the pipeline calls."""\n', "", NOTHING),
    ("a class's docstring", "transforms.py", '"""Params."""', "'more'", NOTHING),
    ("a comment", "transforms.py", "# a comment", "# another", NOTHING),
    ("layout", "transforms.py", "return x + TOTAL", "return (x\n            + TOTAL)", NOTHING),
    ("quotes", "pkg/sub.py", "' '", '" "', NOTHING),
    ("a constant", "transforms.py", "LIMIT = 10", "LIMIT = 12", {"transforms.py:LIMIT"}),
    ("a constant's type", "transforms.py", "LIMIT = 10", "LIMIT = 10.0", {"transforms.py:LIMIT"}),
    ("a derived constant", "transforms.py", "LIMIT * 2", "LIMIT * 3", {"transforms.py:TOTAL"}),
    ("a constant's annotation", "transforms.py", "TOTAL: int", "TOTAL: float", NOTHING),
    ("a local annotation", "transforms.py", "width: int", "width: float", NOTHING),
    ("a constant nobody reads", "transforms.py", "UNUSED = 11", "UNUSED = 12", NOTHING),
    ("a constant hidden by a local name", "transforms.py", "data = [1, 2]", "data = [1]", NOTHING),
    ("a function nobody calls", "transforms.py", "x + UNUSED", "x - UNUSED", NOTHING),
    ("the main block", "transforms.py", "print(clean([1], None))", "print(2)", NOTHING),
    ("the params model", "transforms.py", "limit: int = 3", "limit: int = 4", {"transforms.py:CleanParams"}),
    ("a field's type", "transforms.py", "limit: int", "limit: float", {"transforms.py:CleanParams"}),
    ("another method of the class", "transforms.py", "return 1", "return 2", {"transforms.py:Cleaner"}),
    ("the base class", "transforms.py", "helpers.WIDTH", "-helpers.WIDTH", {"transforms.py:Base"}),
    ("what the base class reads", "helpers.py", "WIDTH = 3", "WIDTH = 4", {"helpers.py:WIDTH"}),
    ("a helper under another name", "helpers.py", "return step(x)\n\n\ndef shift", "return step(1)\n\n\ndef shift", {"helpers.py:scale"}),
    ("a helper's decorator", "helpers.py", "    return f\n", "    return lambda x: f(x)\n", {"helpers.py:memo"}),
    ("a decorator taken away", "helpers.py", "@memo\n", "", {"helpers.py:scale", "helpers.py:memo"}),
    ("a default argument", "helpers.py", "FACTOR = 2", "FACTOR = 3", {"helpers.py:FACTOR"}),
    ("a helper's helper", "helpers.py", "def recurse(x):\n    return step(x)", "def recurse(x):\n    return step(x, 3)", {"helpers.py:recurse"}),
    ("one of two names of a statement", "helpers.py", "(1, 2), 3", "(1, 3), 3", {"helpers.py:PAIR"}),
    ("a statement run on import", "helpers.py", "seed(1)", "seed(2)", {"helpers.py:<module>"}),
    ("a statement run on import taken away", "helpers.py", "random.seed(1)\n", "", {"helpers.py:<module>", "helpers.py:random", "transforms.py:<module>"}),
    ("another outside function", "helpers.py", "floor as down", "ceil as down", {"helpers.py:down"}),
    ("an import nobody uses", "helpers.py", "import random\n", "import random\nimport json\n", NOTHING),
    ("imports in another order", "transforms.py", "import math\nimport helpers\n", "import helpers\nimport math\n", NOTHING),
    ("imports swapped", "transforms.py", "scale as s, shift", "scale as shift, shift as s", {"transforms.py:s", "transforms.py:shift"}),
    ("behind a re-export", "pkg/sub.py", "x.strip(EDGE)", "x.rstrip(EDGE)", {"pkg/sub.py:trim"}),
    ("a constant behind a re-export", "pkg/sub.py", "EDGE = ' '", "EDGE = '-'", {"pkg/sub.py:EDGE"}),
    ("a neighbour behind a re-export", "pkg/sub.py", "EDGE + x", "x + EDGE", NOTHING),
    ("a module imported for what it does", "pkg/extra.py", "print('extra')", "print('more')", {"pkg/extra.py:<module>"}),
    ("a name of such a module", "pkg/extra.py", "NAME = 'x'", "NAME = 'y'", NOTHING),
    ("a constant bound again", "transforms.py", "UNUSED = 11", "UNUSED = 11\nLIMIT += 1", {"transforms.py:LIMIT"}),
    ("a constant changed in place", "helpers.py", "FACTOR = 2", "FACTOR = 2\nPAIR.append(3)", {"helpers.py:<module>"}),
    ("a function that rebinds a constant", "helpers.py", "def unused():\n", "def unused():\n    global WIDTH\n", {"helpers.py:unused"}),
    ("a new function nobody calls", "helpers.py", "def shift(", "def new():\n    pass\n\n\ndef shift(", NOTHING),
    ("a builtin replaced", "pkg/sub.py", "EDGE = ' '", "EDGE = ' '\nstr = 1", NOTHING),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "pieces"), [pytest.param(*c[1:], id=c[0]) for c in EDITS])
def test_an_edit_changes_only_the_pieces_that_it_touches(tmp_path, file, old, new, pieces):
    before = CodeReader(write(tmp_path, PROJECT)).fingerprint(ENTRY)
    text = PROJECT[file]
    assert text.count(old) >= 1
    write(tmp_path, {file: text.replace(old, new, 1)})
    after = CodeReader(tmp_path).fingerprint(ENTRY)
    assert changed(before, after) == pieces
    assert (before.fingerprint != after.fingerprint) == bool(pieces)


T = "transforms.py"

SHAPES = [
    # title, files, pieces of transforms:f, why what counts whole
    ("a constant expression", {T: "A = 1\ndef f(): return A"}, {"A", "f"}, {}),
    ("partial", {T: "from functools import partial\ndef g(x): return x\nN = 2\nf = partial(g, x=N)"}, {"N", "f", "g", "partial"}, {}),
    ("a factory", {T: "def make():\n  def inner(): return K\n  return inner\nK = 1\nf = make()"}, {"K", "f", "make"}, {}),
    ("a lambda", {T: "K = 1\nf = lambda x, K=K: x + K"}, {"K", "f"}, {}),
    ("conditional definition", {T: "import sys\nif sys.platform == 'x':\n  def f(): return 1\nelse:\n  def f(): return A\nA = 1"}, {"A", "f", "sys"}, {}),
    ("guarded import", {T: "try:\n  import ujson as json\nexcept ImportError:\n  import json\ndef f(): return json.dumps(1)"}, {"f", "json"}, {}),
    ("definition in main's else", {T: "if __name__ == '__main__':\n  pass\nelse:\n  A = 2\ndef f(): return A"}, {"A", "f"}, {}),
    ("type-checking import", {T: "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  from h import A\ndef f(): return 1", "h.py": "print(1)"}, {"f"}, {}),
    ("import in a function", {T: "def f():\n  from h import a as b\n  return b()", "h.py": "def a(): pass\ndef c(): pass"}, {"f", "h.py:a"}, {}),
    ("relative import, namespace package", {T: "import n.m\ndef f(): return n.m.a()", "n/m.py": "from .o import a", "n/o.py": "def a(): pass"}, {"f", "n", "n/m.py:a", "n/o.py:a"}, {}),
    ("attribute chain through a package", {T: "import p.q as r\ndef f(): return r.s.a()", "p/__init__.py": "", "p/q/__init__.py": "from . import s", "p/q/s.py": "def a(): pass"}, {"f", "r", "p/q/s.py:a"}, {}),
    ("import cycle", {T: "import h\ndef f(): return h.g()\ndef b(): return 1", "h.py": "import transforms\ndef g(): return transforms.b()"}, {"f", "b", "h", "h.py:g", "h.py:transforms"}, {}),
    ("re-export cycle", {T: "from h import x\ndef f(): return x", "h.py": "from transforms import x"}, {"f", "x", "h.py:x"}, {}),
    ("text annotation", {T: "class P: pass\ndef f(p: 'list[P]'): return p"}, {"f", "P"}, {}),
    ("comprehension variable", {T: "x = 1\ny = 2\ndef f(): return [x for x in range(y)]"}, {"f", "y"}, {}),
    ("first iterable of a comprehension", {T: "x = [1]\ndef f(): return [x for x in x]"}, {"f", "x"}, {}),
    ("name hidden in a nested function only", {T: "x = 1\ndef f():\n  def g(x): return x\n  return g(x)"}, {"f", "x"}, {}),
    ("class attribute does not hide", {T: "x = 1\nclass C:\n  x = 2\n  def m(self): return x\ndef f(): return C()"}, {"C", "f", "x"}, {}),
    ("global of another function", {T: "A = 1\nB = 2\ndef set_():\n  global A\n  A = B\ndef f(): return A"}, {"A", "B", "f", "set_"}, {}),
    ("match", {T: "import e\ndef f(x):\n  match x:\n    case e.ONE: return 1\n    case [a, *b]: return a", "e.py": "ONE = 1\nTWO = 2\na = 3"}, {"f", "e", "e.py:ONE"}, {}),
    ("mmetl itself", {T: "from mmetl import register_transform\n@register_transform('a.b')\ndef f(): pass", "mmetl/__init__.py": "register_transform = 1"}, {"f", "register_transform"}, {}),
    ("registry", {T: "R = {}\ndef reg(g):\n  R[g.__name__] = g\n  return g\n@reg\ndef a(): return A\nA = 1\ndef z(): pass\ndef f(x): return R[x]()"}, {"<module>", "A", "R", "a", "f", "reg"}, {}),
    ("registry filled by an imported module", {T: "import plug\nfrom reg import R\ndef f(x): return R[x]()", "reg.py": "R = {}\ndef reg(g): R[g] = g", "plug.py": "import reg\n@reg.reg\ndef a(): pass\ndef b(): pass"}, {"R", "f", "reg.py:R", "reg.py:reg", "plug.py:a", "plug.py:reg"}, {}),
    ("subclass hook", {T: "class B:\n  def __init_subclass__(cls): pass\nclass S(B): pass\nclass O: pass\ndef f(): return B.all"}, {"<module>", "B", "S", "f"}, {}),
    ("sibling class", {T: "class B: pass\nclass S(B): pass\nclass U(B): pass\ndef f(): return U()"}, {"B", "U", "f"}, {}),
    ("decorator of another function", {T: "def timed(g): return g\n@timed\ndef a(): pass\n@timed\ndef f(): pass"}, {"timed", "f"}, {}),
    ("getattr with a text", {T: "import h\ndef f(): return getattr(h, 'a')()", "h.py": "def a(): pass\ndef b(): pass"}, {"f", "h", "h.py:a"}, {}),
    ("getattr, computed", {T: "import h\ndef f(n):\n  return getattr(h, n)()", "h.py": "def a(): return C\nfrom k import C", "k.py": "C = 1\nD = 2"}, {"f", "h", "h.py", "k.py:C"}, {"h.py": "getattr with a computed name at transforms.py:3"}),
    ("module as a value", {T: "import h\ndef f(n): return n(h)", "h.py": "A = 1"}, {"f", "h", "h.py"}, {"h.py": "it is used as a value at transforms.py:2"}),
    ("star import", {T: "from h import *\ndef f(): return a()", "h.py": "def a(): pass"}, {"<module>", "f", "h.py"}, {"h.py": "star import at transforms.py:1"}),
    ("globals", {T: "A = 1\ndef f():\n  return globals()['A']"}, {T}, {T: "it uses globals() at transforms.py:3"}),
    ("vars", {T: "def f(): return vars()"}, {T}, {T: "it uses vars() at transforms.py:1"}),
    ("vars of an object", {T: "def f(x): return vars(x)"}, {"f"}, {}),
    ("eval in a helper", {T: "import h\ndef f(): return h.a()", "h.py": "def a(): return eval('B')\nB = 1"}, {"f", "h", "h.py"}, {"h.py": "it uses eval() at h.py:1"}),
    ("a method named eval", {T: "def f(x): return x.eval('a')"}, {"f"}, {}),
    ("own function named eval", {T: "def eval(x): pass\ndef f(x): return eval('a')"}, {"eval", "f"}, {}),
    ("sys.modules", {T: "import sys\ndef f(): return sys.modules[__name__]"}, {T}, {T: "it uses sys.modules at transforms.py:2"}),
    ("__subclasses__", {T: "import h\nclass B: pass\nclass C(B): pass\ndef f(c): return c.__subclasses__()", "h.py": "from transforms import B\nclass D(B): pass\nclass E: pass"}, {"<module>", "B", "C", "f", "h.py:<module>", "h.py:B", "h.py:D"}, {}),
    ("import_module with a text", {T: "import importlib\ndef f(): return importlib.import_module('h').a()", "h.py": "def a(): return A\nA = 1\nB = 2"}, {"f", "importlib", "h.py:A", "h.py:a"}, {}),
    ("import_module with a text, as a value", {T: "import importlib\ndef f(): return dir(importlib.import_module('h'))", "h.py": "A = 1"}, {"f", "importlib", "h.py"}, {"h.py": "it is imported by a text at transforms.py:2"}),
    ("import_module with a text, named", {T: "from importlib import import_module\ndef f():\n  m = import_module('h')\n  return m.A", "h.py": "A = 1\nB = 2"}, {"f", "import_module", "h.py:A"}, {}),
    ("import_module with a text, named by the module", {T: "from importlib import import_module\nm = import_module('h')\ndef f(): return m.A", "h.py": "A = 1\nB = 2"}, {"f", "m", "import_module", "h.py:A"}, {}),
    ("import_module with a relative text", {"p/__init__.py": "", "p/h.py": "A = 1\nB = 2", T: "from p.g import f", "p/g.py": "from importlib import import_module\ndef f(): return import_module('.h', __package__).A"}, {"f", "p/g.py:f", "p/g.py:import_module", "p/h.py:A"}, {}),
    ("import_module of an outside module", {T: "from importlib import import_module as im\ndef f(): return im('json')"}, {"f", "im"}, {}),
    ("import_module, computed", {T: "from importlib import import_module as im\ndef f(n): return im(n)", "h.py": "A = 1", "q/r.py": "A = 1", "bad.py": "no python"}, {T, "h.py", "q/r.py", "bad.py"}, {"**/*.py": "import_module with a computed name at transforms.py:2"}),
    ("__import__, computed", {T: "def f(n): return __import__(n)"}, {T}, {"**/*.py": "__import__ with a computed name at transforms.py:1"}),
    ("undefined attribute", {T: "import h\ndef f(): return h.late", "h.py": "def __getattr__(n): return 1"}, {"f", "h", "h.py"}, {"h.py": "'late' is not defined in its text, but used at transforms.py:2"}),
    ("not source", {T: "import fast\ndef f(): return fast.go()", "fast.pyc": "bytes"}, {"f", "fast", "fast.pyc"}, {"fast.pyc": "it is not Python source"}),
    ("package before module", {T: "import h\ndef f(): return h.a", "h.py": "a = 1", "h/__init__.py": "a = 2"}, {"f", "h", "h/__init__.py:a"}, {}),
    ("long expression", {T: f"A = {' + '.join(['1'] * 900)}\ndef f(): return A"}, {"A", "f"}, {}),
    ("long chain of helpers", {T: "\n".join(f"def f{i or ''}(): return f{i + 1}()" for i in range(1500))}, {"f", *(f"f{i}" for i in range(1, 1500))}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("files", "pieces", "whole"), [pytest.param(*c[1:], id=c[0]) for c in SHAPES])
def test_what_counts(tmp_path, files, pieces, whole):
    code = read(tmp_path, files, "transforms:f")
    assert set(code.pieces) == {p if ".py" in p else f"{T}:{p}" for p in pieces}
    assert code.whole == whole


def test_a_module_that_counts_whole_changes_with_any_name_but_no_comment(tmp_path):
    text = "A = 1\nB = 2\ndef f():\n  return globals()['A']\n"
    before = read(tmp_path, {T: text}, "transforms:f")
    assert read(tmp_path, {T: "# more\n\n" + text}, "transforms:f").fingerprint == before.fingerprint
    assert read(tmp_path, {T: text.replace("2", "3")}, "transforms:f").fingerprint != before.fingerprint


def test_docstrings_count_where_code_reads_them(tmp_path):
    text = 'def g():\n  "prompt"\ndef f(): return g.__doc__\n'
    before = read(tmp_path, {T: text}, "transforms:f")
    after = read(tmp_path, {T: text.replace("prompt", "another")}, "transforms:f")
    assert changed(before, after) == {"transforms.py:g"}


def test_a_file_that_appears_was_looked_for(tmp_path):
    """A package made beside a module takes its place: the plan must notice."""
    before = read(tmp_path, {T: "import h\ndef f(): return h.a", "h.py": "a = 1"}, "transforms:f")
    assert "h/__init__.py" in before.files
    after = read(tmp_path, {"h/__init__.py": "a = 2"}, "transforms:f")
    assert before.fingerprint != after.fingerprint


def test_files_of_an_import_are_all_that_it_runs(tmp_path):
    write(tmp_path, {T: "import h\n", "h.py": "def a():\n  import k\n", "k.py": "", "z.py": ""})
    files = CodeReader(tmp_path).imported("./transforms.py").files
    assert [f for f in files if (tmp_path / f).exists()] == ["h.py", "k.py", "transforms.py"]


def test_an_entry_in_a_folder_finds_its_neighbours_after_the_project(tmp_path):
    files = {
        "etl/t.py": "import a, b\ndef f(): return a.X + b.X",
        "etl/a.py": "X = 1",
        "etl/b.py": "X = 1",
        "b.py": "X = 2",
    }
    code = read(tmp_path, files, "./etl/t.py:f")
    assert set(code.pieces) == {"etl/t.py:f", "etl/t.py:a", "etl/t.py:b", "etl/a.py:X", "b.py:X"}


def test_path_and_dotted_name_are_one_entry(tmp_path):
    reader = CodeReader(write(tmp_path, PROJECT))
    assert reader.fingerprint("./transforms.py:clean").pieces == reader.fingerprint("transforms:clean").pieces


def test_a_method_counts_as_its_class(tmp_path):
    code = CodeReader(write(tmp_path, PROJECT)).fingerprint("transforms:Cleaner.clean")
    assert {"transforms.py:Cleaner", "transforms.py:Base"} < set(code.pieces)


def test_many_calls_parse_and_follow_once(tmp_path):
    reader = CodeReader(write(tmp_path, PROJECT))
    first = reader.fingerprint(ENTRY)
    for name in PROJECT:
        (tmp_path / name).unlink()
    assert all(reader.fingerprint(ENTRY) is first for _ in range(10_000))
    assert reader.parses == len(PROJECT)


FUNCTIONS = [
    ("def f(a, b=1, *, c, d=2): pass", FunctionInfo(T, 1, ("a", "b", "c", "d"), ("a", "c"), False, True)),
    ("def f(a, /, b, **k): pass", FunctionInfo(T, 1, ("b",), ("a", "b"), True, True)),
    ("\nasync def f(*a): pass", FunctionInfo(T, 2, (), (), False, True)),
    ("@register_transform('a.b')\ndef f(a): pass", FunctionInfo(T, 2, ("a",), ("a",), False, True)),
    ("@other\ndef f(a): pass", FunctionInfo(T, 2)),
    ("f = partial(g, 1)", FunctionInfo(T, 1)),
    ("if X:\n  def f(a): pass\nelse:\n  def f(b): pass", FunctionInfo(T, 1)),
    ("def f(a): pass\ndef f(b): pass", FunctionInfo(T, 1)),
    ("from h import g as f", FunctionInfo("h.py", 2, ("x",), ("x",), False, True)),
    ("from json import dumps as f", FunctionInfo(T, 1)),
    ("class f:\n  def __call__(self): pass", FunctionInfo(T, 1)),
]


@pytest.mark.parametrize(("text", "info"), FUNCTIONS)
def test_define_says_what_the_text_says(tmp_path, text, info):
    write(tmp_path, {T: text, "h.py": "\ndef g(x): pass\n"})
    assert CodeReader(tmp_path).define("./transforms.py:f") == info


def test_define_of_methods(tmp_path):
    text = "class C:\n  @classmethod\n  def a(cls, x): pass\n  @staticmethod\n  def b(x, y=1): pass\n"
    reader = CodeReader(write(tmp_path, {T: text}))
    assert reader.define("transforms:C.a") == FunctionInfo(T, 3, ("x",), ("x",), False, True)
    assert reader.define("transforms:C.b") == FunctionInfo(T, 5, ("x", "y"), ("x",), False, True)
    assert reader.define("transforms:C.none") == FunctionInfo(T, 1)


ERRORS = [
    ("./transform.py:f", "error: there is no file 'transform.py'\nhelp: did you mean 'transforms.py'?"),
    ("../x.py:f", "error: '../x.py' is outside the project\nhelp: move the file into the project's folder"),
    ("transform:f", "error: the project has no module 'transform'\nhelp: did you mean 'transforms'?"),
    ("json:dumps", "error: the project has no module 'json'\nhelp: it has: bad, transforms, user"),
    ("pkg.sab:f", "error: the project has no module 'pkg.sab'\nhelp: did you mean 'sub'?"),
    ("./transforms.py:claen", "error: './transforms.py' has no function 'claen'\nhelp: did you mean 'clean'?"),
    ("transforms:zzz", "error: 'transforms' has no function 'zzz'\nhelp: it has: clean, other"),
    ("transforms", "error: 'transforms' names no function\nhelp: write 'module:function'"),
    ("bad:f", "bad.py:2:8: error: 'bad.py' is not valid Python: invalid syntax\n   2 |   if x =: 1\n     |        ^"),
    ("user:f", "bad.py:2:8: error: 'bad.py' is not valid Python: invalid syntax\n   2 |   if x =: 1\n     |        ^"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "text"), ERRORS)
def test_errors_say_what_where_and_how(tmp_path, entry, text):
    files = {
        T: "def clean(): pass\ndef other(): pass\n",
        "bad.py": "def f():\n  if x =: 1\n",
        "user.py": "import bad\ndef f(): return bad.f()\n",
        "pkg/sub.py": "",
    }
    with pytest.raises(ParamError) as caught:
        CodeReader(write(tmp_path, files)).fingerprint(entry)
    assert str(caught.value) == text


def test_bytes_that_are_no_text_are_a_syntax_error(tmp_path):
    (tmp_path / T).write_bytes(b"def f(): pass\nX = '\xff'\n")
    with pytest.raises(ParamError) as caught:
        CodeReader(tmp_path).fingerprint("transforms:f")
    assert isinstance(caught.value.where, Where)
    assert caught.value.where.file == T


def test_an_invalid_escape_is_no_error(tmp_path):
    """Python warns of it while parsing; warnings as errors must not reach the user here."""
    assert set(read(tmp_path, {T: "def f(): return '\\d'"}, "transforms:f").pieces) == {"transforms.py:f"}


NOISE = st.sampled_from(["", "# comment", "    # indented", "\t", "'a text'", '"""doc\nstring"""'])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    noise=st.lists(NOISE, min_size=1, max_size=4),
    file=st.sampled_from(sorted(PROJECT)),
    unparse=st.booleans(),
    data=st.data(),
)
def test_comments_texts_and_layout_never_count(tmp_path, noise, file, unparse, data):
    before = CodeReader(write(tmp_path, PROJECT)).fingerprint(ENTRY)
    text = ast.unparse(ast.parse(PROJECT[file])) if unparse else PROJECT[file]
    lines = text.splitlines()
    for piece in noise:
        # a new statement may stand before any line that starts one at the top level
        starts = [i for i, line in enumerate(lines) if line[:1].isalpha() and not line.startswith(("else", "from __f"))]
        starts = [i for i in starts if not lines[i - 1].startswith("@")] or [0]
        at = data.draw(st.sampled_from(starts))
        if "__future__" in text and at < 3:
            continue
        lines.insert(at, piece)
    (tmp_path / file).write_text("\n".join(lines) + "\n")
    after = CodeReader(tmp_path).fingerprint(ENTRY)
    assert changed(before, after) == set()
    assert after.fingerprint == before.fingerprint


CONSTANTS = {"helpers.py": ["WIDTH = 3", "FACTOR = 2"], "transforms.py": ["LIMIT = 10"], "pkg/sub.py": ["EDGE = ' '"]}
VALUES = st.one_of(st.integers(), st.text(), st.binary(), st.floats(allow_nan=False, allow_infinity=False), st.none())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(where=st.sampled_from([(f, c) for f, cs in CONSTANTS.items() for c in cs]), value=VALUES)
def test_another_value_of_a_reached_constant_always_counts(tmp_path, where, value):
    file, constant = where
    name, _, old = constant.partition(" = ")
    before = CodeReader(write(tmp_path, PROJECT)).fingerprint(ENTRY)
    write(tmp_path, {file: PROJECT[file].replace(constant, f"{name} = {value!a}")})
    after = CodeReader(tmp_path).fingerprint(ENTRY)
    assert (after.fingerprint == before.fingerprint) == (ascii(value) == old)


SYNTAX = '''
from a import b as c, d
import e.f
@deco(1, *x, k=2, **y)
async def g(a, /, b: "T" = 1, *c, d=None, **e) -> int:
    """doc"""
    async with a as b, c: await d
    async for x in y: yield x
    return f"{a!r:>{b}} {c=} {d:%Y}" "tail" f"{e:}" f'{g["k"]}' + "x" "y" + u"z"
class C(B, metaclass=M):
    """doc"""
    x: int = 1
    y: "str"
    def m(self): pass
X = [-1, 0x1f, 1e400, 1j, True, None, ..., b"\\xff", "\\u2028\\ud7ff\\U0001fae8", {**a, 1: 2}, {1}, (), [*a]]
lambda *a, k=1: (yield)
try: pass
except* E as e: del e
match x:
    case {"a": 1, **r} | [1, *_] | C(1, k=None) | -1 if y: x[1:2, ::3] += 1
while (n := 1): break
else: pass
'''


def test_the_canonical_text_is_the_same_on_every_python(tmp_path):
    source = tmp_path / "syntax.py"
    source.write_text(SYNTAX)
    script = (
        "import ast, importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('canonical', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "sys.stdout.write(module.canonical(ast.parse(open(sys.argv[2], 'rb').read())))\n"
    )
    here = canonical(ast.parse(SYNTAX))
    others = [p for v in ("3.11", "3.12", "3.13") if v != f"3.{sys.version_info[1]}" for p in _pythons(v)]
    if not others:
        pytest.skip("no other Python interpreter is installed")
    for python in others:
        command = [python, "-I", "-c", script, canonical_module.__file__, str(source)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == here, python


def _pythons(version: str) -> list[str]:
    """Return the interpreters of a version: on the PATH, or beside the one in use where several are kept."""
    import shutil

    beside = sorted(Path(sys.base_prefix).parent.glob(f"{version}*/bin/python{version}"))
    return [*map(str, beside), *filter(None, [None if beside else shutil.which(f"python{version}")])]
