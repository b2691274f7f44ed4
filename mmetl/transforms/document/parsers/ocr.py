"""Words in pictures, read by tesseract: a program of the system, which is called for each picture."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from mmetl.errors import MissingError
from mmetl.transforms.document.parsed import Unreadable

PROGRAM = "tesseract"
_FOLDER = re.compile(r'"([^"]+)"')
_HOW = "install it: apt-get install tesseract-ocr (Debian, Ubuntu), brew install tesseract (macOS)"


def words_of(picture: Any, languages: str, dpi: int | None = None) -> str:
    """Return the words of a picture, line by line.

    Args:
        picture: a PIL image.
        languages: as tesseract names them (`eng+deu`).
        dpi: dots per inch, where they are known.

    Raises:
        Unreadable: if tesseract gives up.
        MissingError: if it is not installed.
    """
    made = io.BytesIO()
    picture.save(made, "PNG", compress_level=1)
    argv = [PROGRAM, "stdin", "stdout", "-l", languages, *(["--dpi", str(dpi)] if dpi else [])]
    # Workers run side by side; the threads of one tesseract would get into the way of the others, and are no faster.
    env = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    try:
        done = subprocess.run(argv, input=made.getvalue(), capture_output=True, env=env, check=False)
    except FileNotFoundError:
        raise MissingError(f"'{PROGRAM}' is not installed", help=_HOW) from None
    if done.returncode:
        told = " ".join(done.stderr.decode("utf-8", "replace").split())[-200:]
        raise Unreadable(f"{PROGRAM} could not read it: {told or f'exit code {done.returncode}'}")
    text = done.stdout.decode("utf-8", "replace").replace("\f", "")
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def ocr_files(languages: Sequence[str]) -> tuple[str, ...]:
    """Return the files that decide what OCR reads: the program and its data.

    Raises:
        MissingError: if one of them is not installed.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise MissingError(f"'{PROGRAM}' is not installed", help=_HOW)
    said = subprocess.run([program, "--list-langs"], capture_output=True, text=True, check=False).stdout
    first, *installed = said.splitlines() or [""]
    folder = _FOLDER.search(first)
    for language in languages:
        if language not in installed or folder is None:
            raise MissingError(
                f"{PROGRAM} has no data for the language '{language}'",
                help=f"install it: apt-get install tesseract-ocr-{language}; it has: {', '.join(installed) or 'none'}",
            )
    assert folder
    data = [os.path.join(folder[1], f"{language}.traineddata") for language in languages]
    return tuple(os.path.realpath(path) for path in (program, *data))
