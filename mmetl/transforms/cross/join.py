"""`cross.similarity_join`: the rows of two tables, or of one, that are alike."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.lineage import Trace, by_columns, whole
from mmetl.contracts.transform import Declaration, Job, Made, Scope, Table
from mmetl.engines.packages import require
from mmetl.errors import ParamError, TaskError
from mmetl.items.frugal import frugal
from mmetl.items.keeping import refuse_unknown
from mmetl.items.steps import EarlierStep, recipe_of_step
from mmetl.items.transform import item_inputs
from mmetl.transforms.cross.join_params import OF_TEXTS, OTHER, JoinParams
from mmetl.transforms.cross.link import check_texts
from mmetl.transforms.vector.types import dimensions_of
from mmetl.utils.text import quote

if TYPE_CHECKING:
    from mmetl.transforms.cross.joined import Join


class SimilarityJoin:
    """See the module."""

    name = "cross.similarity_join"
    version = 1
    grain = (
        "item: only new and changed rows are compared, each with all rows of the other side; pairs of other rows stay"
    )
    params = JoinParams
    packages: tuple[str, ...] = ()
    code: tuple[str, ...] = ()

    def declare(self, params: JoinParams, scope: Scope) -> Declaration:
        """Say that it reads its inputs. Raises ParamError unless there are one or two."""
        if len(scope.inputs) not in {1, 2}:
            raise ParamError(f"'{self.name}' takes one input, or two", help="name one or two tasks in `inputs:`")
        if params.other_column and len(scope.inputs) == 1:
            raise ParamError(
                "`other_column` is one of the second input, and there is one input only", param=("other_column",)
            )
        return Declaration(packages=_packages(params), named_inputs=len(scope.inputs) == 2)

    def lineage(self, params: JoinParams, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield that a row came from two, one of each table: see contracts.lineage."""
        (alias, table), *_, (other, right) = [*inputs.items()] * 2
        yield by_columns(alias, table.key, same_cut=True)
        yield Trace(other, tuple((quote(OTHER + k), quote(k)) for k in right.key))
        if params.k is not None:
            yield whole(other, "of the pairs of a row only the best are shown")

    def estimate(self, job: Job) -> Mapping[str, float]:
        """Return how many rows a run would find added, changed and so on, and compare. Raises TaskError where a run would fail before it began."""
        join = self._join(job)
        return {**join.counts, "computed": join.to_compute}

    def run(self, job: Job) -> Made:
        """Compare new and changed rows, write what changed. Raises TaskError for inputs that do not fit, and vectors that cannot be compared."""
        stopped = threading.Event()
        job.on_cancel(stopped.set)
        return self._join(job).run(stopped.is_set)

    def _join(self, job: Job) -> Join:
        frugal()
        require("tabular", "pyarrow")
        require("entities", *_packages(job.params))
        from mmetl.transforms.cross.joined import Join

        left, others = item_inputs(job)
        right = next(iter(others.values()), None)
        params: JoinParams = job.params
        columns = [(left, params.column), *([(right, params.other_column or params.column)] if right else [])]
        for table, column in columns:
            if not table.manifest.key:
                raise TaskError(f"'{table.task}' has no key", help="pairs are named by keys: set `key:`")
            refuse_unknown(table, [column])
        size = self._size(params, columns)
        # What is shown of the pairs decides nothing of what they are.
        recipe = recipe_of_step(self.name, self.version, params.model_dump(exclude={"k"}), _packages(params))
        earlier = EarlierStep(job.earlier, recipe) if job.earlier else None
        return Join(replace(job, earlier=earlier), job.earlier, columns, size)

    def _size(self, params: JoinParams, columns: list[tuple[Table, str]]) -> int:
        """Return the dimensions of the vectors, 0 for texts. Raises TaskError for columns that cannot be compared."""
        if params.measure in OF_TEXTS:
            for table, column in columns:
                check_texts(table, [column])
            return 0
        sizes = [dimensions_of(table.manifest, column, table.task) for table, column in columns]
        if sizes[0] != sizes[-1]:
            raise TaskError(
                f"the vectors of '{columns[0][0].task}' have {sizes[0]} dimensions, those of '{columns[1][0].task}' {sizes[1]}",
                help="compare vectors of one model",
            )
        return sizes[0]


def _packages(params: JoinParams) -> tuple[str, ...]:
    return ("rapidfuzz",) if params.measure == "edit" else ()


JOIN = SimilarityJoin()
