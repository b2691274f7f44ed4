"""Optional packages: what to say when one is not installed."""

from __future__ import annotations

import importlib

from mmetl.errors import MissingError
from mmetl.utils.env import one_blas_thread


def require(extra: str, *packages: str) -> None:
    """Import packages of an extra, so that a missing one is named before any work is done.

    Args:
        extra: which extra of mmETL brings them, such as `tabular`.
        packages: names to import.

    Raises:
        MissingError: for the first one that is not installed.
    """
    one_blas_thread()  # many of them import numpy, which reads it once
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            if error.name != package:
                raise
            raise MissingError(f"'{package}' is not installed", help=f"pip install 'mmetl[{extra}]'") from None
