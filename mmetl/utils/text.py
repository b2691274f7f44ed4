"""Words for messages: the near name, a list of names, a number of things."""

from __future__ import annotations

import functools
from collections.abc import Iterable


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


def either(words: Iterable[str]) -> str:
    """Join alternatives.

    >>> either(["a list", "text", "a number"])
    'a list, text or a number'
    """
    listed = list(dict.fromkeys(words))
    return " or ".join([", ".join(listed[:-1]), listed[-1]]) if len(listed) > 1 else "".join(listed)
