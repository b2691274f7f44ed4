"""Words for messages: the near name, a list of names, a number of things."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

LINE_CHARACTERS = 200  # of a line of a file in an error: a minified file would fill the screen

_STYLE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # what a terminal takes for a colour or a move


def near(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice that `name` was probably meant to be, or None when none is close."""
    return _near(name, tuple(choices))


@functools.lru_cache(maxsize=256)
def _near(name: str, choices: tuple[str, ...]) -> str | None:
    # One typing error is often repeated in thousands of tasks; comparing names is slow.
    import difflib

    folded = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def shown(text: str) -> str:
    r"""Return a text on one line, as it can be printed anywhere: bytes of a name that are not UTF-8 are written as such.

    >>> shown("a b.txt"), shown("a\nb"), shown("a\udcff")
    ('a b.txt', 'a\\nb', 'a\\xff')
    """
    if text.isprintable():
        return text
    known = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in known)


def plain(text: str) -> str:
    r"""Return a text of any lines as it can be printed anywhere: without colours and without what moves a cursor.

    >>> plain("\x1b[31mred\x1b[0m\nnext\x00")
    'red\nnext\\x00'
    """
    if text.isprintable():
        return text
    bare = _STYLE.sub("", text).replace("\t", " ").replace("\r\n", "\n")
    return "\n".join(map(shown, bare.split("\n")))


def pointed(line: str, column: int) -> tuple[str, int]:
    """Return a line as an error shows it, and how many cells of a terminal stand before a column, from 1.

    A long line is cut on both sides of the column; characters that are no text are blanks.

    >>> pointed("a: 日本 x", 7)
    ('a: 日本 x', 8)
    """
    text = "".join(c if c.isprintable() else " " for c in line)
    before = column - 1
    if len(text) > LINE_CHARACTERS:
        begin = max(0, min(before, len(text)) - LINE_CHARACTERS // 2)
        end = begin + LINE_CHARACTERS
        head, tail = "…" * (begin > 0), "…" * (end < len(text))
        text, before = head + text[begin:end] + tail, before - begin + len(head)
    return text, _cells(text[:before]) + max(0, before - len(text))


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def is_utf8(text: str) -> bool:
    """Tell whether a text from the operating system holds no bytes that are not UTF-8."""
    return text.isascii() or not any("\udc80" <= c <= "\udcff" for c in text)


def why_not(error: OSError) -> str:
    """Say in plain words what the operating system refused.

    >>> why_not(FileNotFoundError(2, "No such file or directory"))
    'no such file or directory'
    """
    return (error.strerror or str(error)).lower()


def either(words: Iterable[str]) -> str:
    """Join alternatives.

    >>> either(["a list", "text", "a number"])
    'a list, text or a number'
    """
    listed = list(dict.fromkeys(words))
    return " or ".join([", ".join(listed[:-1]), listed[-1]]) if len(listed) > 1 else "".join(listed)


def quote(name: str) -> str:
    """Return an identifier as SQL.

    >>> quote("from")
    '"from"'
    """
    return '"' + name.replace('"', '""') + '"'
