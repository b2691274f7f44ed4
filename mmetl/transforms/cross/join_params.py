"""The params of `cross.similarity_join`, and how its columns are called."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mmetl.transforms.cross.names import Spelling

OTHER = "other_"
"""What the names of the second table's key columns begin with."""

SCORE = "score"
OF_TEXTS = ("jaccard", "edit")
LEAST_AND_MOST = {"cosine": (-1.0, 1.0), "euclidean": (0.0, None), "jaccard": (0.0, 1.0), "edit": (0.0, 1.0)}
"""What a threshold can be; for texts it is more than nothing."""


class JoinParams(Spelling):
    """Params of `cross.similarity_join`."""

    column: str = Field(description="what is compared, of the first input: vectors or texts")
    other_column: str | None = Field(None, description="that of the second input; default: the same name")
    measure: Literal["cosine", "dot", "euclidean", "jaccard", "edit"] = Field(
        description="of vectors cosine, dot (their product) or euclidean (the length of the difference); of texts jaccard (the share of their"
        " tokens that both have) or edit (the letters that both have in order)"
    )
    threshold: float = Field(
        allow_inf_nan=False, description="the score from which on two rows are a pair; euclidean: up to which"
    )
    tokens: Literal["words", "characters"] = Field(
        "words", description="jaccard: what a text is a set of; `characters` are runs of three"
    )
    k: int | None = Field(None, ge=1, description="pairs of a row of the first input, at most: the most similar ones")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        least, most = LEAST_AND_MOST.get(self.measure, (None, None))
        if least is not None and (self.threshold < least or (most is not None and self.threshold > most)):
            raise ValueError(
                f"no `{self.measure}` is {self.threshold:g}: it is {least:g} to {most:g}"
                if most
                else "a distance is not below 0"
            )
        if self.measure in OF_TEXTS and not self.threshold:
            raise ValueError("`threshold` is 0: all texts would be pairs")
        return self
