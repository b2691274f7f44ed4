"""Interpolation and secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mmetl.config.resolver import Span, interpolate
from mmetl.config.secrets import looks_secret, resolve_secrets, secret_names
from mmetl.errors import TaskError
from mmetl.utils.env import Env

ENV = {"A": "1", "EMPTY": "", "DOLLAR": "$", "EVIL": "${secret:PW}", "HOME": "/h"}
VARS: dict[str, Any] = {
    "n": 3,
    "f": 0.5,
    "t": True,
    "s": "x",
    "ref": "<${var:s}>",
    "pw": "${secret:PW}",
    "typed": "${var:n}",
}


def resolved(text: str, variables: dict[str, Any] | None = None) -> Any:
    tree: dict[str, Any] = {"vars": dict(VARS), "deep": [{"x": text}]}
    trace = interpolate(tree, variables or {}, Env(ENV))
    assert trace.faults == []
    return tree["deep"][0]["x"]


CASES: list[tuple[str, Any]] = [
    ("no dollar", "no dollar"),
    ("$A $ $$ }", "$A $ $$ }"),
    ("${A}", "1"),
    ("a${A}b${HOME}", "a1b/h"),
    ("${EMPTY}", ""),
    ("${EMPTY:-x}", "x"),
    ("${NONE:-}", ""),
    ("${NONE:-a:-b}", "a:-b"),
    ("${NONE:-${A}/${var:s}}", "1/x"),
    ("${A:?needed}", "1"),
    ("${var:n}", 3),
    ("${var:f}", 0.5),
    ("${var:t}", True),
    (" ${var:n}", " 3"),
    ("${var:t}-${var:f}", "true-0.5"),
    ("${var:ref}", "<x>"),
    ("${var:typed}", 3),
    ("$${A}", "${A}"),
    ("$$${A}", "$${A}"),
    ("${NONE:-$${A}}", "${A}"),
    ("${secret:PW}", "${secret:PW}"),
    ("u:${secret:PW}@${HOME}", "u:${secret:PW}@/h"),
    ("u:${var:pw}", "u:${secret:PW}"),
    ("${NONE:-${secret:PW}}", "${secret:PW}"),
]


@pytest.mark.parametrize(("text", "value"), CASES, ids=[text for text, _ in CASES])
def test_interpolation(text: str, value: object) -> None:
    """Text in, value out, with the type of a var that stands alone."""
    assert resolved(text) == value
    assert type(resolved(text)) is type(value)


def test_variables_win_over_vars() -> None:
    """A var that refers to another sees the value of the command line."""
    assert resolved("${var:ref}", {"s": "y"}) == "<y>"


def test_keys_are_not_touched() -> None:
    """Interpolation is for values."""
    tree = {"${A}": "${A}"}
    interpolate(tree, {}, Env(ENV))
    assert tree == {"${A}": "1"}


def test_spans_lead_back_to_the_original() -> None:
    """Each replaced part, with its place in both texts."""
    tree = {"x": "ab${A}c${HOME}"}
    trace = interpolate(tree, {}, Env(ENV))
    assert trace.spans == {("x",): (Span(2, 3, 2, 6), Span(4, 6, 7, 14))}
    assert trace.hidden == {("x",)}


LITERALS = ["$${secret:PW}", "${EVIL}", "${NONE:-$${secret:PW}}", "${DOLLAR}{secret:PW}", "$$${secret:PW}"]


@pytest.mark.parametrize("text", LITERALS)
def test_literal_secret_is_never_resolved(text: str) -> None:
    """Neither an escape nor the value of a variable becomes a live secret, not even through JSON."""
    value = json.loads(json.dumps(resolved(text)))
    assert secret_names(value) == set()
    final = resolve_secrets(value, {"PW": "hunter2"})
    assert final == ("$${secret:PW}" if text.startswith("$$$") else "${secret:PW}")


def test_given_variable_is_literal() -> None:
    """`--var x='${secret:PW}'` is text."""
    value = resolved("${var:s}", {"s": "${secret:PW}"})
    assert secret_names(value) == set()
    assert resolve_secrets(value, {}) == "${secret:PW}"


def test_live_secrets() -> None:
    """Found and resolved anywhere in a value; what is no secret stays."""
    value = {"a": ["u:${secret:PW}@${secret:HOST}", 1], "b": "{secret:X} ${secret:}", "c": None}
    assert secret_names(value) == {"PW", "HOST"}
    secrets = {"PW": "${secret:HOST}", "HOST": "h"}
    assert resolve_secrets(value, secrets) == {
        "a": ["u:${secret:HOST}@h", 1],
        "b": "{secret:X} ${secret:}",
        "c": None,
    }


def test_missing_secret() -> None:
    """The error names the variable and the way out."""
    with pytest.raises(TaskError) as caught:
        resolve_secrets({"a": "${secret:DB_PW}"}, {"OTHER": "x"})
    help_ = "set the environment variable 'DB_PW' where mmetl runs"
    assert str(caught.value) == f"error: secret 'DB_PW' is not set\nhelp: {help_}"


def test_dollar_before_a_secret_is_refused() -> None:
    """`$` and a live secret would read as a literal one."""
    tree = {"x": "${DOLLAR}${secret:PW}"}
    trace = interpolate(tree, {}, Env(ENV))
    assert [fault.what for fault in trace.faults] == ["a '$' comes directly before '${secret:PW}'"]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("API_KEY", True),
        ("APIKEY", True),
        ("DB_PASSWORD", True),
        ("PGPASSWORD", True),
        ("HF_TOKEN", True),
        ("GH_PRIVATE_PEM", True),
        ("client_secret", True),
        ("AWS_CREDENTIALS", True),
        ("PASSWD", True),
        ("MAX_TOKENS", False),
        ("TOKENIZER", False),
        ("KEYBOARD", False),
        ("MONKEY", False),
        ("HOME", False),
        ("PWD", False),
    ],
)
def test_looks_secret(name: str, secret: bool) -> None:
    """By word parts, so that harmless names stay usable."""
    assert looks_secret(name) is secret
