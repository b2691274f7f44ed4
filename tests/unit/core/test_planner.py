"""What is wrong with a pipeline is told whole: what, where, and how to mend it."""

from __future__ import annotations

import pytest
from harness import Project

HEAD = "version: 1\nname: p\ntasks:\n"

ERRORS: dict[str, tuple[str, str]] = {
    "unknown transform": (
        "  a: {transform: shel.run, params: {command: x}}\n",
        """\
pipeline.yaml:4:18: error: no transform is named 'shel.run'
   4 |   a: {transform: shel.run, params: {command: x}}
     |                  ^
help: did you mean 'shell.run'? `mmetl transforms` lists them
""",
    ),
    "unknown param": (
        "  a:\n    transform: shell.run\n    params: {comand: x}\n",
        """\
pipeline.yaml:6:5: error: task 'a' needs param 'command'
   6 |     params: {comand: x}
     |     ^
help: 'shell.run' takes: inputs, outputs, command

pipeline.yaml:6:14: error: task 'a' has no param 'comand'
   6 |     params: {comand: x}
     |              ^
help: did you mean 'command'? 'shell.run' takes: inputs, outputs, command
""",
    ),
    "wrong type": (
        "  a: {transform: shell.run, params: {command: x, outputs: o.txt}}\n",
        """\
pipeline.yaml:4:59: error: 'outputs' is 'o.txt', expected a list
   4 |   a: {transform: shell.run, params: {command: x, outputs: o.txt}}
     |                                                           ^
help: put it in brackets: [...]
""",
    ),
    "unknown input": (
        (
            "  flights: {transform: shell.run, params: {command: x}}\n"
            "  late: {transform: shell.run, inputs: [flight], params: {command: x}}\n"
        ),
        """\
pipeline.yaml:5:41: error: task 'late' reads 'flight', which is not a task of this pipeline
   5 |   late: {transform: shell.run, inputs: [flight], params: {command: x}}
     |                                         ^
help: did you mean 'flights'?
""",
    ),
    "unknown input under an alias": (
        (
            "  flights: {transform: shell.run, params: {command: x}}\n"
            "  late:\n    transform: shell.run\n    inputs:\n      f: nothing_like_it\n    params: {command: x}\n"
        ),
        """\
pipeline.yaml:8:10: error: task 'late' reads 'nothing_like_it', which is not a task of this pipeline
   8 |       f: nothing_like_it
     |          ^
help: tasks: flights
""",
    ),
    "unknown depends_on": (
        (
            "  a: {transform: shell.run, params: {command: x}}\n"
            "  b:\n    transform: shell.run\n    depends_on:\n    - a\n    - c\n    params: {command: x}\n"
        ),
        """\
pipeline.yaml:9:7: error: task 'b' depends on 'c', which is not a task of this pipeline
   9 |     - c
     |       ^
help: tasks: a
""",
    ),
    "self input": (
        "  a: {transform: shell.run, inputs: [a], params: {command: x}}\n",
        """\
pipeline.yaml:4:38: error: task 'a' cannot read itself
   4 |   a: {transform: shell.run, inputs: [a], params: {command: x}}
     |                                      ^
""",
    ),
    "cycle": (
        (
            "  a: {transform: shell.run, inputs: [c], params: {command: x}}\n"
            "  b: {transform: shell.run, inputs: [a], params: {command: x}}\n"
            "  c: {transform: shell.run, inputs: [b], params: {command: x}}\n"
        ),
        """\
pipeline.yaml:5:3: error: tasks need each other in a circle: b -> c -> a -> b
   5 |   b: {transform: shell.run, inputs: [a], params: {command: x}}
     |   ^
help: each needs the one before it; remove one of these inputs
""",
    ),
    "cycle through files": (
        (
            "  a: {transform: shell.run, params: {command: x, inputs: [b.txt], outputs: [a.txt]}}\n"
            "  b: {transform: shell.run, params: {command: x, inputs: ['a*'], outputs: [b.txt]}}\n"
        ),
        """\
pipeline.yaml:5:3: error: tasks need each other in a circle: b -> a -> b
   5 |   b: {transform: shell.run, params: {command: x, inputs: ['a*'], outputs: [b.txt]}}
     |   ^
help: each needs the one before it; remove one of these inputs
""",
    ),
    "two producers": (
        (
            "  a: {transform: shell.run, params: {command: x, outputs: [o.txt]}}\n"
            "  b: {transform: shell.run, params: {command: x, outputs: [./o.txt]}}\n"
        ),
        """\
pipeline.yaml:5:60: error: tasks 'a' and 'b' both write 'o.txt'
   5 |   b: {transform: shell.run, params: {command: x, outputs: [./o.txt]}}
     |                                                            ^
help: give each its own file
""",
    ),
    "output outside the project": (
        "  a: {transform: shell.run, params: {command: x, outputs: [../o.txt]}}\n",
        """\
pipeline.yaml:4:60: error: '../o.txt' cannot be an output
   4 |   a: {transform: shell.run, params: {command: x, outputs: [../o.txt]}}
     |                                                            ^
help: an output is one file inside the project, not in .mmetl/, without wildcards
""",
    ),
    "absolute output": (
        "  a: {transform: shell.run, params: {command: x, outputs: [ok.txt, /tmp/o.txt]}}\n",
        """\
pipeline.yaml:4:68: error: '/tmp/o.txt' cannot be an output
   4 |   a: {transform: shell.run, params: {command: x, outputs: [ok.txt, /tmp/o.txt]}}
     |                                                                    ^
help: an output is one file inside the project, not in .mmetl/, without wildcards
""",
    ),
    "output in the state folder": (
        "  a: {transform: shell.run, params: {command: x, outputs: [d/../.mmetl/o.txt]}}\n",
        """\
pipeline.yaml:4:60: error: 'd/../.mmetl/o.txt' cannot be an output
   4 |   a: {transform: shell.run, params: {command: x, outputs: [d/../.mmetl/o.txt]}}
     |                                                            ^
help: an output is one file inside the project, not in .mmetl/, without wildcards
""",
    ),
    "glob as output": (
        "  a: {transform: shell.run, params: {command: x, outputs: ['*.txt']}}\n",
        """\
pipeline.yaml:4:60: error: '*.txt' cannot be an output
   4 |   a: {transform: shell.run, params: {command: x, outputs: ['*.txt']}}
     |                                                            ^
help: an output is one file inside the project, not in .mmetl/, without wildcards
""",
    ),
    "input outside the project": (
        "  a: {transform: shell.run, params: {command: x, inputs: [in.txt, ../o.txt]}}\n",
        """\
pipeline.yaml:4:67: error: '../o.txt' is outside the project
   4 |   a: {transform: shell.run, params: {command: x, inputs: [in.txt, ../o.txt]}}
     |                                                                   ^
help: paths are relative to the project's folder; name outside files by an absolute path
""",
    ),
    "reads what it writes": (
        "  a: {transform: shell.run, params: {command: x, inputs: [o.txt], outputs: [o.txt]}}\n",
        """\
pipeline.yaml:4:59: error: task 'a' reads 'o.txt', which it writes
   4 |   a: {transform: shell.run, params: {command: x, inputs: [o.txt], outputs: [o.txt]}}
     |                                                           ^
help: write to another path
""",
    ),
    "empty command": (
        "  a: {transform: shell.run, params: {command: ''}}\n",
        """\
pipeline.yaml:4:47: error: the command is empty
   4 |   a: {transform: shell.run, params: {command: ''}}
     |                                               ^
help: write what the shell should run
""",
    ),
    "no function": (
        "  a: {transform: python.run, params: {function: copy}}\n",
        """\
pipeline.yaml:4:49: error: 'copy' names no function
   4 |   a: {transform: python.run, params: {function: copy}}
     |                                                 ^
help: write module:function
""",
    ),
    "function missing": (
        "  a: {transform: python.run, params: {function: 'steps:cpy'}}\n",
        """\
pipeline.yaml:4:49: error: 'steps' has no function 'cpy'
   4 |   a: {transform: python.run, params: {function: 'steps:cpy'}}
     |                                                 ^
help: did you mean 'copy'?
""",
    ),
    "wrong argument": (
        "  a: {transform: python.run, params: {function: 'steps:copy', args: {sorce: x, target: y}}}\n",
        """\
pipeline.yaml:4:49: error: 'steps:copy' needs 'source', which task 'a' does not give
   4 |   a: {transform: python.run, params: {function: 'steps:copy', args: {sorce: x, target: y}}}
     |                                                 ^
help: it takes: source, target

pipeline.yaml:4:70: error: 'steps:copy' has no parameter 'sorce'
   4 |   a: {transform: python.run, params: {function: 'steps:copy', args: {sorce: x, target: y}}}
     |                                                                      ^
help: did you mean 'source'? it takes: source, target
""",
    ),
    "secret in env": (
        "  a: {transform: shell.run, env: [MODE, API_TOKEN], params: {command: x}}\n",
        """\
pipeline.yaml:4:41: error: 'API_TOKEN' looks like a secret, which must not count in a recipe
   4 |   a: {transform: shell.run, env: [MODE, API_TOKEN], params: {command: x}}
     |                                         ^
help: pass it as ${secret:API_TOKEN} in params
""",
    ),
}


@pytest.mark.parametrize(("tasks", "text"), ERRORS.values(), ids=ERRORS.keys())
def test_error(project: Project, tasks: str, text: str) -> None:
    """Each error has its file, line, column and caret, and the way to mend it; nothing runs."""
    project.tasks(tasks)
    done = project.fast("run")
    assert done.err == text
    assert (done.code, done.out) == (3, "")
    assert project.fast("validate").err == text


def test_ten_errors_then_how_many_more(project: Project) -> None:
    """All are told at once, ten in full."""
    project.tasks(
        "".join(f"  t{n}: {{transform: shell.run, params: {{command: '', outputs: []}}}}\n" for n in range(13))
    )
    done = project.fast("validate")
    assert done.code == 3
    assert done.err.count(": error: the command is empty\n") == 10
    assert done.err.endswith("help: write what the shell should run\n\nand 3 more\n")


def test_problems_of_different_tasks_come_together(project: Project) -> None:
    """One wrong task does not hide another, nor the files that both write."""
    project.tasks(
        "  a: {transform: nothing.at_all}\n"
        "  b: {transform: shell.run, params: {command: x, outputs: [o]}}\n"
        "  c: {transform: shell.run, params: {command: x, outputs: [o]}}\n"
    )
    errors = [line for line in project.fast("validate").err.splitlines() if ": error: " in line]
    assert [e.partition(": error: ")[2] for e in errors] == [
        "no transform is named 'nothing.at_all'",
        "tasks 'b' and 'c' both write 'o'",
    ]


def test_all_kinds_of_problems_come_together(project: Project) -> None:
    """What the schema, interpolation, transforms and code find is told at once; nothing that only follows from it."""
    project.write(
        "pipeline.yaml",
        "version: 2\nname: P\nvars: {v: '${NOT_SET}'}\ntasks:\n"
        "  a: {transform: shell.run, retires: 1, inputs: [z], params: {comand: x}}\n"
        "  b: {transform: shell.run, depends_on: [y], params: {command: '${NOT_SET_EITHER}', outputs: o}}\n"
        "  c: {transform: tabular.sql, params: {sql: select * from bb}}\n"
        "  d: {transform: python.run, params: {function: 'steps:nothing'}}\n"
        "  e: {transform: shell.run, depends_on: [a, b, g], params: {command: '${var:v}'}}\n"
        "  f: {transform: shell.run, tags: x, depends_on: [a, b, e, g], params: {command: x}}\n"
        "  g: {params: {command: x}}\n",
    )
    errors = [line for line in project.fast("validate").err.splitlines() if "error: " in line or line.startswith("and")]
    assert errors == [
        "pipeline.yaml:1:10: error: 'version' is 2, expected 1",
        "pipeline.yaml:2:7: error: 'name' is 'P', expected a name: a lower-case letter, then up to 62 lower-case letters, digits or '_'",
        "pipeline.yaml:3:12: error: environment variable 'NOT_SET' is not set",
        "pipeline.yaml:5:29: error: task 'a' has no key 'retires'",
        "pipeline.yaml:5:50: error: task 'a' reads 'z', which is not a task of this pipeline",
        "pipeline.yaml:5:54: error: task 'a' needs param 'command'",
        "pipeline.yaml:5:63: error: task 'a' has no param 'comand'",
        "pipeline.yaml:6:42: error: task 'b' depends on 'y', which is not a task of this pipeline",
        "pipeline.yaml:6:65: error: environment variable 'NOT_SET_EITHER' is not set",
        "pipeline.yaml:7:59: error: there is no task 'bb'",
        "and 3 more",
    ]
    project.edit("pipeline.yaml", "version: 2\nname: P\nvars: {v: '${NOT_SET}'}", "version: 1\nname: p\nvars: {v: x}")
    errors = [line for line in project.fast("validate").err.splitlines() if "error: " in line]
    assert errors[-3:] == [
        "pipeline.yaml:8:49: error: 'steps' has no function 'nothing'",
        "pipeline.yaml:10:35: error: 'tags' is 'x', expected a list",
        "pipeline.yaml:11:3: error: task 'g' needs 'transform'",
    ]


@pytest.mark.parametrize(
    "wrong", ["imports: [nothing.py]", "vars: {a: null}", "pool: {}", "tasks: 3", "imports: x", "pools: {a: b}"]
)
def test_what_all_tasks_may_depend_on_is_told_alone(project: Project, wrong: str) -> None:
    """Tasks are judged when what they share is right: they may be wrong for that alone."""
    task = "" if "tasks" in wrong else "tasks:\n  a: {transform: x.y, pool: a, params: {command: x}}\n"
    project.write("pipeline.yaml", f"version: 1\nname: p\n{wrong}\n{task}")
    assert [line.partition(":")[2][0] for line in project.fast("validate").err.splitlines() if "error:" in line] == [
        "3"
    ]


def test_valid(project: Project) -> None:
    """A valid pipeline is told as one line."""
    assert project.fast("validate").out == "p: valid, 2 tasks\n"


WRONG = """\
version: 1
name: p
tasks:
  a:
    transform: shell.run
    depends_on: [b, nope]
    params: {command: out.txt, outputs: [out.txt, out.txt]}
  b:
    transform: shell.run
    depends_on: [b]
    params: {command: out.txt, inputs: [x], outputs: [z, ./out.txt]}
  c:
    transform: shell.run
    params: {command: [cp, x, ../x, /x, k], inputs: [../x], outputs: [/x, k]}
  d:
    transform: tabular.write
    inputs: {t: d}
    params: {path: k}
"""
SAID = """\
pipeline.yaml:6:21: error: task 'a' depends on 'nope', which is not a task of this pipeline
   6 |     depends_on: [b, nope]
     |                     ^
help: tasks: b, c, d

pipeline.yaml:10:18: error: task 'b' cannot depend on itself
  10 |     depends_on: [b]
     |                  ^

pipeline.yaml:14:54: error: '../x' is outside the project
  14 |     params: {command: [cp, x, ../x, /x, k], inputs: [../x], outputs: [/x, k]}
     |                                                      ^
help: paths are relative to the project's folder; name outside files by an absolute path

pipeline.yaml:14:71: error: '/x' cannot be an output
  14 |     params: {command: [cp, x, ../x, /x, k], inputs: [../x], outputs: [/x, k]}
     |                                                                       ^
help: an output is one file inside the project, not in .mmetl/, without wildcards

pipeline.yaml:17:17: error: task 'd' cannot read itself
  17 |     inputs: {t: d}
     |                 ^
"""
TWO_WRITERS = """\
pipeline.yaml:9:58: error: tasks 'a' and 'b' both write 'out.txt'
   9 |     params: {command: out.txt, inputs: [x], outputs: [z, ./out.txt]}
     |                                                          ^
help: give each its own file

pipeline.yaml:16:20: error: tasks 'c' and 'd' both write 'k.csv'
  16 |     params: {path: k.csv}
     |                    ^
help: give each its own file
"""


def test_places_of_dependencies_and_paths(empty: Project) -> None:
    """Each caret is where the name stands that is wrong, not where the same text stands elsewhere; in order."""
    empty.write("pipeline.yaml", WRONG.replace("path: k", "path: k.csv"))
    assert empty.fast("validate").err == SAID
    lines = [line for line in WRONG.splitlines() if "depends_on" not in line]
    text = "\n".join(lines).replace("../x", "x").replace("/x, k", "k.csv").replace("{t: d}", "[a]")
    empty.write("pipeline.yaml", text.replace("path: k", "path: k.csv"))
    assert empty.fast("validate").err == TWO_WRITERS
