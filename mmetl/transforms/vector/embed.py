"""`vector.embed`: a column of texts becomes a column of vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.items import Items
from mmetl.contracts.transform import Declaration, Job, Scope
from mmetl.errors import ParamError, TaskError
from mmetl.items.transform import ItemTransform

if TYPE_CHECKING:
    import pyarrow as pa

    from mmetl.transforms.vector.providers import Embedder

OFFLINE_DIMENSIONS = 256
OFFLINE_SIZES = (64, 128, 256)


class EmbedParams(BaseModel):
    """Params of `vector.embed`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field("text", description="the column of texts")
    into: str = Field("vector", description="the column that is made")
    provider: Literal["offline", "service", "folder", "function"] = Field(
        "offline",
        description="offline: a model that ships in a package, without network; service: an OpenAI-compatible endpoint;"
        " folder: a sentence-transformers model; function: one of the project",
    )
    dimensions: int | None = Field(
        None, ge=1, le=16384, description="of a vector; default for `offline`: 256 (or 64, 128), else required"
    )
    normalize: bool = Field(True, description="whether every vector gets the length 1")
    model: str | None = Field(None, description="service: the model's name")
    revision: str | None = Field(None, description="service: of the model; another one embeds everything again")
    base_url: str = Field("https://api.openai.com/v1", description="service: where it is")
    api_key: str = Field("", description="service: such as ${secret:OPENAI_API_KEY}")
    send_dimensions: bool = Field(False, description="service: ask the model for that many dimensions")
    per_minute: int = Field(0, ge=0, description="service: requests in a minute, at most; 0: no limit")
    folder: str | None = Field(None, description="folder: of the model, in the project")
    function: str | None = Field(
        None, description="function: `module:function`, from a list of texts to an array (texts, dimensions)"
    )
    batch_size: int | None = Field(
        None, ge=1, le=65536, description="texts of a call; default 2048 for `offline`, else 128"
    )

    @property
    def size(self) -> int:
        """Dimensions of a vector."""
        return self.dimensions or OFFLINE_DIMENSIONS


NOT_OF_THE_MODEL = ("api_key", "batch_size", "per_minute")
PACKAGES = {
    "offline": ("wordllama",),
    "folder": ("sentence-transformers",),
    "service": (),
    "function": (),
}
NEEDED = {"service": "model", "folder": "folder", "function": "function"}


def vector_type(dimensions: int) -> str:
    """Return the type of a column of vectors, as text."""
    return f"fixed_size_list<element: float not null>[{dimensions}]"


def embedder(params: EmbedParams, functions: Mapping[str, Callable[..., Any]]) -> Embedder:
    """Return what makes vectors of texts: of length 1 where `normalize` says so, not otherwise looked at.

    Args:
        params: of the task.
        functions: `module:function` -> the project's function.

    Raises:
        MissingError: if the provider's package is not installed.
    """
    import numpy as np

    from mmetl.transforms.vector import providers

    if params.provider == "offline":
        embed = providers.offline(params.size)
    elif params.provider == "folder":
        embed = providers.local(str(params.folder))
    elif params.provider == "service":
        asked = params.size if params.send_dimensions else None
        embed = providers.Service(params.base_url, str(params.model), params.api_key, asked, params.per_minute)
    else:
        own = functions[str(params.function)]
        embed = lambda texts: np.asarray(own(list(texts)), np.float32)  # noqa: E731

    def normalized(texts: Sequence[str]) -> Any:
        vectors = embed(texts)
        if vectors.ndim != 2 or vectors.shape != (len(texts), params.size):
            shape = " x ".join(str(n) for n in vectors.shape)
            raise TaskError(
                f"the embedder returned {shape} numbers for {len(texts)} texts of {params.size} dimensions",
                help="set `dimensions` to what the model makes",
            )
        if not params.normalize:
            return vectors
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.divide(vectors, lengths, out=vectors.copy(), where=(lengths > 0) & np.isfinite(lengths))

    return normalized


class Embed(ItemTransform):
    """See the module."""

    def declare(self, params: EmbedParams, scope: Scope) -> Declaration:
        """Name what the model is made of. Raises ParamError where the provider lacks something."""
        needed = NEEDED.get(params.provider)
        if needed and not getattr(params, needed):
            raise ParamError(f"provider '{params.provider}' needs `{needed}`", param=("provider",))
        if params.provider == "offline" and params.size not in OFFLINE_SIZES:
            raise ParamError(
                f"the offline model has no {params.size} dimensions",
                help="it has 64, 128 or 256",
                param=("dimensions",),
            )
        if params.provider != "offline" and params.dimensions is None:
            raise ParamError(f"provider '{params.provider}' needs `dimensions`", param=("provider",))
        declared = super().declare(params, scope)
        return Declaration(
            sources=(f"{params.folder}/**/*",) if params.folder else (),
            functions=(params.function,) if params.function else (),
            recipe=dict.fromkeys(NOT_OF_THE_MODEL) | dict(declared.recipe),
            named_inputs=declared.named_inputs,
            packages=PACKAGES[params.provider],
        )

    def prepare(self, job: Job, closing: ExitStack) -> Callable[..., Any]:  # noqa: ARG002  it has nothing to close
        """Return the function of a batch."""
        params: EmbedParams = job.params
        embed = embedder(params, job.functions)

        def embedded(batch: pa.RecordBatch) -> dict[str, Any]:
            return _embedded(batch, params, embed)

        return embedded


def _embedded(batch: pa.RecordBatch, params: EmbedParams, embed: Embedder) -> dict[str, Any]:
    """Return the vectors of a batch, and why a text has none. A vector that searches could not use is never made."""
    import numpy as np
    import pyarrow as pa

    texts = batch.column(params.text).to_pylist()
    errors: list[str | None] = [None if isinstance(t, str) and t.strip() else "there is no text" for t in texts]
    at = [i for i, e in enumerate(errors) if e is None]
    vectors = np.zeros((len(texts), params.size), np.float32)
    if at:
        vectors[at] = embed([texts[i] for i in at])
    finite = np.asarray(np.isfinite(vectors).all(axis=1))
    zero = ~np.asarray(vectors.any(axis=1))
    for i in at:
        if not finite[i]:
            errors[i] = "its vector is not finite"
        elif zero[i]:
            errors[i] = "its vector is zero"
    kind = pa.list_(pa.field("element", pa.float32(), nullable=False), params.size)
    flat = pa.array(np.where(finite[:, None], vectors, 0).ravel())
    return {params.into: pa.FixedSizeListArray.from_arrays(flat, type=kind), "_error": pa.array(errors, pa.string())}


def _batch_rows(params: EmbedParams) -> int:
    return params.batch_size or (2048 if params.provider in {"offline", "folder"} else 128)


EMBED = Embed(
    "vector.embed",
    None,
    Items(
        reads=lambda params: (params.text,),
        makes=lambda params: {params.into: vector_type(params.size)},
        batch_rows=_batch_rows,
    ),
    EmbedParams,
    version=1,
)
