"""Files that DuckDB reads as copies in the scratch folder.

Compressed ones are unpacked first, whole, so that one that is cut off is told; JSON loses the mark that Windows puts before UTF-8.
"""

from __future__ import annotations

import codecs
import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from mmetl.errors import TaskError

_CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_PIECE_BYTES = 1 << 20


def unpacked(scratch: Path, shown: Mapping[Path, str]) -> dict[Path, str]:
    """Return the files to read -> what messages call them: each compressed one stands for its unpacked copy.

    Raises:
        TaskError: for a file that is not what its extension says, or is cut off.
    """
    return {
        _unpack(path, name, scratch / f"unpacked-{number}") if path.suffix.lower() in _CODECS else path: name
        for number, (path, name) in enumerate(shown.items())
    }


def without_marks(scratch: Path, shown: Mapping[Path, str]) -> dict[Path, str]:
    """Return the files to read -> what messages call them: one that begins with a byte order mark stands for its copy without it."""
    return {_unmarked(path, scratch / f"unmarked-{number}"): name for number, (path, name) in enumerate(shown.items())}


def _unmarked(path: Path, copy: Path) -> Path:
    with path.open("rb") as file:
        if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
            return path
        copy.parent.mkdir(parents=True, exist_ok=True)
        with copy.open("wb") as plain:
            shutil.copyfileobj(file, plain, _PIECE_BYTES)
    return copy


def _unpack(path: Path, name: str, copy: Path) -> Path:
    codec = _CODECS[path.suffix.lower()]
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("rb") as raw, pa.CompressedInputStream(raw, codec) as packed, copy.open("wb") as file:
            shutil.copyfileobj(packed, file, _PIECE_BYTES)
    except OSError as error:
        if error.errno is not None:  # the disk, not the file
            raise
        raise TaskError(
            f"'{name}' cannot be unpacked: {error}", help=f"it is no {codec} file, or its end is missing"
        ) from error
    return copy
