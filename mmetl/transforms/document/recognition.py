"""Entities by a spaCy model: one that is installed as a package, or one in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mmetl.engines.packages import require
from mmetl.errors import TaskError
from mmetl.transforms.document.gazetteer import Mention

BATCH = 64  # texts that the model is given at a time: it holds some megabytes for each
NEEDLESS = ("lemmatizer", "attribute_ruler", "tagger", "parser")
"""Parts of a pipeline that do not help to recognise entities, and take most of its time."""


def recogniser(
    model: str | Path, labels: Sequence[str] = ()
) -> Callable[[Sequence[str]], Sequence[Sequence[Mention] | str]]:
    """Return what recognises entities in texts; for a text that is too long it returns why there are none.

    Args:
        model: a package's name or a folder.
        labels: those that count; empty: all.

    Raises:
        MissingError: if spaCy is not installed.
        TaskError: if there is no such model, or it knows no entities.
    """
    require("spacy", "spacy")
    import spacy

    try:
        pipeline = spacy.load(model, exclude=NEEDLESS)
    except OSError as error:
        raise TaskError(
            f"the model '{model}' cannot be loaded: {str(error).splitlines()[0]}",
            help="install its package, or name a folder of the project that holds a spaCy pipeline",
        ) from error
    if not any(
        hasattr(pipe, "labels") and name in {"ner", "entity_ruler", "span_ruler"} for name, pipe in pipeline.pipeline
    ):
        raise TaskError(f"the model '{model}' recognises no entities", help="take one with the component `ner`")

    def recognise(texts: Sequence[str]) -> list[Sequence[Mention] | str]:
        short = [text if len(text) <= pipeline.max_length else "" for text in texts]
        found: list[Sequence[Mention] | str] = []
        for text, document in zip(texts, pipeline.pipe(short, batch_size=BATCH), strict=True):
            if len(text) > pipeline.max_length:
                found.append(
                    f"the model reads {pipeline.max_length:,} characters, the text has {len(text):,}: chunk it first"
                )
                continue
            found.append(
                [
                    Mention(e.start_char, e.end_char, e.label_, " ".join(e.text.split()))
                    for e in document.ents
                    if not labels or e.label_ in labels
                ]
            )
        return found

    return recognise
