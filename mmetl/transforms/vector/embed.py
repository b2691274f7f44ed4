"""`vector.embed`: a column of texts becomes a column of vectors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.items import Items, Paid
from mmetl.contracts.transform import Declaration, Job, Scope
from mmetl.errors import ParamError, TaskError
from mmetl.items.transform import ItemTransform
from mmetl.transforms.vector.types import vector_type

if TYPE_CHECKING:
    import pyarrow as pa

    from mmetl.transforms.vector.numbers import Vectors

OFFLINE_DIMENSIONS = 256
OFFLINE_SIZES = (64, 128, 256)
IN_WORDS = b"abcdefghijklmnopqrstuvwxyz "  # what tokens take several of; nearly everything else is a token of its own


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
    price_per_million: float | None = Field(
        None, ge=0, description="service: price of a million tokens, in the currency of `mmetl run --max-cost`"
    )
    folder: str | None = Field(None, description="folder: of the model, in the project")
    function: str | None = Field(
        None, description="function: `module:function`, from a list of texts to an array (texts, dimensions)"
    )
    timeout_s: float = Field(60.0, gt=0, description="service: seconds of silence after which it is asked again")
    batch_size: int | None = Field(
        None, ge=1, le=65536, description="texts of a call; default 2048 for `offline`, else 128"
    )

    @property
    def size(self) -> int:
        """Dimensions of a vector."""
        return self.dimensions or OFFLINE_DIMENSIONS


NOT_OF_THE_MODEL = ("api_key", "batch_size", "per_minute", "price_per_million", "timeout_s")
PACKAGES = {
    "offline": ("wordllama",),
    "folder": ("sentence-transformers", "transformers", "torch"),
    "service": (),
    "function": (),
}
NEEDED = {"service": "model", "folder": "folder", "function": "function"}


def embedder(
    params: EmbedParams,
    functions: Mapping[str, Callable[..., Any]],
    root: Path,
    stopped: threading.Event | None = None,
    spent: Callable[[int], None] = lambda _tokens: None,
) -> Callable[[Sequence[str]], tuple[Vectors, list[str | None]]]:
    """Return what makes vectors of texts, and says of each what is wrong with it.

    Args:
        params: of the task.
        functions: `module:function` -> the project's function.
        root: the project's folder.
        stopped: set when the run is interrupted.
        spent: is told the tokens that each answer of a service took.

    Raises:
        MissingError: if the provider's package is not installed.
    """
    from mmetl.transforms.vector.numbers import as_vectors, judged, unit

    embed = _provider(params, functions, root, stopped or threading.Event(), spent)

    def embedded(texts: Sequence[str]) -> tuple[Vectors, list[str | None]]:
        found = embed(texts)
        try:
            vectors, errors = as_vectors(found, len(texts), params.size)
        except ValueError as error:
            raise TaskError(str(error), help="set `dimensions` to what the model makes") from error
        if params.normalize:
            vectors = unit(vectors)
        return vectors, judged(vectors, errors)

    return embedded


def _provider(
    params: EmbedParams,
    functions: Mapping[str, Callable[..., Any]],
    root: Path,
    stopped: threading.Event,
    spent: Callable[[int], None],
) -> Callable[[Sequence[str]], Any]:
    """Return what makes, of a list of texts, what are hopefully their vectors."""
    from mmetl.transforms.vector import providers

    if params.provider == "offline":
        return providers.offline(params.size)
    if params.provider == "folder":
        return providers.local(root / str(params.folder))
    if params.provider == "function":
        own = functions[str(params.function)]
        return lambda texts: own(list(texts))
    from mmetl.transforms.vector.service import Service

    asked = params.size if params.send_dimensions else None
    return Service(
        params.base_url, str(params.model), params.api_key, asked, params.per_minute, params.timeout_s, stopped, spent
    )


class Embed(ItemTransform):
    """See the module."""

    def declare(self, params: EmbedParams, scope: Scope) -> Declaration:
        """Name what the model is made of. Raises ParamError where the provider lacks something."""
        needed = NEEDED.get(params.provider)
        if needed and not getattr(params, needed):
            raise ParamError(f"provider '{params.provider}' needs `{needed}`", param=("provider",))
        if params.provider == "service" and not params.base_url.startswith(("http://", "https://", "${")):
            raise ParamError("`base_url` is no address", help="write https://host/v1", param=("base_url",))
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
        stopped = threading.Event()
        job.on_cancel(stopped.set)
        told = {"spent": job.meter.spend} if job.meter else {}
        embed = embedder(params, job.functions, job.root, stopped, **told)

        def embedded(batch: pa.RecordBatch) -> dict[str, Any]:
            return _embedded(batch, params, embed)

        embedded.__name__ = self.name  # what messages call it
        return embedded


def _embedded(
    batch: pa.RecordBatch, params: EmbedParams, embed: Callable[[Sequence[str]], tuple[Vectors, list[str | None]]]
) -> dict[str, Any]:
    """Return the vectors of a batch, and why a text has none. A vector that searches could not use is never made."""
    import numpy as np
    import pyarrow as pa

    from mmetl.transforms.vector.numbers import as_column

    texts = batch.column(params.text).to_pylist()
    errors: list[str | None] = [None if isinstance(t, str) and t.strip() else "there is no text" for t in texts]
    # A model pads the texts that it takes at once to the longest of them: so neighbours are of a length, the longest first.
    at = sorted((i for i, e in enumerate(errors) if e is None), key=lambda i: -_tokens(texts[i]))
    vectors = np.zeros((len(texts), params.size), np.float32)
    if at:
        vectors[at], found = embed([texts[i] for i in at])
        for i, error in zip(at, found, strict=True):
            errors[i] = error
    return {params.into: as_column(vectors, errors), "_error": pa.array(errors, pa.string())}


def _tokens(text: str) -> float:
    """Return about how many tokens a text has, up to a factor. Its length alone tells little: chunks are cut to one."""
    data = text.encode(errors="replace")
    return len(data.translate(None, IN_WORDS)) + len(data) / 5


def _sent(params: EmbedParams, batch: pa.RecordBatch) -> list[int]:
    """Return the bytes of each text."""
    import pyarrow.compute as pc

    sizes: list[int] = pc.fill_null(pc.binary_length(batch.column(params.text)), 0).to_pylist()
    return sizes


def _batch_rows(params: EmbedParams) -> int:
    return params.batch_size or (2048 if params.provider == "offline" else 128)


EMBED = Embed(
    "vector.embed",
    None,
    Items(
        reads=lambda params: (params.text,),
        makes=lambda params: {params.into: vector_type(params.size)},
        batch_rows=_batch_rows,
        paid=Paid(_sent, lambda params: params.price_per_million, lambda params: params.provider == "service"),
    ),
    EmbedParams,
    version=2,
)
