"""Which rows answer a question: by meaning (the model that made a task's vectors makes that of the question), by words, by both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mmetl.api.query import query
from mmetl.cache.python_rows import python_rows
from mmetl.config.secrets import resolve_secrets
from mmetl.contracts.plan import Plan
from mmetl.core.project import Project
from mmetl.core.registry import Registry, load_function
from mmetl.errors import UsageError
from mmetl.utils.hashing import xxh3_hex
from mmetl.utils.text import quote

EMBED = "vector.embed"
INDEX = "vector.index"
OWN = "__mmetl_own"  # what a query adds to a row: the columns of tasks are called otherwise
RANK_WEIGHT = 60  # of reciprocal rank fusion, as in its paper
CANDIDATES = 50  # of each list that is fused, at least
FILTERED = 1000  # found by their words before a condition leaves some out: at first, more if too few are left

Mode = Literal["vector", "text", "hybrid"]


class Hit(NamedTuple):
    """One row that was found.

    Attributes:
        score: by meaning, the cosine of the angle between its vector and that of the question; by words, BM25; by both, the
            sum of 1 / (60 + rank) over the two lists (reciprocal rank fusion: Cormack, Clarke and Buettcher, 2009).
        row: its columns, without the vector.
    """

    score: float
    row: Mapping[str, Any]


def search(
    project: Project, plan: Plan, task: str, question: str, k: int = 5, where: str | None = None, mode: Mode = "vector"
) -> list[Hit]:
    """Return the rows of a task that answer a question, the best first.

    Without an index every vector is compared: that is exact. A task of `vector.index` is asked as its `ann_above` says.

    Args:
        project: the project.
        plan: the task's pipeline.
        task: a task with a column of vectors.
        question: in words.
        k: how many rows.
        where: a SQL expression; only rows for which it is true are found.
        mode: by meaning, by words, or both; words need a task of `vector.index` with `text:`.

    Raises:
        UsageError: if the task has no vectors or no words, its index is not as its last run left it, or `where` is no
            expression over its columns.
        MissingError: if the package of the model or of the index is not installed.
    """
    searcher = _Searcher(project, plan, task, where)
    if mode == "vector":
        return searcher.by_meaning(question, k)
    if mode == "text":
        return searcher.by_words(question, k)
    some = max(CANDIDATES, 4 * k)
    return _fused([searcher.by_meaning(question, some), searcher.by_words(question, some)], searcher.key, k)


def _fused(lists: Sequence[Sequence[Hit]], key: Sequence[str], k: int) -> list[Hit]:
    """Return the best of several lists by reciprocal rank fusion."""
    scores: dict[tuple[Any, ...], float] = {}
    rows: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for hits in lists:
        for rank, hit in enumerate(hits, 1):
            named = tuple(hit.row[c] for c in key)
            scores[named] = scores.get(named, 0.0) + 1.0 / (RANK_WEIGHT + rank)
            rows.setdefault(named, hit.row)
    best = sorted(scores, key=lambda named: (-scores[named], tuple(map(str, named))))[:k]
    return [Hit(scores[named], rows[named]) for named in best]


class _Searcher:
    """Searches one task, with its index if it is one."""

    def __init__(self, project: Project, plan: Plan, task: str, where: str | None) -> None:
        self._project, self._plan, self._task, self._where = project, plan, task, where
        self._manifest, _ = project.artifact(plan, task)
        self.key = self._manifest.key
        self._index = self._open_index()

    def by_meaning(self, question: str, k: int) -> list[Hit]:
        """Return the rows whose vectors are nearest to that of the question."""
        embedding = _embedding(
            self._project, self._plan, self._task, words=bool(self._index and self._index.params.text)
        )
        params, vector = _embed(self._project, self._plan, embedding, question)
        column = self._index.params.vector if self._index else params.into
        if self._index and self._index.lance:
            return [Hit(*pair) for pair in self._index.lance.nearest(vector, k, self._where)]
        if self._index and self._index.light and self._index.light.graph and not self._where:
            return self._rows_of(self._index.light.nearest(vector, k), column)
        return self._exactly(column, params.size, vector, k)

    def by_words(self, question: str, k: int) -> list[Hit]:
        """Return the rows whose text has the words of the question."""
        index = self._index
        if index is None or not index.params.text:
            raise UsageError(
                f"'{self._task}' cannot be searched by words",
                help="add a task with vector.index and `text:`, and search that"
                if index is None
                else "give it `text:`",
            )
        if index.lance:
            return [Hit(*pair) for pair in index.lance.matching(question, k, self._where)]
        assert index.light
        some = max(k, FILTERED) if self._where else k
        while True:
            found = index.light.matching(question, some)
            hits = self._rows_of(found, index.params.vector)[:k]
            if len(hits) == k or len(found) < some or not self._where:
                return hits
            some *= 10  # the condition has left too few

    def _open_index(self) -> _Index | None:
        """Return the index of a task that has one. Raises UsageError if it is not as the last run left it."""
        detail = self._project.details(self._plan, (self._task,))[self._task]
        if detail.transform != INDEX:
            return None
        from mmetl.engines.lance import LanceIndex
        from mmetl.engines.light import LightIndex
        from mmetl.transforms.vector.index import make_target
        from mmetl.transforms.vector.types import dimensions_of

        registry = Registry(self._project.root)
        params = registry.get(INDEX).params.model_validate(resolve_secrets(detail.params, self._project.env))
        size = dimensions_of(self._manifest, params.vector, self._task)
        target, _ = make_target(params, self._project.root / params.path, self._manifest, size)
        applied = target.applied()
        if applied is None or applied.manifest != xxh3_hex(self._manifest.to_json().encode()):
            raise UsageError(f"the index '{params.path}' is not as the last run left it", help="mmetl run")
        return _Index(
            params,
            target if isinstance(target, LightIndex) else None,
            target if isinstance(target, LanceIndex) else None,
        )

    def _exactly(self, column: str, size: int, vector: Any, k: int) -> list[Hit]:
        """Compare every vector."""
        names = [c.name for c in self._manifest.columns]
        if column not in names:
            raise UsageError(f"'{self._task}' has no column '{column}'", help=f"it has: {', '.join(names)}")
        numbers = ", ".join(f"{float(x)!r}" for x in vector)
        score = f"array_cosine_similarity({quote(column)}, [{numbers}]::float[{size}])"
        condition = f"where (\n{self._where}\n)" if self._where else ""
        shown = ", ".join(quote(n) for n in names if n != column)
        key = "".join(f", {quote(c)}" for c in self.key)
        sql = (
            f"select {shown}, {score} as {quote(OWN)} from {self._table} {condition}"
            f" order by {quote(OWN)} desc{key} limit {int(k)}"
        )
        return [Hit(row.pop(OWN), row) for row in self._query(sql)]

    def _rows_of(self, found: Sequence[tuple[float, Sequence[Any]]], vector: str) -> list[Hit]:
        """Return the rows of keys, those for which the condition is true, in the order of the keys."""
        if not found:
            return []
        shown = ", ".join(f"t.{quote(c.name)}" for c in self._manifest.columns if c.name != vector)
        condition = f" where (\n{self._where}\n)" if self._where else ""
        wanted = ", ".join(f"({n}, {', '.join(map(_literal, key))})" for n, (_, key) in enumerate(found))
        names = [f"__mmetl_{n}" for n in range(len(self.key))]
        # The texts of an index are Arrow's: those of DuckDB are others, of times for instance.
        same = [f"t.{quote(c)} = cast_to_type(v.{n}, t.{quote(c)})" for c, n in zip(self.key, names, strict=True)]
        sql = (
            f"select {shown}, v.{quote(OWN)} from (select * from {self._table}{condition}) t"
            f" join (values {wanted}) v({quote(OWN)}, {', '.join(names)}) on {' and '.join(same)}"
        )
        rows = {row.pop(OWN): row for row in self._query(sql)}
        return [Hit(score, rows[n]) for n, (score, _) in enumerate(found) if n in rows]

    @property
    def _table(self) -> str:
        return f"{quote(self._plan.pipeline)}.{quote(self._task)}"

    def _query(self, sql: str) -> list[dict[str, Any]]:
        with query(self._project, sql, self._where or "") as rows:
            return [row for batch in rows.batches for row in python_rows(batch)]


class _Index(NamedTuple):
    """The index of a task: one of the two is there."""

    params: Any
    light: Any
    lance: Any


def _literal(value: Any) -> str:
    return "null" if value is None else "'" + str(value).replace("'", "''") + "'"


def _embedding(project: Project, plan: Plan, task: str, *, words: bool) -> str:
    """Return the nearest task, upstream of this one or itself, that made vectors. Raises UsageError if none has; `words`: it has those."""
    details = project.details(plan, plan.tasks)
    level, seen = [task], set()
    while level:
        found = [t for t in level if details[t].transform == EMBED]
        if found:
            return found[0]
        seen.update(level)
        level = [t for name in level for t in plan.tasks[name].tables if t not in seen]
    embedders = [t for t, d in details.items() if d.transform == EMBED]
    way = f"search one of: {', '.join(embedders)}" if embedders else f"add a task with {EMBED}"
    raise UsageError(
        f"nothing that '{task}' reads was made by {EMBED}", help="search it by its words: --mode text" if words else way
    )


def _embed(project: Project, plan: Plan, task: str, question: str) -> tuple[Any, Any]:
    """Return the params of a `vector.embed` task, and the vector that its model makes of the question."""
    from mmetl.transforms.vector.embed import embedder

    detail = project.details(plan, (task,))[task]
    registry = Registry(project.root)
    if detail.imports:
        registry.add_modules(detail.imports)
    params = registry.get(EMBED).params.model_validate(resolve_secrets(detail.params, project.env))
    functions = {f: load_function(project.root, f) for f in detail.functions}
    vectors, errors = embedder(params, functions, project.root)([question])
    if errors[0]:
        raise UsageError(f"the question cannot be searched for: {errors[0]}", help="ask in words that the model knows")
    return params, vectors[0]
