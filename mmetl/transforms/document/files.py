"""`document.files`: the files of a folder as a table; one row a file, by content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.transform import Declaration, Job, Made, Scope
from mmetl.errors import TaskError
from mmetl.items.frugal import frugal

if TYPE_CHECKING:
    import pyarrow as pa


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
    version = 1
    grain = "item: buckets in which no file changed are not written again"
    params = FilesParams
    packages: tuple[str, ...] = ("pyarrow",)
    code: tuple[str, ...] = ()

    def declare(self, params: FilesParams, scope: Scope) -> Declaration:  # noqa: ARG002  the protocol's parameters
        """Name the globs."""
        return Declaration(sources=tuple(params.globs))

    def run(self, job: Job) -> Made:
        """List the files. Raises TaskError if the task has another key than the path."""
        frugal()
        from mmetl.items.source import keep_listing

        listed, size_bytes = self._listed(job)
        return keep_listing(job, listed, size_bytes, _schema(), lambda rows: _typed(job, rows))

    def estimate(self, job: Job) -> Mapping[str, float]:
        """Return how many files a run would find added, changed, removed; their content is not looked at again."""
        frugal()
        from mmetl.items.source import estimate_listing

        listed, size_bytes = self._listed(job)
        return estimate_listing(job, listed, size_bytes, _schema())

    def _listed(self, job: Job) -> tuple[pa.Table, int]:
        """Return the files as they were observed, sorted by path, and their bytes together."""
        import pyarrow as pa

        from mmetl.cache.listing import by_bytes, matches

        if job.key and tuple(job.key) != ("path",):
            raise TaskError("`key` is not 'path'", help="leave it out: a file is named by its path")
        excluded = job.params.exclude
        found = {f.path: f for f in job.observed() if not (excluded and any(matches(f.path, e) for e in excluded))}
        files = [found[p] for p in by_bytes(found)]
        listed_rows = pa.table(
            {
                "path": pa.array([f.path for f in files], pa.string()),
                "size_bytes": pa.array([f.size_bytes for f in files], pa.int64()),
                "fingerprint": pa.array([f.fingerprint for f in files], pa.string()),
            }
        )
        return listed_rows, sum(f.size_bytes for f in files)


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [("path", pa.string()), ("media_type", pa.string()), ("size_bytes", pa.int64()), ("fingerprint", pa.string())]
    )


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
