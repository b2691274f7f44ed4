"""The project: where it is, its pipelines, its store; everything else is reached from here."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path

from mmetl.cache.fingerprints import FileCache, fingerprint_pipeline, is_racy
from mmetl.cache.layout import STATE_DIR, part_path
from mmetl.cache.listing import list_files
from mmetl.cache.plans import checks_of, load_details, load_plan, plan_key, plan_of, relative, save_plan
from mmetl.cache.stat_cache import known_files
from mmetl.cache.store import Store
from mmetl.cache.tree_cache import TreeCache
from mmetl.cache.trees import Tree
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.plan import NOTHING, Plan, TaskDetail
from mmetl.core.decide import Decision, decide_all, observe
from mmetl.core.facts import NO_LISTS, RECORD_COLUMNS, Facts, Lists, Record
from mmetl.core.leftovers import find_leftovers
from mmetl.core.outside import Stores
from mmetl.core.planning.clashes import between, clashes, own_path, writes_of
from mmetl.core.reasons import Kind
from mmetl.core.settings import Settings, kept_settings, names_root, read_settings
from mmetl.errors import ConfigError, MmetlError, Problem, UsageError, Where
from mmetl.observability.attempts import attempts
from mmetl.utils.garbage import collection_paused
from mmetl.utils.text import near, shown, why_not
from mmetl.utils.time import now_ms

PROJECT_FILE = "mmetl.yml"
MARKERS = (PROJECT_FILE, "dodo.py", f"{STATE_DIR}/state.db")


def find_root(start: Path, fallback: Path) -> Path:
    """Return the nearest folder upward from `start` that marks a project, or `fallback`."""
    for folder in (start, *start.parents):
        if any(os.path.exists(folder / m) for m in MARKERS):
            return folder
    return fallback


def _file_above(root: Path) -> Path | None:
    """Return the project file in a folder further up that names this folder as its root, if there is one."""
    for folder in root.parents:
        file = folder / PROJECT_FILE
        if os.path.exists(file):
            try:
                return file if names_root(file) and (folder / read_settings(file).root).resolve() == root else None
            except MmetlError:
                return None  # it is wrong, and perhaps another project's
    return None


class Project:
    """One project, opened cheaply: nothing is read before it is needed.

    Attributes:
        root: the folder that all paths are relative to, resolved.
        env: the environment that interpolation sees.
        file: the project file, `mmetl.yml`, if there is one.
    """

    def __init__(self, root: Path, env: Mapping[str, str] = os.environ, file: Path | None = None) -> None:
        self.root = root
        self.env = env
        self.file = file

    @classmethod
    def open(cls, start: str | Path = ".", env: Mapping[str, str] | None = None) -> Project:
        """Find the project upward from a folder or a pipeline file.

        Raises:
            ConfigError: if `mmetl.yml` is invalid.
        """
        try:
            path = Path(start).resolve()
        except OSError as e:
            raise UsageError(f"the folder that this was started in cannot be used: {why_not(e)}") from e
        folder = path.parent if path.is_file() else path
        root = find_root(folder, folder)
        file = root / PROJECT_FILE
        if not file.exists():
            return cls(root, os.environ if env is None else env, _file_above(root))
        if names_root(file):
            said = read_settings(file).root
            root = (root / said).resolve()
            if not root.is_dir():
                raise ConfigError(
                    [Problem(f"the root '{said}' of {file} is not a folder", None, "make it, or mend 'root'")]
                )
        return cls(root, os.environ if env is None else env, file)

    @cached_property
    def settings(self) -> Settings:
        """What `mmetl.yml` says, or the defaults."""
        return kept_settings(self.store, self.file) if self.file else Settings()

    @cached_property
    def stores(self) -> Stores:
        """The stores of others that `mmetl.yml` names."""
        return Stores(self.settings.connections, self.env, self.store, self.root)

    @cached_property
    def store(self) -> Store:
        """The state of this project."""
        return Store(self.root)

    @cached_property
    def files(self) -> FileCache:
        """The fingerprints of this project's files, as known from earlier runs."""
        return FileCache(str(self.root), known_files(self.store))

    @cached_property
    def trees(self) -> TreeCache:
        """What globs stand for, as known from earlier runs."""
        return TreeCache(self.store, self.files)

    # --- pipelines

    def pipeline_files(self) -> list[Path]:
        """Return the pipeline files of the project, sorted by path."""
        found = {p: None for glob in self.settings.pipelines for p in list_files(str(self.root), glob)}
        return [self.root / p for p in sorted(found, key=os.fsencode)]

    def find_pipeline(self, name: str | None) -> Path:
        """Return the pipeline file that a command means.

        Args:
            name: a path, a pipeline's name, or None for the project's only one.

        Raises:
            UsageError: if there is none, or more than one could be meant.
        """
        files = self.pipeline_files() if name is None or not os.path.isfile(name) else []
        if name is not None and os.path.isfile(name):
            return Path(name).resolve()
        if name is not None and os.path.isfile(self.root / name):
            return (self.root / name).resolve()
        shown = ", ".join(relative(self.root, f) for f in files)
        if name is None:
            if len(files) == 1:
                return files[0]
            if not files:
                raise UsageError(
                    "no pipeline was found here", help="name one: mmetl run PIPELINE.yaml, or list them in mmetl.yml"
                )
            raise UsageError(f"this project has {len(files)} pipelines", help=f"name one of: {shown}")
        found = [f for f in files if f.stem == name] or [
            f for f in files if (plan := self._valid(f)) and plan.pipeline == name
        ]
        if len(found) == 1:
            return found[0]
        close = near(name, [f.stem for f in files])
        raise UsageError(
            f"no pipeline is called '{name}'",
            help=f"did you mean '{close}'?" if close else f"pipelines: {shown or 'none'}",
        )

    def _valid(self, path: Path) -> Plan | None:
        """Return the plan of a pipeline file; None if it is wrong."""
        try:
            return self.plan(path)
        except ConfigError:
            return None

    def plan(self, path: Path, variables: Mapping[str, str] | None = None) -> Plan:
        """Return the compiled plan of a pipeline file: the kept one, or a new one, which is then kept.

        Raises:
            ConfigError: with every problem of the file.
        """
        try:
            key = plan_key(relative(self.root, path), variables or {})
        except UnicodeEncodeError:
            name = shown(relative(self.root, path))
            raise ConfigError([Problem(f"the name of '{name}' is not UTF-8", None, "rename it")]) from None
        kept = load_plan(self.store, key, self.files, self.env)
        if kept:
            return kept
        with collection_paused():
            return self._compile(path, key, variables or {})

    def _compile(self, path: Path, key: str, variables: Mapping[str, str]) -> Plan:
        from mmetl.config.loader import read_pipeline
        from mmetl.core.planner import Planner
        from mmetl.utils.env import Env

        begun_ns = time.time_ns()
        loaded = read_pipeline(path, root=self.root, variables=variables, env=self.env)
        planner = Planner(loaded, self.root, Env(self.env), self.file)
        compiled = planner.compile()
        self._refuse_namesake(compiled.pipeline, path)
        plan = Plan(key, compiled.pipeline, compiled.nodes)
        self._refuse_writers(plan, planner.files.where_written)
        checks = checks_of(self.files, compiled.files, compiled.env)
        checks["racy"] = any(self._written_since(p, begun_ns) for p in checks["files"])
        checks["listings"] = dict(compiled.listings)
        checks["path"] = relative(self.root, path)
        checks["definition"] = fingerprint_pipeline(loaded.pipeline)
        with self.store.transaction() as db:
            save_plan(db, plan, compiled.details, compiled.recipes, checks)
        return plan

    def _written_since(self, path: str, begun_ns: int) -> bool:
        """Tell whether a file may have been edited between its reading and its hashing; the plan is then made again."""
        try:
            return is_racy(os.stat(self.files.full(path)), begun_ns)
        except OSError:
            return False

    def _refuse_namesake(self, name: str, path: Path) -> None:
        """Refuse a second file with the same pipeline name: their tasks would overwrite each other's state."""
        rows = self.store.rows(
            "select distinct json_extract(checks, '$.path') from plans where json_extract(body, '$.pipeline') = ?",
            (name,),
        )
        for (other,) in rows:
            there = self.root / other
            if there.resolve() != path and there.exists() and self._still_called(there, name):
                what = (
                    f"two files of this project call their pipeline '{name}': {other} and {relative(self.root, path)}"
                )
                raise ConfigError([Problem(what, None, "give one of them another name")])

    def _still_called(self, path: Path, name: str) -> bool:
        """Tell whether a pipeline file has the name that it had once; of one that is wrong now, by what looks like it."""
        kept = load_plan(self.store, plan_key(relative(self.root, path), {}), self.files, self.env)
        plan = kept or self._planned(path)
        if plan:
            return plan.pipeline == name
        return re.search(rf"\bname\W{{1,9}}{name}\b", path.read_text(errors="replace")) is not None

    def _refuse_writers(self, compiled: Plan, where: Callable[[str, str], Where]) -> None:
        """Refuse to write what a task of another pipeline writes, as far as kept plans tell.

        A pipeline that was not planned yet is compared when it is.
        """
        rows = self.store.rows(
            "select key, json_extract(checks, '$.path'), body from plans where json_extract(body, '$.pipeline') <> ?",
            (compiled.pipeline,),
        )
        own = writes_of(compiled) if rows else {}
        for key, path, body in rows if own else ():
            if between(own, writes_of(plan_of(key, body))) and (self.root / path).exists():
                # Its YAML may say otherwise by now.
                plan = load_plan(self.store, key, self.files, self.env) or self._planned(self.root / path)
                problems = [
                    clash.problem(where(name.partition(":")[2], own_path(own[name], clash)))
                    for name, clash in between(own, writes_of(plan) if plan else {})
                ]
                if problems:
                    raise ConfigError(problems)

    def _planned(self, path: Path) -> Plan | None:
        """Plan a pipeline for a look at it: nothing is kept; None if it is invalid."""
        from mmetl.config.loader import read_pipeline
        from mmetl.core.planner import Planner
        from mmetl.utils.env import Env

        try:
            made = Planner(
                read_pipeline(path, root=self.root, env=self.env), self.root, Env(self.env), self.file
            ).compile()
        except ConfigError:
            return None
        return Plan("", made.pipeline, made.nodes)

    def details(self, plan: Plan, tasks: Iterable[str]) -> dict[str, TaskDetail]:
        """Return what running some tasks of a plan needs."""
        return load_details(self.store, plan.key, tasks)

    # --- decisions

    def facts(self, plan: Plan, *, forced: Mapping[str, Kind] = NOTHING, asking: bool = True) -> Facts:
        """Return what is recorded about a plan's tasks; nothing of the outside is looked at yet. `asking`: stores of others, later."""
        rows = self.store.rows(f"select {RECORD_COLUMNS} from tasks where pipeline = ?", (plan.pipeline,))
        records = {row[0]: Record._make(row) for row in rows}

        def lists(task: str) -> Lists:
            sql = (
                "select input_list, output_list, trees, m.body from tasks left join manifests m on m.fingerprint = manifest"
                " where pipeline = ? and task = ?"
            )
            found = self.store.rows(sql, (plan.pipeline, task))
            if not found:
                return NO_LISTS
            inputs, outputs, listed, body = found[0]
            executable = Manifest.from_json(body).executable if body else frozenset[str]()
            trees = {g: Tree.from_json(folders, self.trees.page) for g, folders in json.loads(listed or "{}").items()}
            return Lists(json.loads(inputs or "{}"), json.loads(outputs or "{}"), executable, trees)

        return Facts(
            plan.pipeline,
            records,
            self.files,
            self.trees,
            now_ms=now_ms(),
            lists=lists,
            forced=forced,
            leftovers=find_leftovers(self.store, plan, records, self.trees.page),
            attempts=lambda: attempts(self.store, plan.pipeline),
            stores=(lambda: self.stores) if asking else None,
        )

    def decide(
        self,
        plan: Plan,
        names: Iterable[str] | None = None,
        *,
        forced: Mapping[str, Kind] = NOTHING,
        asking: bool = True,
    ) -> tuple[Facts, dict[str, Decision]]:
        """Observe and decide over some tasks (all by default), in topological order. Not `asking`: stores of others are as they were."""
        facts = self.facts(plan, forced=forced, asking=asking)
        wanted = list(plan.tasks if names is None else names)
        observe((plan.tasks[n] for n in wanted), facts)
        return facts, decide_all(plan, wanted, facts)

    def artifact(self, plan: Plan, task: str) -> tuple[Manifest, list[Path]]:
        """Return the current manifest of a task and the absolute paths of its parts.

        Raises:
            UsageError: if the task has no artifact yet.
        """
        found = self.store.rows(
            "select m.body from tasks t join manifests m on m.fingerprint = t.manifest"
            " where t.pipeline = ? and t.task = ?",
            (plan.pipeline, task),
        )
        if not found:
            raise UsageError(f"'{task}' has no artifact yet", help=f"mmetl run --select +{task}")
        manifest = Manifest.from_json(found[0][0])
        paths = [self.root / part_path(p.fingerprint) for p in manifest.parts]
        if manifest.kind == "table" and not all(p.exists() for p in paths):
            raise UsageError(f"parts of '{task}' are missing", help=f"mmetl run --select +{task}")
        return manifest, paths

    def refuse_clashes(self, planned: Mapping[Path, Plan]) -> None:
        """Refuse two pipelines of the project that write one file, or into each other's output folders.

        Args:
            planned: the plans that are known already, by their files. A file that is wrong is not compared.

        Raises:
            ConfigError: naming both tasks of each clash.
        """
        files = self.pipeline_files()
        if len(files) < 2:
            return  # within one, planning has refused them
        plans = [planned.get(p) or self._valid(p) for p in files]
        writers = {name: writes for plan in plans if plan for name, writes in writes_of(plan).items()}
        problems = [clash.problem() for clash in clashes(writers)]
        if problems:
            raise ConfigError(problems)
