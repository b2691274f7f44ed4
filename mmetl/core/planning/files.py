"""The files that tasks name: as written in the YAML, checked, and matched to the tasks that write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmetl.cache.layout import STATE_DIR
from mmetl.cache.listing import is_glob, matches, plain_path, reaches
from mmetl.config.schema import Pipeline
from mmetl.core.planning.clashes import clashes, own_path
from mmetl.core.planning.draft import Draft
from mmetl.core.planning.findings import Findings, KeyPath
from mmetl.core.planning.own_files import OwnFiles
from mmetl.utils.text import shown


class Files:
    """Knows the files of one pipeline's tasks.

    Args:
        root: the project's folder.
        pipeline: the pipeline.
        findings: gets what is wrong.
    """

    def __init__(self, root: Path, pipeline: Pipeline, findings: Findings) -> None:
        self._root = root
        self._pipeline = pipeline
        self._findings = findings

    def source(self, task: str, path: str, here: KeyPath = ()) -> str:
        """Return a path or glob that a task reads, relative to the project; `here` is where it stands, if not in the params."""
        clean = self._plain(path)
        self._check(task, path, here)
        if clean.startswith("../") or clean == "..":
            help_ = "paths are relative to the project's folder; name outside files by an absolute path"
            self._findings.add(f"'{path}' is outside the project", here or self._place(task, path), help_)
        return clean

    def output(self, task: str, path: str) -> str:
        """Return a path that a task writes, relative to the project."""
        clean = self._plain(path)
        self._check(task, path)
        inside = not clean.startswith("/") and clean.split("/", 1)[0] not in {STATE_DIR, "..", "."}
        if path.endswith("/") or not inside or is_glob(clean):
            help_ = f"an output is one file inside the project, not in {STATE_DIR}/, without wildcards"
            self._findings.add(f"'{path}' cannot be an output", self._place(task, path, "outputs"), help_)
        return clean

    def where_written(self, task: str, path: str) -> Any:
        """Return the position of an output of a task, or of its output folder."""
        return self._findings.where(self._place(task, path, "path" if path.endswith("/") else "outputs"))

    def match(self, drafts: Mapping[str, Draft], families: Mapping[str, Sequence[str]]) -> None:
        """Make a task depend on those that write the files which it reads, as in Make."""
        writes = {name: draft.writes for name, draft in drafts.items()}
        producers = {path: name for name, w in reversed(writes.items()) for path in w.outputs}
        for clash in clashes(writes):
            where = self.where_written(clash.other, own_path(writes[clash.other], clash))
            self._findings.extend([clash.problem(where, "tasks ")])
        folders = {draft.folder: name for name, draft in drafts.items() if draft.folder}
        for name, draft in drafts.items():
            needed = {m: None for t in draft.spec.depends_on for m in families.get(t, [t])}
            for path in draft.paths:
                if path in producers:
                    needed[producers[path]] = None
                elif is_glob(path):
                    needed.update((t, None) for p, t in producers.items() if matches(p, path))
            for folder, writer in folders.items():
                if any(reaches(folder, p) for p in draft.paths):
                    needed[writer] = None
            if name in needed:
                del needed[name]
                self._refuse_own_outputs(name, draft)
            tables = draft.tables
            draft.after = [t for t in needed if t not in tables]

    def refuse_own(self, drafts: Mapping[str, Draft], own: OwnFiles) -> None:
        """Refuse outputs that are files which the pipeline is made of."""
        for name, path in [(n, p) for n, draft in drafts.items() for p in draft.outputs if p in own]:
            place = self._place(name, path, "outputs")
            self._findings.add(f"'{path}' is a file that the pipeline is made of", place, "write to another path")

    def _refuse_own_outputs(self, name: str, draft: Draft) -> None:
        for path in draft.paths:
            if path in draft.outputs or (draft.folder and not is_glob(path) and path.startswith(draft.folder)):
                what = f"task '{name}' reads '{path}', which it writes"
                self._findings.add(what, self._place(name, path), "write to another path")
                return

    def _check(self, task: str, path: str, here: KeyPath = ()) -> None:
        if "\0" in path:
            what = f"'{shown(path)}' has a NUL, which no path can have"
            self._findings.add(what, here or self._place(task, path))
        if "{secret:" in path:
            what = f"'{path}' has a secret in a path, which state and logs would show"
            self._findings.add(what, here or self._place(task, path), "use a var or an environment variable")

    def _plain(self, path: str) -> str:
        return plain_path(self._root.as_posix(), path)

    def _place(self, task: str, path: str, param: str = "inputs") -> KeyPath:
        """Return where among the params of a task a path stands; the task itself if they hold no such text.

        Args:
            task: its name.
            path: the path, in the form in which it was written or a shorter one.
            param: where it is looked for first: the same text may stand in a command.
        """
        clean = self._plain(path)
        todo: list[tuple[KeyPath, Any]] = [(("tasks", task, "params"), self._pipeline.tasks[task].params)]
        found: list[KeyPath] = []
        while todo:
            place, value = todo.pop()
            if isinstance(value, str) and self._plain(value) == clean:
                found.append(place)
            elif isinstance(value, (dict, list)):
                inner: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
                todo += reversed([((*place, key), v) for key, v in inner])
        return next((p for p in found if p[3] == param), [*found, ("tasks", task)][0])
