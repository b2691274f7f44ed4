"""Import LanceDB in half of its time.

It brings a client of a REST service, which mmETL does not use and which nobody may do without: of each of its 366 methods pydantic makes a
schema of the arguments as soon as it is imported, 0.35 s of CPU. While it is imported, pydantic is told to do that when a method is first
called. What a method does then is the same.

Of 105 methods that override another one it is found out, by reading the bytecode of whole modules, whether they do, 0.15 s of CPU. That is
a test of LanceDB, which its authors have run.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from mmetl.engines.packages import require

_importing = threading.Lock()


def require_lancedb() -> Any:
    """Return the module. Raises MissingError if it is not installed."""
    with _importing, _validated_late(), _overrides_believed():
        require("lancedb", "lancedb")
    import lancedb

    return lancedb


@contextlib.contextmanager
def _validated_late() -> Iterator[None]:
    import pydantic

    at_once = pydantic.validate_call
    pydantic.validate_call = functools.partial(_late, at_once)
    try:
        yield
    finally:
        pydantic.validate_call = at_once


@contextlib.contextmanager
def _overrides_believed() -> Iterator[None]:
    try:
        import overrides
    except ModuleNotFoundError:  # LanceDB brings it, today
        yield
        return
    found_out = overrides.override
    overrides.override = functools.partial(_believed, found_out)
    try:
        yield
    finally:
        overrides.override = found_out


def _believed(override: Callable[..., Any], method: Any = None, /, **options: Any) -> Any:
    """Do what `overrides.override` does, and believe that the method overrides another one."""
    if not isinstance(method, FunctionType) or options:
        return override(method, **options)
    method.__override__ = True  # type: ignore[attr-defined]
    return method


def _late(validate: Callable[..., Any], function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Do what `pydantic.validate_call` does, when the function is first called."""
    if function is None:
        return functools.partial(_late, validate, **options)

    @functools.cache
    def made() -> Callable[..., Any]:
        checked: Callable[..., Any] = validate(function, **options)
        return checked

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return made()(*args, **kwargs)

    return call
