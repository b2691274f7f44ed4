"""How a pipeline names a function of its project."""

from __future__ import annotations


def entry_of(function: str) -> str:
    """Return the function of a check as `module:qualname`; it may be written with dots only.

    >>> entry_of("checks.no_future")
    'checks:no_future'
    """
    module, dot, name = function.rpartition(".")
    return function if ":" in function or not dot else f"{module}:{name}"
