"""The transform that is made of a function over batches of items and of what its author declared."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, Field, create_model

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.items import TOKEN_BYTES, Basis, Items
from mmetl.contracts.lineage import Trace, by_columns, whole
from mmetl.contracts.transform import Declaration, Job, Made, Scope, Table, View
from mmetl.engines.packages import require
from mmetl.errors import ParamError, TaskError
from mmetl.items.frugal import frugal

if TYPE_CHECKING:
    from mmetl.items.calls import Caller
    from mmetl.items.plan import Plan
    from mmetl.items.run import Compute, ItemRun
    from mmetl.items.shape import Shape


class Setting(BaseModel):
    """Params that every item-wise transform has."""

    on_error: Literal["fail", "quarantine"] = Field(
        "fail", description="an item that fails: it fails the task, or it is set aside and the others go on"
    )
    max_fraction: float = Field(
        0.5, ge=0, le=1, description="with `quarantine`: the share of items that may fail before the task does"
    )


class SettingOfOne(Setting):
    """Params of transforms that make one row of an item."""

    drop: tuple[str, ...] = Field((), description="columns of the input that are left out")


class SettingOfMany(Setting):
    """Params of transforms that make any number of rows of an item."""

    keep: tuple[str, ...] = Field((), description="columns of the input that every row repeats")


def with_setting(model: type[BaseModel], *, many: bool) -> type[BaseModel]:
    """Return an author's params model with the params that every item-wise transform has."""
    bases = (model, SettingOfMany if many else SettingOfOne)
    return create_model(model.__name__, __base__=bases, __doc__=model.__doc__)


class ItemTransform:
    """A transform of items. The first input is the items; further ones are given whole, as `inputs`.

    Args:
        name: such as `document.chunk`.
        function: None in a class with its own `prepare`; else `f(batch)`, and `params` and `inputs` if it wants them; it returns the made columns.
        items: what it declares.
        params: its own params model.
        version: raised when its output changes; None: its code is the version.
        packages: distributions whose version matters to the output.
        extra: the extra of mmETL that it needs, with the packages to import.
        code: `module:qualname` entries of a project's own transform.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any] | None,
        items: Items,
        params: type[BaseModel],
        *,
        version: int | None,
        packages: tuple[str, ...] = (),
        extra: tuple[str, ...] = ("tabular",),
        code: tuple[str, ...] = (),
    ) -> None:
        if items.key and not items.many:
            raise ParamError(f"'{name}' declares a key for its rows, but not many=True", help="leave the key out")
        if Exception in items.retry_on or items.retries < 0 or items.retry_delay_s < 0:
            raise ParamError(
                f"'{name}' has a `retry_on`, `retries` or `retry_delay_s` that cannot be",
                help="name the errors that are worth another try, not Exception; numbers are at least 0",
            )
        self.name, self.version, self.packages, self.code = name, version, packages, code
        self.params = with_setting(params, many=items.many)
        self.items = items
        self.function = function
        self._extra = extra
        self.grain = "item: only new and changed rows are computed"

    def declare(self, params: Any, scope: Scope) -> Declaration:
        """Say what identifies the model. Raises ParamError without an input."""
        if not scope.inputs:
            raise ParamError(f"'{self.name}' needs an input: the items", help="name a task in `inputs:`")
        recipe = {"model": self.items.model(params)} if self.items.model else {}
        return Declaration(recipe=recipe, named_inputs=len(scope.inputs) > 1)

    def prepare(self, job: Job, closing: ExitStack) -> Callable[..., Any]:  # noqa: ARG002  for those that load a model
        """Return the function that is called with batches; what it needs closed behind it goes onto `closing`.

        Raises:
            MmetlError: where it cannot be had.
        """
        assert self.function
        return self.function

    def over(
        self,
        params: Any,  # noqa: ARG002  for those whose columns depend on their inputs
        table: Table,  # noqa: ARG002
        others: Mapping[str, Table],
    ) -> tuple[Items, Mapping[str, Table]]:
        """Return what it declares where its inputs are known, and the tables of which every item depends on the whole.

        Raises:
            TaskError: for an input that does not fit.
        """
        return self.items, others

    def lineage(self, params: Any, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield that a row came from the item of its key: see contracts.lineage."""
        (first, table), *others = inputs.items()
        if table.key:
            yield by_columns(first, table.key, same_cut=True)
        else:
            made = self.items.makes(params) if callable(self.items.makes) else self.items.makes
            left = params.keep if self.items.many else [c.name for c in table.columns if c.name not in params.drop]
            yield by_columns(first, [c for c in left if c not in made], exact=False, why="its items have no key")
        for alias, _ in others:
            yield whole(alias, "every row is made with all of it")

    def run(self, job: Job) -> Made:
        """Compute what is new. Raises TaskError for an input that is no table, and for items that may not fail."""
        over = self._over(job)
        from mmetl.cache.tables import read_table
        from mmetl.items.calls import Caller
        from mmetl.items.run import Failures, ItemRun

        if job.meter and self.items.paid:
            job.meter.price = self.items.paid.price(job.params)
        stopped = threading.Event()
        job.on_cancel(stopped.set)
        failures = Failures(job.params.on_error == "quarantine", job.params.max_fraction)
        with ExitStack() as closing:
            function = self.prepare(job, closing)
            wanted = "inputs" in inspect.signature(function).parameters
            given = {a: read_table(t).read_all() for a, t in over.others.items()} if wanted else {}
            caller = Caller(job, function, over.items, over.shape.made, given, stopped.is_set)
            run = ItemRun(job, over.items, over.table, over.shape, over.basis, failures)
            return run.run(self._compute(job, over, caller, run, closing))

    def estimate(self, job: Job) -> Mapping[str, float]:
        """Return how many items a run would find added, changed and so on, and compute; nothing is computed.

        Of the input only the parts that changed are read.

        Raises:
            TaskError: where a run would fail before it began.
        """
        over = self._over(job)
        from mmetl.items.plan import plan_items

        plan = plan_items(over.table, over.shape, over.basis, job.earlier, job.parts)
        counts = {k: n for k, n in plan.counts.items() if n} | {"computed": plan.to_compute}
        return {**counts, **self._expected(job, over, plan)}

    def _compute(self, job: Job, over: _Over, call: Caller, run: ItemRun, closing: ExitStack) -> Compute:
        """Return what turns batches into results: here, or in worker processes too where the author allows it."""
        from mmetl.items.run import in_order

        function = self.function if over.items is self.items else None  # a worker knows no other
        if not (self.items.parallel and function and job.remote and job.threads > 1):
            return in_order(call)
        from mmetl.items.spread import Spread
        from mmetl.workers.local import LocalWorkers

        remote = job.remote
        others = over.others if "inputs" in inspect.signature(function).parameters else {}
        inputs = {a: [t.task, t.manifest.to_json(), [str(p) for p in t.paths]] for a, t in others.items()}
        setup = {"root": str(job.root), "imports": remote.imports, "transform": self.name, "inputs": inputs}
        setup |= {"params": job.params.model_dump(mode="json"), "scratch": str(job.scratch)}

        def workers() -> LocalWorkers:
            made = LocalWorkers(remote.entry, job.threads, log=job.log, called="its process")
            closing.callback(made.close)
            job.on_cancel(made.close)
            return made

        empty = over.shape.made.empty_table()
        return Spread(call, workers, json.dumps(setup), job.scratch, empty, job.log.write, lambda: run.left)

    def outside(self, setup: Mapping[str, Any]) -> Callable[[bytes | str], Any]:
        """Return what computes a batch in a worker process, as it was set up by `_compute`: see `spread`."""
        frugal()
        require(*self._extra)
        from mmetl.items.outside import Outside

        assert self.function
        params = self.params.model_validate(setup["params"])
        root, scratch = Path(setup["root"]), Path(setup["scratch"])
        return Outside(self.function, self.items, params, root, scratch, setup["inputs"])

    def _expected(self, job: Job, over: _Over, plan: Plan) -> dict[str, float]:
        """Return how many tokens the new items will take at a paid service, about, and what they cost."""
        paid = self.items.paid
        if paid is None or not paid.used(job.params) or not plan.to_compute:
            return {}
        from mmetl.cache.tables import read_part

        sent = 0
        for changed in plan.changed:
            if len(changed.todo):
                rows = read_part(over.table, changed.number, over.shape.given).take(changed.todo)
                sent += sum(sum(paid.sent(job.params, batch)) for batch in rows.to_batches())
        tokens, price = -(-sent // TOKEN_BYTES), paid.price(job.params)
        return {"tokens": tokens} | ({} if price is None else {"cost": tokens * price / 1_000_000})

    def _over(self, job: Job) -> _Over:
        """Return what the task is done over. Raises TaskError for an input that does not fit."""
        frugal()
        require(*self._extra)
        from mmetl.cache.fingerprints import combine
        from mmetl.contracts.artifact import encode
        from mmetl.items.shape import Beside, shape_of
        from mmetl.utils.hashing import xxh3_hex

        table, others = item_inputs(job)
        items, whole = self.over(job.params, table, others)
        beside = Beside(*(getattr(job.params, name, ()) for name in Beside._fields))
        shape = shape_of(items, job.params, beside, table.task, table.manifest)
        if job.key and tuple(job.key) != shape.output_key:
            had = ", ".join(shape.output_key) or "none"
            raise TaskError("`key` is not the key of the rows that it makes", help=f"leave it out: the key is {had}")
        files = [f.fingerprint for f in job.observed()]
        read = [(c.name, c.type) for c in table.manifest.columns if c.name in shape.reads]
        made = [(c.name, str(c.type)) for c in shape.made]
        further = {a: xxh3_hex(t.manifest.to_json().encode()) for a, t in whole.items()}
        recipe = job.earlier.recipe if job.earlier else ""
        basis = Basis(combine([recipe, encode([read, made, further]), *files]), combine(shape.output.names))
        return _Over(items, table, others, shape, basis)


class _Over(NamedTuple):
    """What a task is done over: what is declared, the table of the items, further tables by alias, its columns, and what decides besides the items."""

    items: Items
    table: Table
    others: Mapping[str, Table]
    shape: Shape
    basis: Basis


def item_inputs(job: Job) -> tuple[Table, dict[str, Table]]:
    """Return the table of the items, and the further tables by alias. Raises TaskError for a view."""
    tables: dict[str, Table] = {}
    for alias, table in job.inputs.items():
        if isinstance(table, View):
            raise TaskError(
                f"'{table.task}' is a view, which has no items of its own",
                help=f"leave out `materialize: view` in '{table.task}'",
            )
        tables[alias] = table
    if not tables:
        raise TaskError("its input writes files, it has no rows", help="name a task that makes a table")
    alias, first = next(iter(tables.items()))
    return first, {a: t for a, t in tables.items() if a != alias}
