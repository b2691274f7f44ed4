"""`document.files`: the files of a folder as a table; one row a file, by content."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.lineage import PATH, SOURCES, Trace
from mmetl.contracts.transform import Declaration, Job, Made, Scope, SourceFile
from mmetl.errors import TaskError
from mmetl.items.frugal import frugal
from mmetl.utils.shrink import has_shrunk

if TYPE_CHECKING:
    import pyarrow as pa

    from mmetl.items.source import Compared

AT_ONCE = 4096  # files that become rows together


class FilesParams(BaseModel):
    """Params of `document.files`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | list[str] = Field(
        description="a file, a glob (`docs/**/*.md`), a folder with a slash at its end, or a list of them"
    )
    exclude: list[str] = Field(default_factory=list, description="globs of files to leave out")
    media_types: list[str] = Field(
        default_factory=list, description="media types to keep, with wildcards (`text/*`); default: all"
    )

    @property
    def globs(self) -> list[str]:
        """The paths as globs."""
        paths = [self.path] if isinstance(self.path, str) else self.path
        return [f"{p}**/*" if p.endswith("/") else p for p in paths]


class Files:
    """See the module. A file's times are no content: a touched file is no changed one."""

    name = "document.files"
    version = 2
    grain = "item: buckets in which no file changed are not written again"
    params = FilesParams
    packages: tuple[str, ...] = ("pyarrow",)
    code: tuple[str, ...] = ()

    def declare(self, params: FilesParams, scope: Scope) -> Declaration:  # noqa: ARG002  the protocol's parameters
        """Name the globs."""
        return Declaration(sources=tuple(params.globs), selective=bool(params.exclude or params.media_types))

    def lineage(self, _params: FilesParams, _inputs: object, _key: object) -> Iterator[Trace]:
        """Yield that a row is a file: see contracts.lineage."""
        yield Trace(SOURCES, ((PATH, PATH),))

    def run(self, job: Job) -> Made:
        """List the files. Raises TaskError if the task has another key than the path."""
        frugal()
        from mmetl.items.source import keep_listing

        made = keep_listing(job, self._compared(job), _schema(), lambda rows: _typed(job, rows))
        _refuse_shrunk(job, sum(part.rows for part in made.parts))
        return made

    def estimate(self, job: Job) -> Mapping[str, float]:
        """Return how many files a run would find added, changed, removed; their content is looked at only where it decides."""
        frugal()
        compared = self._compared(job)
        if job.params.media_types:
            compared = compared.completed(lambda rows: _typed(job, rows))
        _refuse_shrunk(job, compared.rows)
        return compared.counts(job)

    def _compared(self, job: Job) -> Compared:
        """Compare the files as they were observed with those of the last success."""
        from mmetl.items.source import compare_changes, compare_listing

        if job.key and tuple(job.key) != ("path",):
            raise TaskError("`key` is not 'path'", help="leave it out: a file is named by its path")
        # Of files that are left out it is not known how large they are together, or that they were listed.
        changes = None if job.params.exclude or job.params.media_types else job.changes()
        if changes is not None:
            compared = compare_changes(job, changes.gone, _rows(changes.now), changes.size_bytes, _schema())
            if compared is not None:
                return compared
        listed = _rows(_wanted(job))
        return compare_listing(job, listed, _sum(listed.column("size_bytes")), _schema())


def _refuse_shrunk(job: Job, now: int) -> None:
    """Keep the last artifact where of some files, those that are kept, far fewer are there; the listing has been looked at already."""
    before = job.previous.rows if job.previous else 0
    if (job.params.exclude or job.params.media_types) and not job.allow_shrink and has_shrunk(before, now):
        raise TaskError(
            f"of the files of its source it keeps {now} where there were {before}",
            help=f"if that is right: mmetl run --allow-shrink {job.name.partition(':')[2]}",
        )


def _wanted(job: Job) -> Iterator[SourceFile]:
    """Yield the files as they were observed, without those that are left out."""
    from mmetl.cache.listing import matches

    excluded = job.params.exclude
    for file in job.observed():
        if not (excluded and any(matches(file.path, e) for e in excluded)):
            yield file


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [("path", pa.string()), ("media_type", pa.string()), ("size_bytes", pa.int64()), ("fingerprint", pa.string())]
    )


def _rows(files: Iterable[SourceFile]) -> pa.Table:
    """Return what decides the row of each file, sorted by path; a file that several globs list comes once."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = pa.schema([("path", pa.string()), ("size_bytes", pa.int64()), ("fingerprint", pa.string())])
    remaining = iter(files)
    batches = []
    while some := list(itertools.islice(remaining, AT_ONCE)):
        columns = zip(zip(*some, strict=True), schema.types, strict=True)
        batches.append(pa.record_batch([pa.array(c, t) for c, t in columns], schema=schema))
    rows = pa.Table.from_batches(batches, schema).sort_by("path").combine_chunks()
    paths = rows.column("path")
    first = np.ones(rows.num_rows, bool)
    first[1:] = pc.not_equal(paths.slice(1), paths.slice(0, max(0, rows.num_rows - 1))).to_numpy()
    return rows if first.all() else rows.filter(pa.array(first))


def _sum(numbers: pa.ChunkedArray) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(numbers, min_count=0).as_py())


def _typed(job: Job, rows: pa.Table) -> pa.Table:
    """Return files with their media types, those that are wanted."""
    import fnmatch

    import pyarrow as pa

    from mmetl.transforms.document.media import media_type_of_file

    kinds = [media_type_of_file(job.root / path) for path in rows.column("path").to_pylist()]
    whole = rows.append_column("media_type", pa.array(kinds, pa.string())).select(_schema().names)
    wanted = job.params.media_types
    if not wanted:
        return whole
    return whole.filter(pa.array([any(fnmatch.fnmatchcase(k, w) for w in wanted) for k in kinds]))


FILES = Files()
