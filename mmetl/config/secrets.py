"""`${secret:NAME}`: text until the task runs, then the value of an environment variable.

In a loaded tree exactly one `$` before `{secret:NAME}` is a live secret. A literal one, whether written as
`$${secret:NAME}` or brought in by the value of a variable, has one `$` more than its final text; `resolve_secrets` takes it
off. This survives JSON, so a kept plan and a fresh one mean the same, and no value can turn itself into a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmetl.errors import TaskError

_MARK = re.compile(r"\$+(?=\{secret:)")
_ANY = re.compile(r"(\$+)\{secret:(?:([A-Za-z_][A-Za-z0-9_]*)\})?")
_SECRET_WORDS = frozenset(
    "PASS PASSWORDS PASSPHRASE PRIVATE KEY KEYS SECRETS CREDENTIALS APIKEYS".split()  # noqa: SIM905 - reads as a list
)
_SECRET_ENDS = ("PASSWORD", "PASSWD", "SECRET", "TOKEN", "CREDENTIAL", "APIKEY")


def looks_secret(name: str) -> bool:
    """Return whether a variable of this name probably holds a secret: API_KEY, DB_PASSWORD, HF_TOKEN.

    The plural TOKENS is left out: MAX_TOKENS is a number.
    """
    return any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDS) for word in name.upper().split("_"))


def literal(text: str) -> str:
    """Return `text` in the form that is never taken for a live secret."""
    return _MARK.sub(r"$\g<0>", text) if "{secret:" in text else text


def secret_names(value: Any) -> set[str]:
    """Return the names of all live secrets in a value of mappings, lists and text."""
    return {
        found[2]
        for text in _texts(value)
        if "{secret:" in text
        for found in _ANY.finditer(text)
        if found[2] and len(found[1]) == 1
    }


SHORTEST_LINE = 6  # characters: a shorter line of a secret, such as `}`, stands in many texts that give nothing away


def secret_values(value: Any, env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the texts by which the live secrets of a value would show, the longest first.

    Those are each secret as it is, as `repr` and JSON write it, and the lines of one that has several.
    """
    found: set[str] = set()
    for secret in {env.get(name, "") for name in secret_names(value)} - {""}:
        lines = (line.strip() for line in secret.splitlines())
        found |= {secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]}
        found |= {line for line in lines if len(line) >= SHORTEST_LINE}
    return tuple(sorted(found, key=len, reverse=True))


def resolve_secrets(value: Any, env: Mapping[str, str]) -> Any:
    """Return the value with every live secret replaced, and literal ones as they are meant.

    Raises:
        TaskError: a secret is not set; its value is in no message.
    """
    if isinstance(value, str):
        return _ANY.sub(lambda found: _replace(found, env), value) if "{secret:" in value else value
    if isinstance(value, Mapping):
        return {key: resolve_secrets(item, env) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(resolve_secrets(item, env) for item in value)
    return value


def _replace(found: re.Match[str], env: Mapping[str, str]) -> str:
    if len(found[1]) > 1:
        return found[0][1:]
    name = found[2]
    if not name:
        return found[0]
    if name not in env:
        raise TaskError(f"secret '{name}' is not set", help=f"set the environment variable '{name}' where mmetl runs")
    return env[name]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
