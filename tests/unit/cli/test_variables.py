"""`--var name=value`: what is taken, and what is a wrong command line."""

from __future__ import annotations

import pytest
from harness import Project

VARS = """\
version: 1
name: p
vars: {delay: 15, word: x}
tasks:
  a: {transform: shell.run, params: {command: "echo ${var:delay} ${var:word}"}}
"""
ONE_VALUE = "expected true or false, a number or text\nhelp: a text is written --var '{name}=\"...\"'\n"
BAD_VARS = {
    "list": ("word=[1]", "--var word is a list, " + ONE_VALUE.format(name="word")),
    "mapping": ("word={a: b}", "--var word is a mapping, " + ONE_VALUE.format(name="word")),
    "nothing": ("word=", "--var word is empty, " + ONE_VALUE.format(name="word")),
    "null": ("delay=~", "--var delay is empty, " + ONE_VALUE.format(name="delay")),
    "no end": ("delay=.inf", "--var delay is not a finite number, " + ONE_VALUE.format(name="delay")),
    "unknown": (
        "wrod=1",
        "--var sets 'wrod', but the pipeline has no such var\nhelp: did you mean 'word'? vars: delay, word\n",
    ),
    "no value": ("word", "--var 'word' has no value\nhelp: write --var name=value\n"),
    "not UTF-8": ("word=\udcff", "--var word is not UTF-8\n"),
}


@pytest.mark.parametrize(("pair", "said"), BAD_VARS.values(), ids=BAD_VARS.keys())
@pytest.mark.parametrize("command", ["validate", "dry-run", "run"])
def test_wrong_variables(empty: Project, command: str, pair: str, said: str) -> None:
    """What YAML would not take as a var is a wrong command line."""
    empty.write("pipeline.yaml", VARS)
    done = empty.fast(command, "--var", pair)
    assert (done.code, done.out, done.err) == (2, "", f"error: {said}")


@pytest.mark.parametrize(
    "pair",
    ["word=[1", "word='[1]'", 'word=""', "delay=2.5", "delay=true", "word=a b", "word=see: b", "word=- b", "word=no"],
)
def test_good_variables(empty: Project, pair: str) -> None:
    empty.write("pipeline.yaml", VARS)
    assert empty.fast("run", "--var", pair).code == 0


def test_problems_of_the_file_come_first(empty: Project) -> None:
    """With a file that is wrong as well, all is told at once."""
    empty.write("pipeline.yaml", VARS.replace("shell.run", "[]"))
    done = empty.fast("validate", "--var", "wrod=1")
    assert done.code == 3
    assert "--var sets 'wrod'" in done.err
    assert "pipeline.yaml:5:18: error: " in done.err
