"""What a transform is: the Protocol, what it declares, what it is given, and how it is registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TextIO, TypeVar, runtime_checkable

from mmetl.contracts.artifact import Column, Manifest, Part
from mmetl.contracts.items import Earlier, ItemIndex, Items
from mmetl.contracts.plan import NOTHING

Promise = Literal["pure", "watermark", "append"]
"""`pure`: an incremental run equals a run from scratch. `watermark`: rows older than the lookback are not read again."""


class Scope(NamedTuple):
    """What a transform may know of its task while the plan is made. No I/O happens here.

    Attributes:
        task: the task's own name.
        tasks: names of all tasks of the pipeline.
        inputs: alias -> task, as the YAML's `inputs:` says; empty when it says nothing.
        key: the columns that name a row; empty without a key.
    """

    task: str
    tasks: frozenset[str]
    inputs: Mapping[str, str]
    key: tuple[str, ...]


class Outside(NamedTuple):
    """A store of others that a task keeps something in.

    Attributes:
        connection: its name in `mmetl.yml`.
        kind: of the connection, such as `neo4j`.
        probe_s: seconds after which a run asks it again whether anybody has changed what the task keeps; 0: each run; None: never.
    """

    connection: str
    kind: str
    probe_s: float | None = 0.0


class Declaration(NamedTuple):
    """What one task reads, writes and is made of, known from its params alone.

    Attributes:
        tables: alias -> task for inputs inferred from the params (tables named in SQL).
        sources: files read, as paths or globs relative to the project.
        optional: files read where they exist; an empty one counts as none (the journal beside a SQLite file).
        outputs: files written, as paths relative to the project.
        folder: a folder that nobody else writes into, whose files are known when the task has run; see `Made.files`.
        kept: whether that folder is kept by an engine of its own: it is seen as one thing, and the task makes a table.
        functions: project functions called, as `module:qualname`; their code counts in the recipe.
        recipe: canonical forms that take the place of params of the same name in the recipe (canonical SQL).
        notes: sentences for `dry-run`, such as why a query runs on one thread.
        promise: what an incremental run guarantees.
        named_inputs: whether the names (aliases) of the inputs can change the output; they then count in the recipe.
        arguments: names of the arguments that `functions` are called with; None where they are not known yet.
        packages: distributions whose version matters to this task, besides those of the transform.
        needs: distributions that it cannot do without, and whose version does not matter.
        outside: a store of others that the task keeps equal to its table; None: there is none.
        selective: whether it keeps only some of the listed files, and itself refuses a source of which far fewer are to be kept.
        prepared: JSON values that follow from the params alone; the plan keeps them, so that a run need not work them out again.
    """

    tables: Mapping[str, str] = NOTHING
    sources: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    recipe: Mapping[str, Any] = NOTHING
    notes: tuple[str, ...] = ()
    promise: Promise = "pure"
    named_inputs: bool = True
    arguments: tuple[str, ...] | None = None
    folder: str = ""
    kept: bool = False
    packages: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    outside: Outside | None = None
    selective: bool = False
    prepared: Sequence[Any] = ()


@dataclass(frozen=True)
class Table:
    """A table artifact as an input. `paths` are the absolute Parquet files of `manifest.parts`, in the same order."""

    task: str
    manifest: Manifest
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class View:
    """A query in the place of a table: whoever reads it runs it. `inputs` are the tables that it names, by alias."""

    task: str
    manifest: Manifest
    inputs: Mapping[str, Table | View]


Input = Table | View


@dataclass(frozen=True)
class Base:
    """The build that a watermark read continues: its rows, those that checks set aside too, and how far it had read."""

    table: Table | View
    watermark: Any


class Parts(Protocol):
    """Where a transform puts the immutable files that it makes (see cache.artifacts.PartStore)."""

    def temp(self, suffix: str = "") -> Path:
        """Return a new path, unique to this attempt, on the same file system as the parts."""
        ...

    def adopt(self, temp: Path) -> tuple[str, int]:
        """Fingerprint a finished temp file, move it to its place; return (fingerprint, bytes)."""
        ...

    def has(self, fingerprint: str) -> bool:
        """Tell whether a part is there and has the bytes that its name says."""
        ...

    def path(self, fingerprint: str) -> Path:
        """Return where a part lies."""
        ...

    def set_aside(self, path: str) -> str | None:
        """Move what mmETL did not write, at a path of the project, out of the way; return where it is now."""
        ...


class Remote(NamedTuple):
    """How a worker process gets at a transform.

    Attributes:
        entry: `module:function` that a worker calls for a batch of items.
        imports: project modules that register transforms.
    """

    entry: str
    imports: tuple[str, ...]


class Meter(Protocol):
    """Counts what a task spends on a paid service, and knows what the run may spend at most.

    Attributes:
        price: of a million tokens; None where it is not known.
    """

    price: float | None

    @property
    def counts(self) -> Mapping[str, float]:
        """What is spent: `tokens`, and `cost` where the price is known; empty if nothing is."""
        ...

    def hold(self, tokens: Sequence[int]) -> int:
        """Reserve the most tokens that each of some items may take, for as many of the first ones as the run may spend; return how many.

        Raises:
            LimitError: if not even the first one fits.
        """
        ...

    def spend(self, tokens: int) -> None:
        """Note that tokens were spent."""
        ...

    def release(self) -> None:
        """Give back what is reserved: what was spent of it has been noted."""
        ...


class SourceFile(NamedTuple):
    """A source file as it was observed before the task; `path` is relative to the project if it lies in it."""

    path: str
    size_bytes: int
    fingerprint: str


class Changes(NamedTuple):
    """Which source files are not as the task's last success read them.

    Attributes:
        gone: paths that are no longer there, or that are other now.
        now: those that are new or other.
        size_bytes: of all source files, the others too.
    """

    gone: Sequence[str]
    now: Sequence[SourceFile]
    size_bytes: int


@dataclass
class Job:
    """All that a running task is given.

    Attributes:
        name: `pipeline:task`.
        params: the transform's params model, secrets resolved.
        inputs: alias -> table or view. Tasks that made files, not a table, are not here: they are ordered only.
        sources: declared path or glob -> the files that it stands for, absolute, sorted by bytes.
        outputs: absolute paths of the declared output files, in order; their folders exist.
        key: the columns that name a row.
        base: the build to continue, for a watermark read; None for a full read.
        previous: the task's last table; None if it has none.
        earlier: what earlier runs computed for its items; None outside a run.
        view: `materialize: view`: describe the rows instead of computing them.
        intact: whether what is kept, in a folder or a store of others, looks as the task's last success left it.
        allow_shrink: whether the source may have become far smaller.
        functions: `module:qualname` -> the imported project function.
        parts: where parts go.
        root: the project's folder.
        scratch_folder: where `scratch` is: an empty folder for spill files, removed after the task.
        log: the task's log file, line-buffered text.
        connection: of the store of others that the task declares, secrets resolved; empty without one.
        made_by: alias of an input -> the transform of the task that made it, and its params, secrets resolved; None in a test.
        connect: name of a connection of the project -> what it says, secrets resolved; None in a test.
        threads: how many threads the engine may use (at least 1).
        memory_limit: how much memory the engine may use before it spills, such as `2000000000B`.
        observed: the source files of all declared paths and globs, one after the other, as observed before the task.
        changes: what changed among them since the task's last success; None where that is not known, and all have to be compared.
        on_cancel: register a function that interrupts the work; called at a timeout or Ctrl-C, from another thread.
        remote: how a worker process gets at the transform; None outside a run.
        meter: what it spends on a paid service; None outside a run.
        prepared: what the transform has declared as such; empty in a test.
        progress: tell how far the work has got: items done, items to do, and what is counted of them.
    """

    name: str
    params: Any
    inputs: Mapping[str, Input]
    sources: Mapping[str, Sequence[Path]]
    outputs: Sequence[Path]
    key: tuple[str, ...]
    base: Base | None
    functions: Mapping[str, Callable[..., Any]]
    parts: Parts
    root: Path
    scratch_folder: str
    log: TextIO
    connection: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    memory_limit: str | None = None
    previous: Manifest | None = None
    earlier: Earlier | None = None
    allow_shrink: bool = False
    intact: bool = False
    view: bool = False
    observed: Callable[[], Iterable[SourceFile]] = tuple
    changes: Callable[[], Changes | None] = lambda: None
    on_cancel: Callable[[Callable[[], None]], None] = lambda _stop: None
    remote: Remote | None = None
    meter: Meter | None = None
    progress: Callable[[int, int, Mapping[str, float]], None] = lambda _done, _todo, _counts: None
    made_by: Callable[[str], tuple[str, Mapping[str, Any]]] | None = None
    connect: Callable[[str], Mapping[str, Any]] | None = None
    prepared: Sequence[Any] = ()

    @cached_property
    def scratch(self) -> Path:
        """The folder for spill files; it need not be there yet."""
        return Path(self.scratch_folder)


@dataclass(frozen=True)
class Made:
    """The table that a transform made; a transform that only writes its declared output files returns None.

    Attributes:
        parts: in order, already adopted.
        columns: the declared schema.
        buckets: how many buckets the key was cut into.
        watermark: how far the read got (a JSON value); None unless it is incremental.
        view: instead of parts: the canonical SQL of a view.
        quarantine: the rows that were set aside, a table without a key whose column `_error` says why; None: none.
        items: of an item-wise transform: what each part was made of, and its items.
        key: the columns that name a row, where the transform knows them; None: as the task says.
        files: instead of a table: path inside the declared folder -> the finished temporary file (see `Parts.temp`).
        counts: how many items were added, changed and so on; what `status` shows.
        opened: of the source files those that the task opened, while it took all others as they had been observed: only these are looked at
            again after it; None: it may have opened all.
    """

    parts: tuple[Part, ...]
    columns: tuple[Column, ...]
    buckets: int = 1
    watermark: Any = None
    view: str = ""
    quarantine: Manifest | None = None
    items: ItemIndex | None = None
    key: tuple[str, ...] | None = None
    counts: Mapping[str, float] = field(default_factory=dict)
    opened: Sequence[str] | None = None
    files: Mapping[str, Path] = field(default_factory=dict)


@runtime_checkable
class Transform(Protocol):
    """What a task does, registered by name.

    Attributes:
        name: such as `tabular.sql`.
        version: raised when the output for the same input changes; None for project code, whose text is the version.
        params: pydantic model (a BaseModel class) of the task's `params:`.
        packages: distributions whose version matters to the output.
        code: `module:qualname` entries of project code that is the transform itself; empty for built-ins.

    Tasks whose `packages` are not installed are refused before a run; those that only some inputs or params need stand in an attribute `optional_packages` too.
    One that can make nothing of globs that stand for no file has an attribute `filled = True`.
    A transform that can be a view (`materialize: view`) has an attribute `views = True`. One that can tell before it runs what it
    would compute has a method `estimate(job)`, which returns counts as in `Made` and changes nothing. One whose work is a query has a method
    `query_text(params, inputs, key)`; one that knows where its rows come from has `lineage` (see contracts.lineage); and where another engine than DuckDB runs it, `query_engine(params of each input)`, which names that.
    """

    name: str
    version: int | None
    params: type[Any]
    packages: tuple[str, ...]
    code: tuple[str, ...]

    def declare(self, params: Any, scope: Scope) -> Declaration:
        """Say what a task with these params reads, writes and is made of. Raises ParamError."""
        ...

    def run(self, job: Job) -> Made | None:
        """Do the work. Raises TaskError for what the author of the pipeline can mend."""
        ...


F = TypeVar("F")


@dataclass(frozen=True)
class Registered:
    """One use of `register_transform`: the name, the decorated function or class, and what the decorator was given."""

    name: str
    target: Any
    version: int | None = None
    packages: tuple[str, ...] = ()
    items: Items | None = None


REGISTERED: dict[str, Registered] = {}
"""Filled by the decorator, read by core.registry, which knows which module was being imported."""


def register_transform(
    name: str, *, version: int | None = None, packages: Sequence[str] = (), items: Items | None = None
) -> Callable[[F], F]:
    """Register a function or a class as the transform `name`.

    A function takes its input tables and its params by name and returns an Arrow table:

        @register_transform("local.clean")
        def clean(inputs: dict[str, pa.Table], params: CleanParams) -> pa.Table: ...

    With `items`, a function takes a batch of new items and returns one row for each, or many (see `Items`):

        @register_transform("local.shout", items=Items(reads=["text"], makes={"loud": "string"}))
        def shout(batch: pa.RecordBatch) -> dict: return {"loud": pc.utf8_upper(batch["text"])}

    A class follows the `Transform` protocol.

    Args:
        name: two or more words joined by dots, such as `local.clean`.
        version: raise it when the output changes; None: the code itself is the version.
        packages: distributions whose version matters to the output.
        items: makes it item-wise.
    """

    def decorate(target: F) -> F:
        REGISTERED[name] = Registered(name, target, version, tuple(packages), items)
        return target

    return decorate
