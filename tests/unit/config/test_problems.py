"""Problems of a transform's params, in the words of the pipeline's author."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mmetl.config.loader import load_pipeline
from mmetl.config.problems import problems_from_validation


class Watermark(BaseModel):
    model_config = ConfigDict(extra="forbid")
    column: str
    lookback: float = Field(default=0, ge=0)


class Params(BaseModel):
    model_config = ConfigDict(extra="forbid")
    model: str
    dim: int = Field(default=8, gt=0, le=4096)
    metric: Literal["cosine", "l2"] = "cosine"
    command: str | list[str] = ""
    ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    watermark: Watermark | None = None
    sizes: list[Annotated[int, Field(ge=1)]] = Field(default=[], max_length=2)
    mode: bool | Watermark = False
    from_: str = Field(default="", alias="from")

    @field_validator("model")
    @classmethod
    def _known(cls, value: str) -> str:
        if value.startswith("x"):
            raise ValueError(f"there is no model {value}.")
        return value

    @model_validator(mode="after")
    def _together(self) -> Params:
        if self.metric == "l2" and self.dim == 1:
            raise ValueError("'l2' needs more than one dimension")
        return self


class NoParams(BaseModel):
    model_config = ConfigDict(extra="forbid")


def told(tmp_path: Path, params: str, model: type[BaseModel] = Params) -> list[str]:
    text = f"version: 1\nname: p\ntasks:\n  vec:\n    transform: vector.embed\n    params: {params}\n"
    (tmp_path / "p.yaml").write_text(text)
    loaded = load_pipeline(tmp_path / "p.yaml", root=tmp_path, env={"M": "xyz-hidden"})
    with pytest.raises(ValidationError) as caught:
        model.model_validate(loaded.pipeline.tasks["vec"].params)
    base = ("tasks", "vec", "params")
    found = problems_from_validation(caught.value, loaded.source, base, model, "vector.embed")
    return [f"{p.where.column}: {p.what}" + (f" | {p.help}" if p.help else "") for p in found if p.where]


TAKES = "'vector.embed' takes: model, dim, metric, command, ratio, watermark, sizes, mode, from"
CASES = [
    ("{model: m, dims: 3}", [f"24: task 'vec' has no param 'dims' | did you mean 'dim'? {TAKES}"]),
    ("{model: m, form: 3}", [f"24: task 'vec' has no param 'form' | did you mean 'from'? {TAKES}"]),
    ("{dim: 3}", [f"5: task 'vec' needs param 'model' | {TAKES}"]),
    ("{model: 3}", ["21: 'model' is 3, expected text | write it in quotes"]),
    ("{model: m, dim: 0}", ["29: 'dim' is 0, expected a whole number above 0 and of at most 4096"]),
    ("{model: m, dim: 1e3x}", ["29: 'dim' is '1e3x', expected a whole number above 0 and of at most 4096"]),
    ("{model: m, metric: l1}", ["32: 'metric' is 'l1', expected 'cosine' or 'l2'"]),
    ("{model: m, command: 3}", ["33: 'command' is 3, expected text or a list | write it in quotes"]),
    ("{model: m, command: [a, 3]}", ["37: 'command[1]' is 3, expected text | write it in quotes"]),
    ("{model: m, ratio: 2}", ["31: 'ratio' is 2, expected a number of at least 0 and of at most 1"]),
    (
        "{model: m, watermark: {colum: x}}",
        [
            "24: 'watermark' needs 'column' | 'watermark' takes: column, lookback",
            "36: 'watermark' has no key 'colum' | did you mean 'column'? 'watermark' takes: column, lookback",
        ],
    ),
    ("{model: m, watermark: x}", ["35: 'watermark' is 'x', expected a mapping"]),
    (
        "{model: m, watermark: {column: x, lookback: -1}}",
        ["57: 'lookback' is -1, expected a number of at least 0"],
    ),
    ("{model: m, sizes: [1, 0]}", ["35: 'sizes[1]' is 0, expected a whole number of at least 1"]),
    ("{model: m, sizes: [1, x]}", ["35: 'sizes[1]' is 'x', expected a whole number of at least 1"]),
    ("{model: m, sizes: [1, 1, 1]}", ["31: 'sizes' is a list, expected a list of at most 2 items"]),
    ("{model: m, mode: x}", ["30: 'mode' is 'x', expected true or false or a mapping"]),
    (
        "{model: m, mode: {column: 3}}",
        ["39: 'column' is 3, expected text | write it in quotes"],
    ),
    ("{model: xyz}", ["21: 'model' is 'xyz': there is no model xyz"]),
    ("{model: '${M}'}", ["21: 'model' is '${M}': not valid"]),
    ("{model: m, metric: l2, dim: 1}", ["13: task 'vec': 'l2' needs more than one dimension"]),
]


@pytest.mark.parametrize(("params", "expected"), CASES, ids=[params for params, _ in CASES])
def test_params(tmp_path: Path, params: str, expected: list[str]) -> None:
    """Column, sentence and help of each problem; no value of the environment."""
    assert told(tmp_path, params) == expected


def test_transform_without_params(tmp_path: Path) -> None:
    """There is nothing to choose from."""
    expected = ["14: task 'vec' has no param 'a' | 'vector.embed' takes no params"]
    assert told(tmp_path, "{a: 1}", NoParams) == expected
