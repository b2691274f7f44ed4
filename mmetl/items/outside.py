"""The other side of `spread`: batches are computed in a worker process, with what it was told of the task."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmetl.cache.tables import read_table
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.items import Items
from mmetl.contracts.transform import Job, Table
from mmetl.items.calls import Caller, CutShortError
from mmetl.items.pieces import Sent
from mmetl.items.shape import made_schema
from mmetl.items.spread import Packed, batch_of, packed


class Outside:
    """Computes batches as they come over a pipe.

    Args:
        function: of the transform's author.
        items: what the author declared.
        params: of the task.
        root: the project's folder.
        scratch: a folder for rows that are too many for a pipe.
        inputs: further inputs: alias -> task, manifest, paths.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        items: Items,
        params: Any,
        root: Path,
        scratch: Path,
        inputs: Mapping[str, Sequence[Any]],
    ) -> None:
        self._said, self._scratch = io.StringIO(), scratch
        nothing: Any = None
        job = Job("", params, {}, {}, (), (), None, {}, nothing, root, str(scratch), self._said)
        given = {
            alias: read_table(Table(task, Manifest.from_json(body), tuple(map(Path, paths)))).read_all()
            for alias, (task, body, paths) in inputs.items()
        }
        self._call = Caller(job, function, items, made_schema(items, params), given, lambda: False)

    def __call__(self, batch: Sent) -> Packed:
        """Return what the items of a batch come to, and what was printed. Raises MmetlError for what is no item's fault."""
        with contextlib.redirect_stdout(self._said), contextlib.redirect_stderr(self._said):
            try:
                result = self._call(batch_of(batch))
            except CutShortError as cut:
                raise cut.why from cut.why.__cause__
        said = self._said.getvalue()
        self._said.seek(0)
        self._said.truncate()
        return packed(result, said, self._scratch)
