"""`document.entities`: what texts mention, one row a mention: names of a gazetteer, patterns, and what a model recognises."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from mmetl.contracts.items import Items
from mmetl.contracts.transform import Declaration, Job, Scope
from mmetl.errors import ParamError, TaskError
from mmetl.items.transform import ItemTransform
from mmetl.transforms.document.gazetteer import Gazetteer, Mention, Name
from mmetl.transforms.document.mentions import Finder, find_mentions, mention_names

if TYPE_CHECKING:
    import pyarrow as pa

Names = dict[str, list[str] | dict[str, list[str]]]
COLUMNS = ("name", "label", "entity")
"""Of a gazetteer in a file or a table; without `entity`, a name names itself."""


class EntitiesParams(BaseModel):
    """Params of `document.entities`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field("text", description="the column of texts")
    names: Names = Field(
        default_factory=dict, description="label: its names, or label: what is named: its names, as a list"
    )
    files: tuple[str, ...] = Field(
        (), description="CSV files of names, with the columns name, label and, maybe, entity"
    )
    patterns: dict[str, str] = Field(
        default_factory=dict,
        description="label: a regular expression; its first group that matched, or the whole match, is what is named",
    )
    ignore_case: bool = Field(False, description="whether names are found in any case")
    whole_words: bool = Field(True, description="whether a name counts only where no word goes on beyond its ends")
    overlaps: Literal["longest", "all"] = Field(
        "longest", description="longest: of mentions that overlap the first, and of these the longest; all: every one"
    )
    provider: Literal["rules", "spacy"] = Field(
        "rules", description="rules: names and patterns only; spacy: also a model (extra `spacy`)"
    )
    model: str | None = Field(
        None,
        description="spacy: an installed package such as en_core_web_sm, or a folder of the project (with a slash)",
    )
    labels: tuple[str, ...] = Field((), description="spacy: labels of the model that count; default: all")

    @field_validator("patterns")
    @classmethod
    def _patterns(cls, patterns: dict[str, str]) -> dict[str, str]:
        for label, pattern in patterns.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"the pattern of '{label}' is no regular expression: {error}") from error
        return patterns

    @field_validator("names")
    @classmethod
    def _written(cls, names: Names) -> Names:
        for name in _listed(names):
            if not name.name.strip():
                raise ValueError(f"a name of '{name.label}' is blank")
        return names

    @property
    def folder(self) -> str:
        """The folder of the model, where it is one of the project."""
        return self.model.rstrip("/") if self.model and "/" in self.model else ""


def _listed(names: Names) -> Iterator[Name]:
    for label, given in names.items():
        pairs = given.items() if isinstance(given, dict) else ((name, [name]) for name in given)
        yield from (Name(name, label, entity) for entity, found in pairs for name in found)


class Entities(ItemTransform):
    """See the module."""

    optional_packages = ("pyahocorasick",)  # patterns and models need it not

    def declare(self, params: EntitiesParams, scope: Scope) -> Declaration:
        """Name the files and the model that it reads. Raises ParamError where it would look for nothing."""
        declared = super().declare(params, scope)
        if params.provider == "spacy" and not params.model:
            raise ParamError("provider 'spacy' needs `model`", param=("provider",))
        if params.provider == "rules" and params.model:
            raise ParamError("`model` is for provider 'spacy'", help="add `provider: spacy`", param=("model",))
        if not (params.names or params.files or params.patterns or params.model or len(scope.inputs) > 1):
            raise ParamError(
                "it looks for nothing", help="give `names`, `files`, `patterns`, `model`, or a second input with names"
            )
        package = () if not params.model or params.folder else (params.model.replace("_", "-"),)
        return Declaration(
            sources=(*params.files, *((f"{params.folder}/**/*",) if params.folder else ())),
            recipe=declared.recipe,
            named_inputs=declared.named_inputs,
            packages=("spacy", *package) if params.provider == "spacy" else (),
        )

    def prepare(self, job: Job, closing: ExitStack) -> Callable[..., Any]:  # noqa: ARG002  it has nothing to close
        """Return the function of a batch. What it needs is loaded with the first one."""
        found = Found(job)

        def mentioned(batch: pa.RecordBatch, inputs: Mapping[str, pa.Table]) -> pa.Table:
            return _rows(batch.column(job.params.text).to_pylist(), found, inputs)

        return mentioned


class Found:
    """What a task looks with.

    Args:
        job: the running task.
    """

    def __init__(self, job: Job) -> None:
        self.params: EntitiesParams = job.params
        self._job = job
        self._finders: list[Finder] = []

    def finders(self, inputs: Mapping[str, pa.Table]) -> Sequence[Finder]:
        """Return the finders of names and patterns. Raises TaskError for a gazetteer that cannot be read."""
        if not self._finders:
            params = self.params
            names = [*_listed(params.names)]
            for path in params.files:
                names += [name for file in self._job.sources[path] for name in _of_file(file, path)]
            for alias, table in inputs.items():
                names += _of_table(alias, table)
            whole = Gazetteer(names, ignore_case=params.ignore_case, whole_words=params.whole_words)
            self._finders = [whole.find, *(_by_pattern(label, p) for label, p in params.patterns.items())]
        return self._finders

    @cached_property
    def recognise(self) -> Callable[[Sequence[str]], Sequence[Sequence[Mention] | str]] | None:
        """Return what asks the model, for mentions or why there are none; None without one."""
        if self.params.provider != "spacy":
            return None
        from mmetl.transforms.document.recognition import recogniser

        where = self._job.root / self.params.folder if self.params.folder else str(self.params.model)
        return recogniser(where, self.params.labels)


def _rows(texts: Sequence[str | None], found: Found, inputs: Mapping[str, pa.Table]) -> pa.Table:
    """Return the mentions in a batch of texts; none for a text that is null."""
    import pyarrow as pa

    finders, longest = found.finders(inputs), found.params.overlaps == "longest"
    whole = [text or "" for text in texts]
    recognised = found.recognise(whole) if found.recognise else [()] * len(whole)
    rows: list[tuple[Any, ...]] = []
    for item, (text, more) in enumerate(zip(whole, recognised, strict=True)):
        if isinstance(more, str):
            rows.append((item, *[None] * len(MADE), more))
            continue
        mentions = find_mentions(text, finders, longest=longest, more=more)
        for name, (start, end, label, entity) in zip(mention_names(text, mentions), mentions, strict=True):
            rows.append((item, name, label, entity, text[start:end], start, end, None))
    columns = zip(*rows, strict=True) if rows else [[]] * (len(MADE) + 2)
    types = (pa.int64(), *(pa.int64() if kind == "int64" else pa.string() for kind in MADE.values()), pa.string())
    names = ["_item", *MADE, "_error"]
    return pa.table({n: pa.array(c, kind) for n, c, kind in zip(names, columns, types, strict=True)})


def _by_pattern(label: str, pattern: str) -> Finder:
    compiled = re.compile(pattern)

    def find(text: str) -> Iterator[Mention]:
        for found in compiled.finditer(text):
            if found.end() > found.start():
                entity = next(filter(None, found.groups()), found[0])
                yield Mention(found.start(), found.end(), label, " ".join(entity.split()))

    return find


def _of_file(file: Path, path: str) -> Iterator[Name]:
    """Yield the names of a CSV file. Raises TaskError for one that has not the columns."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            _check_columns(reader.fieldnames or (), f"'{path}'")
            for row in reader:
                yield _name(row, f"'{path}', line {reader.line_num}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise TaskError(f"'{path}' is no CSV file in UTF-8: {error}") from error


def _of_table(alias: str, table: pa.Table) -> list[Name]:
    """Return the names of a further input, whatever the order of its rows. Raises TaskError for other columns."""
    _check_columns(table.column_names, f"'{alias}'")
    named = table.select([c for c in COLUMNS if c in table.column_names]).to_pylist()
    return sorted(_name(row, f"'{alias}'") for row in named)


def _check_columns(names: Sequence[str], where: str) -> None:
    for column in COLUMNS[:2]:
        if column not in names:
            raise TaskError(f"{where} has no column '{column}'", help=f"it has: {', '.join(names) or 'none'}")


def _name(row: Mapping[str, Any], where: str) -> Name:
    name, label = (row.get(column) for column in COLUMNS[:2])
    if name is None or label is None or not str(name).strip() or not str(label).strip():
        raise TaskError(f"{where}: a name or its label is missing", help="fill it in, or take the row out")
    return Name(str(name), str(label), str(row.get("entity") or name))


MADE = {
    "mention": "string",
    "label": "string",
    "entity": "string",
    "text": "string",
    "start": "int64",
    "end": "int64",
}

ENTITIES = Entities(
    "document.entities",
    None,
    Items(reads=lambda params: (params.text,), makes=MADE, many=True, key=("mention",), batch_rows=128),
    EntitiesParams,
    version=1,
    packages=("pyahocorasick",),
)
