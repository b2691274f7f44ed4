"""The params of `cross.resolve_entities`: how columns are compared, and which records at all."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mmetl.transforms.cross.names import MEASURES, Measure, Spelling

By = Literal["exact", "prefix", "words", "sound"]
How = Measure | Literal["exact", "number"]


class Comparison(BaseModel):
    """How the values of a column are compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: How = Field("words", description=f"exact, number, or for names {MEASURES}")
    weight: float = Field(1.0, gt=0, description="how much the column counts")
    scale: float | None = Field(
        None, gt=0, description="number: the difference from which on two are not alike; of dates, in days"
    )
    missing: float | None = Field(
        None, ge=0, le=1, description="how alike two are of which one has no value; default: the column does not count"
    )

    @model_validator(mode="after")
    def _scaled(self) -> Self:
        if (self.measure == "number") != (self.scale is not None):
            raise ValueError("`scale` goes with `measure: number`, and that with `scale`")
        return self


def _uniform(given: Any) -> Any:
    return {"measure": given} if isinstance(given, str) else given


class PairParams(Spelling):
    """Params that decide what comparing two records comes to."""

    compare: dict[str, Annotated[Comparison, BeforeValidator(_uniform, json_schema_input_type=How | Comparison)]] = (
        Field(
            min_length=1,
            description="column: how it is compared, a measure or `measure`, `weight`, `scale` (number) and `missing`",
        )
    )
    review_from: float = Field(0.8, gt=0, le=1, description="the similarity from which on a pair is for review")


class ResolveParams(PairParams):
    """Params of `cross.resolve_entities`."""

    block: tuple[dict[str, By], ...] = Field(
        min_length=1,
        description="rules, each of which is column: exact, prefix, words or sound; records are compared that agree in one of them",
    )
    prefix: int = Field(4, ge=1, le=64, description="how many letters count for `prefix`")
    largest_block: int = Field(300, ge=2, le=10_000, description="larger blocks are not compared")
    threshold: float = Field(0.92, gt=0, le=1, description="the similarity from which on two records are one")
    drop: tuple[str, ...] = Field((), description="columns of the input that are left out")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.review_from > self.threshold:
            raise ValueError("`review_from` is above `threshold`")
        if not all(self.block):
            raise ValueError("a rule of `block` names no column")
        return self
