"""An edit that changes what a function computes runs its task again; a comment never does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.harness import Project

TASK = """\
  t: {transform: python.run, params: {function: "steps:f", args: {target: out.txt}, outputs: [out.txt]}}
"""

# What f writes; what comes before it is the case's own.
WRITE = "\n\ndef f(target):\n    with open(target, 'w') as file:\n        file.write(str(value()))\n"

DISPATCH = "from functools import singledispatch\n\n\n@singledispatch\ndef show(x):\n    return 'any'\n"
REGISTRY = "REGISTRY = {}\n\n\ndef register(name):\n    def keep(f):\n        REGISTRY[name] = f\n        return f\n    return keep\n"
SHAPES = "class Shape:\n    pass\n"

CASES: list[Any] = [
    # title, files, edits (file, old, new) that each change what is written
    ("singledispatch in a module only imported",
     {"steps.py": "import plugins\nfrom base import show\n\n\ndef value():\n    return show(1)\n", "base.py": DISPATCH,
      "plugins.py": "import base\nONE = 'one'\n\n\n@base.show.register\ndef _(x: int):\n    return ONE\n"},
     [("plugins.py", "ONE = 'one'", "ONE = 'uno'"), ("plugins.py", "return ONE", "return ONE * 2"), ("plugins.py", "x: int", "x: str")]),
    ("singledispatch in its own module",
     {"steps.py": "from base import show\n\n\ndef value():\n    return show(1)\n", "base.py": DISPATCH + "\n\n@show.register(int)\ndef _(x):\n    return 'one'\n"},
     [("base.py", "'one'", "'uno'")]),
    ("singledispatchmethod",
     {"steps.py": "import plugins\nfrom base import Shower\n\n\ndef value():\n    return Shower().show(1)\n",
      "base.py": "from functools import singledispatchmethod\n\n\nclass Shower:\n    @singledispatchmethod\n    def show(self, x):\n        return 'any'\n",
      "plugins.py": "from base import Shower\n\n\n@Shower.show.register\ndef one(self, x: int):\n    return 'one'\n"},
     [("plugins.py", "'one'", "'uno'")]),
    ("subclasses of a class in a helper",
     {"steps.py": "import plugins\nimport base\n\n\ndef value():\n    return base.areas()\n", "base.py": SHAPES + "\n\ndef areas():\n    return [s.area for s in Shape.__subclasses__()]\n",
      "plugins.py": "from base import Shape\n\n\nclass Square(Shape):\n    area = 4\n"},
     [("plugins.py", "area = 4", "area = 5")]),
    ("__init_subclass__",
     {"steps.py": "import plugins\nfrom base import KINDS\n\n\ndef value():\n    return [k.area for k in KINDS]\n",
      "base.py": "KINDS = []\n\n\nclass Shape:\n    def __init_subclass__(cls):\n        KINDS.append(cls)\n",
      "plugins.py": "from base import Shape\n\n\nclass Square(Shape):\n    area = 4\n"},
     [("plugins.py", "area = 4", "area = 5")]),
    ("a decorator that registers",
     {"steps.py": "import plugins\nfrom base import REGISTRY\n\n\ndef value():\n    return REGISTRY['x']()\n", "base.py": REGISTRY,
      "plugins.py": "from base import register\nimport deep\n\n\n@register('x')\ndef x():\n    return deep.A\n", "deep.py": "A = 1\n"},
     [("plugins.py", "return deep.A", "return -deep.A"), ("deep.py", "A = 1", "A = 2")]),
    ("two registrations swapped",
     {"steps.py": "import plugins\nfrom base import REGISTRY\n\n\ndef value():\n    return list(REGISTRY)\n", "base.py": REGISTRY,
      "plugins.py": "from base import register\n\n\n@register('a')\ndef a(): pass\n@register('b')\ndef b(): pass\n"},
     [("plugins.py", "@register('a')\ndef a(): pass\n@register('b')\ndef b(): pass\n", "@register('b')\ndef b(): pass\n@register('a')\ndef a(): pass\n")]),
    ("imports of registering modules swapped",
     {"steps.py": "import one\nimport two\nfrom base import REGISTRY\n\n\ndef value():\n    return REGISTRY['x']()\n", "base.py": REGISTRY,
      "one.py": "from base import register\n\n\n@register('x')\ndef x():\n    return 1\n", "two.py": "from base import register\n\n\n@register('x')\ndef x():\n    return 2\n"},
     [("steps.py", "import one\nimport two\n", "import two\nimport one\n")]),
    ("a function that a decorator puts into a module",
     {"steps.py": "import plugins\nimport base\n\n\ndef value():\n    return base.HANDLER()\n", "base.py": "HANDLER = None\n",
      "hooks.py": "import base\n\n\ndef use(f):\n    base.HANDLER = f\n    return f\n", "plugins.py": "import hooks\n\n\n@hooks.use\ndef x():\n    return 1\n"},
     [("plugins.py", "return 1", "return 2")]),
    ("a global that a decorator sets",
     {"steps.py": "import plugins\nimport base\n\n\ndef value():\n    return base.CURRENT()\n",
      "base.py": "CURRENT = None\n\n\ndef use(f):\n    global CURRENT\n    CURRENT = f\n    return f\n", "plugins.py": "import base\n\n\n@base.use\ndef x():\n    return 1\n"},
     [("plugins.py", "return 1", "return 2")]),
    ("a list kept as an attribute of the decorator",
     {"steps.py": "import plugins\nimport base\n\n\ndef value():\n    return [f() for f in base.use.known]\n",
      "base.py": "def use(f):\n    use.known.append(f)\n    return f\n\n\nuse.known = []\n", "plugins.py": "import base\n\n\n@base.use\ndef x():\n    return 1\n"},
     [("plugins.py", "return 1", "return 2")]),
    ("a registry as a class without a container",
     {"steps.py": "import plugins\nimport base\n\n\ndef value():\n    return base.Hub.last()\n",
      "base.py": "class Hub:\n    last = None\n\n    @classmethod\n    def add(cls, f):\n        cls.last = staticmethod(f)\n        return f\n",
      "plugins.py": "from base import Hub\n\n\n@Hub.add\ndef x():\n    return 1\n"},
     [("plugins.py", "return 1", "return 2")]),
    ("a call with an assigned result",
     {"steps.py": "import plugins\nimport base\n\n\ndef value():\n    return base.KNOWN\n",
      "base.py": "KNOWN = []\n\n\ndef add(items, x):\n    items.append(x)\n    return x\n", "plugins.py": "import base\nX = base.add(base.KNOWN, 1)\n"},
     [("plugins.py", "KNOWN, 1", "KNOWN, 2")]),
    ("an imported list added to in place",
     {"steps.py": "import plugins\nfrom base import KNOWN\n\n\ndef value():\n    return KNOWN\n", "base.py": "KNOWN = []\n", "plugins.py": "from base import KNOWN\nKNOWN += [1]\n"},
     [("plugins.py", "[1]", "[2]")]),
    ("registering in a class body",
     {"steps.py": "import plugins\nfrom base import KNOWN\n\n\ndef value():\n    return KNOWN\n", "base.py": "KNOWN = {}\n", "plugins.py": "from base import KNOWN\n\n\nclass C:\n    KNOWN['x'] = 1\n"},
     [("plugins.py", "= 1", "= 2")]),
    ("a metaclass that registers",
     {"steps.py": "import plugins\nfrom base import KNOWN\n\n\ndef value():\n    return [k.a for k in KNOWN]\n",
      "base.py": "KNOWN = []\n\n\nclass Meta(type):\n    def __init__(cls, *a):\n        KNOWN.append(cls)\n", "plugins.py": "from base import Meta\n\n\nclass C(metaclass=Meta):\n    a = 1\n"},
     [("plugins.py", "a = 1", "a = 2")]),
    ("a class that others register with",
     {"steps.py": "import plugins\nimport base\n\n\ndef value():\n    return isinstance(plugins.ONE, base.Shape)\n", "base.py": "from abc import ABC\n\n\nclass Shape(ABC):\n    pass\n",
      "plugins.py": "import base\n\n\n@base.Shape.register\nclass A:\n    pass\n\n\nclass B:\n    pass\n\n\nONE = A()\n"},
     [("plugins.py", "@base.Shape.register\n", "")]),
    ("a pydantic model that learns of its subclasses",
     {"steps.py": "import plugins\nfrom base import KNOWN\n\n\ndef value():\n    return [k.__name__ for k in KNOWN]\n",
      "base.py": "from pydantic import BaseModel\nKNOWN = []\n\n\nclass Plugin(BaseModel):\n    @classmethod\n    def __pydantic_init_subclass__(cls, **kw):\n        KNOWN.append(cls)\n",
      "plugins.py": "from base import Plugin\n\n\nclass One(Plugin):\n    pass\n"},
     [("plugins.py", "One", "Two")]),
    ("a function registered through a re-export",
     {"steps.py": "import plugins\nfrom pkg import show\n\n\ndef value():\n    return show(1)\n", "pkg/__init__.py": "from .base import show as show\n", "pkg/base.py": DISPATCH,
      "plugins.py": "import pkg\n\n\n@pkg.show.register(int)\ndef one(x):\n    return 'one'\n"},
     [("plugins.py", "'one'", "'uno'")]),
    ("a registry seen through a star import",
     {"steps.py": "import plugins\nfrom base import *\n\n\ndef value():\n    return REGISTRY['x']()\n", "base.py": REGISTRY, "plugins.py": "from base import *\n\n\n@register('x')\ndef x():\n    return 1\n"},
     [("plugins.py", "return 1", "return 2")]),
    ("a call through a table of functions",
     {"steps.py": "import plugins\nimport base\n\n\ndef value():\n    return base.KNOWN\n", "base.py": "KNOWN = []\nHOOKS = {'add': KNOWN.append}\n", "plugins.py": "import base\nX = base.HOOKS['add'](1)\n"},
     [("plugins.py", "(1)", "(2)")]),
    ("names drawn from one counter",
     {"steps.py": "import plugins\n\n\ndef value():\n    return plugins.B\n", "plugins.py": "import itertools\nC = itertools.count()\nA = next(C)\nB = next(C)\n"},
     [("plugins.py", "A = next(C)\n", "A = 0\n")]),
    ("an outside registry",
     {"steps.py": "import plugins\nimport sqlite3\n\n\ndef value():\n    return sqlite3.connect(':memory:').execute('select ?', (plugins.P(),)).fetchone()\n",
      "plugins.py": "import sqlite3\n\n\nclass P:\n    pass\n\n\n_ = sqlite3.register_adapter(P, lambda p: 1)\n"},
     [("plugins.py", "p: 1", "p: 2")]),
    ("what the pipeline imports", {"steps.py": "from base import REGISTRY\n\n\ndef value():\n    return REGISTRY['x']()\n", "base.py": REGISTRY,
      "own.py": "from base import register\n\n\n@register('x')\ndef x():\n    return 1\n"}, [("own.py", "return 1", "return 2")]),
    ("import_module with a text",
     {"steps.py": "from importlib import import_module\n\n\ndef value():\n    return import_module('late').A\n", "late.py": "A = 1\n"}, [("late.py", "A = 1", "A = 2")]),
    ("import_module with a computed name",
     {"steps.py": "from importlib import import_module\nNAME = 'pkg.' + 'late'\n\n\ndef value():\n    return import_module(NAME).A\n", "pkg/late.py": "A = 1\n"}, [("pkg/late.py", "A = 1", "A = 2")]),
    ("all modules of a package",
     {"steps.py": "import plugins\n\n\ndef value():\n    return sorted(plugins.KNOWN)\n",
      "plugins/__init__.py": "import importlib\nimport pkgutil\nKNOWN = []\nfor m in pkgutil.iter_modules(__path__):\n    importlib.import_module(f'{__name__}.{m.name}')\n",
      "plugins/a.py": "from plugins import KNOWN\nKNOWN.append(1)\n"}, [("plugins/a.py", "1", "2"), ("plugins/b.py", "", "from plugins import KNOWN\nKNOWN.append(3)\n")]),
    ("run_path", {"steps.py": "import runpy\n\n\ndef value():\n    return runpy.run_path('tools/late.py')['A']\n", "tools/late.py": "A = 1\n"}, [("tools/late.py", "A = 1", "A = 2")]),
    ("exec of a text that imports", {"steps.py": "def value():\n    names = {}\n    exec('from late import A', names)\n    return names['A']\n", "late.py": "A = 1\n"}, [("late.py", "A = 1", "A = 2")]),
    ("exec of a file's text", {"steps.py": "from pathlib import Path\n\n\ndef value():\n    names = {}\n    exec(Path('late.py').read_text(), names)\n    return names['A']\n", "late.py": "A = 1\n"}, [("late.py", "A = 1", "A = 2")]),
    ("a module's docstring", {"steps.py": "import late\n\n\ndef value():\n    return late.__doc__\n", "late.py": '"""One."""\n'}, [("late.py", "One", "Two")]),
    ("its own docstring", {"steps.py": '"""One."""\n\n\ndef value():\n    return __doc__\n'}, [("steps.py", "One", "Two")]),
    ("a function's docstring by getattr", {"steps.py": "import late\n\n\ndef value():\n    return getattr(late.g, '__doc__')\n", "late.py": 'def g():\n    """One."""\n'}, [("late.py", "One", "Two")]),
    ("annotations of a module", {"steps.py": "import late\n\n\ndef value():\n    return late.__annotations__\n", "late.py": "A: int = 1\n"}, [("late.py", "int", "str")]),
    ("type hints of a module", {"steps.py": "import late\nimport typing\n\n\ndef value():\n    return typing.get_type_hints(late)\n", "late.py": "T = int\nA: T = 1\n"}, [("late.py", "T = int", "T = str")]),
    ("type hints of a function", {"steps.py": "import typing\n\n\ndef g(x: int): pass\n\n\ndef value():\n    return typing.get_type_hints(g)\n"}, [("steps.py", "x: int", "x: str")]),
    # attacks
    ("class attributes", {"steps.py": "import late\n\n\nclass C(late.B):\n    a = late.A\n\n\ndef value():\n    return C.a, C.b\n", "late.py": "A = 1\nUNUSED = 0\n\n\nclass B:\n    b = 1\n"},
     [("late.py", "A = 1", "A = 2"), ("late.py", "b = 1", "b = 2")]),
    ("closures", {"steps.py": "import late\nadd = late.adder(late.N)\n\n\ndef value():\n    return add(1)\n", "late.py": "N = 1\n\n\ndef adder(n):\n    def add(x):\n        return x + n\n    return add\n"},
     [("late.py", "N = 1", "N = 2"), ("late.py", "x + n", "x - n")]),
    ("partial", {"steps.py": "from functools import partial\nimport late\ng = partial(late.g, late.N)\n\n\ndef value():\n    return g()\n", "late.py": "N = 1\n\n\ndef g(x):\n    return x\n"},
     [("late.py", "N = 1", "N = 2"), ("late.py", "return x", "return -x")]),
    ("a conditional import", {"steps.py": "try:\n    from fast_one import A\nexcept ImportError:\n    from late import A\n\n\ndef value():\n    return A\n", "late.py": "A = 1\n"},
     [("late.py", "A = 1", "A = 2"), ("fast_one.py", "", "A = 5\n")]),
    ("relative imports", {"steps.py": "from pkg.inner.g import g\n\n\ndef value():\n    return g()\n", "pkg/__init__.py": "", "pkg/inner/__init__.py": "", "pkg/inner/g.py": "from ..late import A\nfrom . import near\n\n\ndef g():\n    return A, near.B\n",
      "pkg/late.py": "A = 1\n", "pkg/inner/near.py": "B = 1\n"}, [("pkg/late.py", "A = 1", "A = 2"), ("pkg/inner/near.py", "B = 1", "B = 2")]),
    ("__getattr__ of a module", {"steps.py": "import late\n\n\ndef value():\n    return late.anything\n", "late.py": "import other\n\n\ndef __getattr__(name):\n    return other.A\n", "other.py": "A = 1\n"}, [("other.py", "A = 1", "A = 2")]),
    ("a lazy package", {"steps.py": "import pkg\n\n\ndef value():\n    return pkg.late.A\n",
      "pkg/__init__.py": "import importlib\n\n\ndef __getattr__(name):\n    return importlib.import_module('.' + name, __name__)\n", "pkg/late.py": "A = 1\n"}, [("pkg/late.py", "A = 1", "A = 2")]),
    ("star imports", {"steps.py": "from late import *\n\n\ndef value():\n    return A\n", "late.py": "from deep import *\n", "deep.py": "A = 1\n"}, [("deep.py", "A = 1", "A = 2")]),
    ("re-exports", {"steps.py": "import pkg\n\n\ndef value():\n    return pkg.g()\n", "pkg/__init__.py": "from .late import g as g\n", "pkg/late.py": "A = 1\n\n\ndef g():\n    return A\n"}, [("pkg/late.py", "A = 1", "A = 2")]),
    ("dataclass defaults", {"steps.py": "import late\n\n\ndef value():\n    return late.P()\n", "late.py": "from dataclasses import dataclass, field\nN = 1\n\n\ndef many():\n    return [1]\n\n\n@dataclass\nclass P:\n    n: int = N\n    m: list = field(default_factory=many)\n"},
     [("late.py", "N = 1", "N = 2"), ("late.py", "[1]", "[2]"), ("late.py", "    n: int", "    k: str = ''\n    n: int")]),
    ("a global changed by another function", {"steps.py": "import late\n\n\ndef value():\n    late.load()\n    return late.TABLE\n", "late.py": "TABLE = {}\n\n\ndef load():\n    TABLE['a'] = A\n\n\nA = 1\n"}, [("late.py", "A = 1", "A = 2")]),
    ("a module in a plain folder", {"steps.py": "import tools.late\n\n\ndef value():\n    return tools.late.A\n", "tools/late.py": "A = 1\n"}, [("tools/late.py", "A = 1", "A = 2")]),
    ("sys.modules", {"steps.py": "import late\nimport sys\n\n\ndef value():\n    return sys.modules['late'].A\n", "late.py": "A = 1\n"}, [("late.py", "A = 1", "A = 2")]),
    ("a function's globals", {"steps.py": "import late\n\n\ndef value():\n    return late.g.__globals__['A']\n", "late.py": "A = 1\n\n\ndef g(): pass\n"}, [("late.py", "A = 1", "A = 2")]),
    ("a folder put on sys.path", {"steps.py": "import sys\nsys.path.append('lib')\n\n\ndef value():\n    import late\n    return late.A\n", "lib/late.py": "A = 1\n"}, [("lib/late.py", "A = 1", "A = 2")]),
    ("a mutable default argument", {"steps.py": "import plugins\nimport base\n\n\ndef value():\n    return base.known()\n", "base.py": "def known(x=None, items=[]):\n    if x:\n        items.append(x)\n    return items\n", "plugins.py": "import base\nX = base.known(1)\n"},
     [("plugins.py", "known(1)", "known(2)")]),
    ("operators", {"steps.py": "import plugins\nfrom base import FLOW\n\n\ndef value():\n    return FLOW.steps\n", "base.py": "class Flow:\n    def __init__(self):\n        self.steps = []\n    def __rshift__(self, other):\n        self.steps.append(other)\n        return self\n\n\nFLOW = Flow()\n", "plugins.py": "from base import FLOW\nLAST = FLOW >> 1\n"},
     [("plugins.py", ">> 1", ">> 2")]),
]  # fmt: skip


def project(root: Path, files: dict[str, str]) -> Project:
    made = Project(root)
    for name, text in files.items():
        made.write(name, text + WRITE if name == "steps.py" else text)
    made.tasks(TASK)
    if "own.py" in files:
        made.write("pipeline.yaml", f"version: 1\nname: p\nimports: [./own.py]\ntasks:\n{TASK}")
    return made


@pytest.mark.parametrize(("files", "edits"), [pytest.param(*c[1:], id=c[0]) for c in CASES])
def test_an_edit_that_matters_runs_the_task_again(tmp_path, files, edits):
    p = project(tmp_path, files)
    assert p.run() == {"t": "ran"}, p.fast("run").err
    for file in files:
        if not file.startswith("tools/") or "run_path" not in files["steps.py"]:
            p.write(file, "# a comment\n" + p.read(file) + "\n# another\n")
    assert p.run() == {"t": "fresh"}
    for file, old, new in edits:
        before = p.read("out.txt")
        if old:
            p.edit(file, old, new)
        else:
            p.write(file, new)
        assert p.run() == {"t": "ran"}, (file, new)
        assert p.read("out.txt") != before, "the case does not show what it is meant to"
        assert p.run() == {"t": "fresh"}


def test_the_text_counts_where_it_is_read(tmp_path):
    """With `inspect.getsource` even a comment may matter."""
    steps = "import inspect\nimport late\n\n\ndef value():\n    return inspect.getsource(late.g)\n"
    p = project(tmp_path, {"steps.py": steps, "late.py": "def g():\n    return 1  # one\n"})
    assert p.run() == {"t": "ran"}
    p.edit("late.py", "# one", "# two")
    assert p.run() == {"t": "ran"}
    assert "  note: all of late.py counts: its text is read by inspect at steps.py:6\n" in p.fast("why", "t").out


GRAIN = {
    "steps.py": "import late\n\n\ndef value():\n    return late.g(late.P)\n",
    "late.py": """\
import functools
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import pyarrow as pa
from pydantic import BaseModel

A = 1
NUMBER = re.compile("[0-9]+")
SCHEMA = pa.schema([("a", pa.int64())])


class P(NamedTuple):
    a: int = A


class Kind(Enum):
    ONE = 1


class Model(BaseModel):
    limit: int = 2


@dataclass(frozen=True)
class Options:
    names: list = field(default_factory=list)


DEFAULT = Options()


@functools.cache
def square(x):
    return x * 2


def timed(f):
    @functools.wraps(f)
    def inner(*args):
        return f(*args)

    return inner


@timed
def other(x):
    return x * 3


@timed
def g(kind):
    return kind()
""",
}
UNUSED = [
    ("[0-9]+", "[a-z]+"), ('"a", pa', '"b", pa'), ("ONE = 1", "ONE = 3"), ("limit: int = 2", "limit: int = 3"),
    ("frozen=True", "frozen=False"), ("x * 2", "x * 4"), ("x * 3", "x * 5"), ("Options()", "Options(names=[1])"),
]  # fmt: skip


def test_what_a_function_does_not_reach_does_not_count(tmp_path):
    """A module of functions, classes and constants keeps its fine grain, with the decorators that everybody knows."""
    p = project(tmp_path, GRAIN)
    assert p.run() == {"t": "ran"}
    for old, new in UNUSED:
        p.edit("late.py", old, new)
        assert p.run() == {"t": "fresh"}, new
    p.edit("late.py", "return f(*args)", "return f(*args), 1")
    assert p.run() == {"t": "ran"}


WHY = [
    ("computed import", "from importlib import import_module\n\n\ndef value(name='late'):\n    return import_module(name).A\n",
     "all of **/*.py counts: import_module with a computed name at steps.py:5"),
    ("computed import below a package", "from importlib import import_module\n\n\ndef value(name='late'):\n    return import_module(f'pkg.{name}').A\n",
     "all of pkg/**/*.py counts: import_module with a computed name at steps.py:5"),
    ("computed code", "def value():\n    return eval('1' + '')\n", "all of **/*.py counts: it uses eval() at steps.py:2"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "note"), [pytest.param(*c[1:], id=c[0]) for c in WHY])
def test_why_says_what_could_not_be_followed(tmp_path, steps, note):
    p = project(tmp_path, {"steps.py": steps, "late.py": "A = 1\n", "pkg/late.py": "A = 2\n"})
    assert p.run() == {"t": "ran"}
    assert f"  note: {note}\n" in p.fast("why", "t").out
    p.write("pkg/more.py", "B = 1\n")
    assert p.run() == {"t": "ran"}, "a file that appears may be the one that is meant"


def test_the_order_of_imports_counts(tmp_path):
    """The later of two modules that register under one name wins."""
    steps = "from base import REGISTRY\n\n\ndef value():\n    return REGISTRY['x']()\n"
    plugin = "from base import register\n\n\n@register('x')\ndef x():\n    return {}\n"
    p = project(
        tmp_path, {"steps.py": steps, "base.py": REGISTRY, "one.py": plugin.format(1), "two.py": plugin.format(2)}
    )
    p.edit("pipeline.yaml", "tasks:", "imports: [./one.py, two.py]\ntasks:")
    assert p.run() == {"t": "ran"}
    assert p.read("out.txt") == "2"
    p.edit("pipeline.yaml", "./one.py, two.py", "two.py, ./one.py")
    assert p.run() == {"t": "ran"}
    assert p.read("out.txt") == "1"
