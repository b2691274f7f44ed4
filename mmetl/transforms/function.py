"""A project's own transform: makes one of what `@register_transform` decorates."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict

from mmetl.contracts.items import Items
from mmetl.contracts.transform import Declaration, Job, Made, Registered, Scope, Transform
from mmetl.errors import MmetlError, ParamError
from mmetl.items.transform import ItemTransform
from mmetl.transforms.tabular.python import failed, keep_rows, whole_table


class NoParams(BaseModel):
    """A transform without params."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def strict(model: type[BaseModel]) -> type[BaseModel]:
    """Return a params model that refuses unknown keys, unless its author said what to do with them."""
    if model.model_config.get("extra") is not None:
        return model
    return type(model.__name__, (model,), {"model_config": ConfigDict(extra="forbid"), "__doc__": model.__doc__})


def _params_of(registered: Registered) -> type[BaseModel]:
    """Return the annotation of `params`. Raises ParamError if it is not a pydantic model."""
    try:
        model = typing.get_type_hints(registered.target).get("params", NoParams)
    except NameError as error:
        raise ParamError(
            f"'{registered.name}' has an annotation that cannot be read: {error}", help="import the name in its module"
        ) from error
    if not (inspect.isclass(model) and issubclass(model, BaseModel)):
        raise ParamError(
            f"'{registered.name}' takes params of type {getattr(model, '__name__', model)}",
            help="annotate params with a pydantic model",
        )
    return model


class FunctionTransform:
    """A decorated function `f(inputs, params)` over Arrow tables; either parameter may be left out.

    Args:
        registered: what the decorator was given.
        module: the module of the pipeline's `imports:` that it stands in.
    """

    def __init__(self, registered: Registered, module: str) -> None:
        self.name = registered.name
        self.version = registered.version
        self.packages = registered.packages
        entry = f"{module}:{registered.target.__qualname__}"
        self.code: tuple[str, ...] = () if registered.version is not None else (entry,)
        self.function: Callable[..., Any] = registered.target
        self.takes = set(inspect.signature(self.function).parameters)
        unknown = self.takes - {"inputs", "params"}
        if unknown:
            raise ParamError(
                f"'{registered.name}' takes '{min(unknown)}', which a transform is not given",
                help="a transform takes: inputs, params",
            )
        self.params = strict(_params_of(registered))

    def declare(self, params: Any, scope: Scope) -> Declaration:  # noqa: ARG002  the protocol's parameters
        """Say that it reads its inputs and nothing else."""
        return Declaration()

    def run(self, job: Job) -> Made:
        """Call the function and keep the rows that it returns. Raises TaskError at the function's own line."""
        given = {"inputs": {a: whole_table(job, t) for a, t in job.inputs.items()}, "params": job.params}
        try:
            result = self.function(**{k: v for k, v in given.items() if k in self.takes})
        except MmetlError:
            raise
        except Exception as error:
            raise failed(job, self.function, error) from error
        return keep_rows(job, self.function, result)


def _item_wise(registered: Registered, items: Items, module: str) -> Transform:
    function: Callable[..., Any] = registered.target
    takes = set(inspect.signature(function).parameters)
    unknown = takes - {"batch", "inputs", "params"}
    if unknown or "batch" not in takes:
        what = f"takes '{min(unknown)}', which it is not given" if unknown else "does not take 'batch'"
        raise ParamError(f"'{registered.name}' {what}", help="an item-wise transform takes: batch, inputs, params")
    entry = f"{module}:{function.__qualname__}"
    return ItemTransform(
        registered.name,
        function,
        items,
        strict(_params_of(registered)),
        version=registered.version,
        packages=registered.packages,
        code=() if registered.version is not None else (entry,),
    )


def adapt(registered: Registered, module: str) -> Transform:
    """Return the transform for a decorated function, or for a decorated class that follows the Transform protocol.

    Raises:
        ParamError: if what was decorated is neither.
    """
    if registered.items is not None:
        return _item_wise(registered, registered.items, module)
    if not inspect.isclass(registered.target):
        return FunctionTransform(registered, module)
    made: Any = registered.target()
    made.name = registered.name
    for name, default in (("version", registered.version), ("packages", registered.packages)):
        if not hasattr(made, name):
            setattr(made, name, default)
    if not hasattr(made, "code"):
        made.code = () if made.version is not None else (f"{module}:{registered.target.__qualname__}",)
    if not isinstance(made, Transform):
        raise ParamError(
            f"'{registered.name}' is not a transform", help="a class needs: params, declare(params, scope), run(job)"
        )
    made.params = strict(made.params)
    return made
