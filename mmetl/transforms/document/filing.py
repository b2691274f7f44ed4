"""The name and the bytes of the file that a row becomes."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import math
import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from mmetl.errors import TaskError

NAME_BYTES = 255
"""The longest name of a file or folder on common file systems."""

_UNUSABLE = re.compile(r'[\x00-\x1f\x7f-\x9f\\:*?"<>|]')
"""What cannot stand in a name on Linux, macOS or Windows, or breaks the lines of those who list it."""

_PLAIN_KEY = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z_][a-z0-9_]*", re.IGNORECASE)
"""What is a text as a key of YAML 1.1, without quotes."""

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")


class NamePattern:
    """A pattern such as `{year}/{title}`, as in Python's `str.format`; `{n:04}` and `{day:%Y-%m}` too.

    Args:
        pattern: its text. Raises ValueError if it is none.
    """

    def __init__(self, pattern: str) -> None:
        self._pieces = list(string.Formatter().parse(pattern))
        for _, column, _, conversion in self._pieces:
            if column is not None and (not column or conversion):
                raise ValueError("each brace needs the name of a column, and no '!'")

    @property
    def columns(self) -> list[str]:
        """The columns that it names."""
        return list(dict.fromkeys(column for _, column, _, _ in self._pieces if column))

    def name(self, row: Mapping[str, Any], extension: str) -> str:
        """Return the name for a row, with an extension that it may have already. Raises TaskError where there is none."""
        made = []
        for text, column, spec, _ in self._pieces:
            made.append(text)
            if column:
                made.append(_formatted(column, row[column], spec or ""))
        name = _clean("".join(made))
        return _short_enough(name if name.lower().endswith(extension) else name + extension)


def _formatted(column: str, value: Any, spec: str) -> str:
    if value is None:
        raise TaskError(f"'{column}' is null, and names a file", help="leave such rows out, or name files by others")
    try:
        return format(value, spec)
    except (ValueError, TypeError) as error:
        raise TaskError(
            f"'{column}' cannot be written as '{{{column}:{spec}}}': {error}", help="mend the pattern in `name`"
        ) from error


def _clean(name: str) -> str:
    """Return a name that stays inside of its folder, and that every common file system takes.

    >>> _clean("/a: b?/./.hidden")
    'a_ b_/_hidden'
    """
    segments = [s for s in _UNUSABLE.sub("_", unicodedata.normalize("NFC", name)).split("/") if s not in {"", "."}]
    if ".." in segments:
        raise TaskError(f"the name '{name}' leads out of the folder", help="name files by columns without '..'")
    if not segments:
        raise TaskError(f"the name '{name}' names no file", help="name files by columns that are not empty")
    return "/".join(_segment(s) for s in segments)


def _segment(segment: str) -> str:
    if segment[0] == ".":
        segment = f"_{segment[1:]}"
    if segment[-1] in ". ":
        segment = f"{segment[:-1]}_"
    return segment


def _short_enough(name: str) -> str:
    for segment in name.split("/"):
        if len(segment.encode()) > NAME_BYTES:
            raise TaskError(f"the name '{segment[:40]}...' is too long", help="name files by shorter columns")
    return name


def front_matter(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    r"""Return columns as the YAML at the top of a Markdown file; its values are JSON, which is YAML too.

    >>> front_matter({"title": "A: b", "size": 1}, ["title", "size"])
    '---\ntitle: "A: b"\nsize: 1\n---\n\n'
    """
    lines = [f"{name if _PLAIN_KEY.fullmatch(name) else _json(name)}: {_json(row[name])}\n" for name in columns]
    return f"---\n{''.join(lines)}---\n\n" if lines else ""


def json_line(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """Return columns as one line of JSON."""
    return _json({name: row[name] for name in columns}) + "\n"


def _json(value: Any) -> str:
    text = json.dumps(_plain(value), ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda m: f"\\u{ord(m[0]):04x}", text)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: times are ISO 8601, bytes base64, numbers that are none null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value) if isinstance(value, decimal.Decimal | dt.timedelta) else value
