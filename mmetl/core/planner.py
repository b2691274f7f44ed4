"""Pipeline -> plan: params typed, inputs inferred, files matched to the tasks that write them, recipes taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mmetl.cache.code import Code, CodeReader
from mmetl.cache.fingerprints import fingerprint_recipe
from mmetl.cache.layout import STATE_DIR
from mmetl.cache.listing import is_glob, matches, plain_path, reaches
from mmetl.cache.plans import environment_fingerprint
from mmetl.config.loader import Loaded
from mmetl.config.matrix import families, family_of
from mmetl.config.problems import problems_from_validation
from mmetl.config.schema import TaskSpec
from mmetl.config.secrets import looks_secret
from mmetl.contracts.transform import Outside, Scope, Transform
from mmetl.core.calls import given_by_name, wrong_calls
from mmetl.core.clashes import clashes, own_path
from mmetl.core.compiled import Compiled
from mmetl.core.dag import CycleError, topological_sort
from mmetl.core.draft import Draft
from mmetl.core.expected import related_tasks
from mmetl.core.extras import Versions, lacking
from mmetl.core.namesakes import Namesakes
from mmetl.core.outside import Place, no_connection
from mmetl.core.own_files import OwnFiles
from mmetl.core.registry import Registry, folders_on_path
from mmetl.errors import ConfigError, MissingError, MmetlError, ParamError, Problem, UsageError
from mmetl.utils.env import Env
from mmetl.utils.hashing import canonical_json
from mmetl.utils.text import near, shown

_Call = tuple[str, tuple[str, ...] | None, tuple[Any, ...]]
"""A function that is called, the names of its arguments where they are known, and the place of what names it."""


class Planner:
    """Plans one pipeline; gathers all problems before it raises.

    Args:
        loaded: the pipeline as read from YAML.
        root: the project's folder.
        env: the environment, for `env:`.
        project_file: `mmetl.yml`, for the connections that tasks name.
    """

    def __init__(self, loaded: Loaded, root: Path, env: Env, project_file: Path | None = None) -> None:
        self.loaded = loaded
        self.root = root
        self.env = env
        self.pipeline = loaded.pipeline
        self.registry = Registry(root)
        self.code = CodeReader(root, folders_on_path(root))
        self.namesakes = Namesakes(root)
        self.problems: list[Problem] = list(loaded.problems)
        self.code_files: set[str] = set()
        self.listings: dict[str, str] = {}
        self.env_used: dict[str, str | None] = dict(loaded.env)
        self.project_file = project_file
        self._connections: dict[str, Any] | None = None
        self._connection_files: tuple[Path, ...] = ()
        self._versions = Versions()
        self._families = families([*self.pipeline.tasks, *loaded.wrong])
        self._kept: set[str] = set()  # functions whose code was noted
        self._right: set[tuple[str, tuple[str, ...], bool]] = set()  # calls with nothing wrong in them
        self._tasks = frozenset((*self.pipeline.tasks, *loaded.wrong, *self._families))

    def compile(self) -> Compiled:
        """Return the plan. Raises ConfigError with every problem found; MissingError where that is the only one."""
        try:
            return self._compile()
        except MissingError:
            if self.problems:
                raise self._invalid() from None
            raise

    def _compile(self) -> Compiled:
        self._import_modules()
        drafts = {}
        for name, spec in self.pipeline.tasks.items():
            draft = self._draft(name, spec)
            if draft:
                drafts[name] = draft
        for name, right in self.loaded.wrong.items():
            if right:
                self._look_at(name, right)
        self._match_files(drafts)
        order = self._order(drafts)
        if self.problems:
            self._look_at_code(drafts)
            raise self._invalid()
        nodes, details, recipes = {}, {}, {}
        for name in order:
            draft = drafts[name]
            made = self._recipe(name, draft, drafts)
            recipe = canonical_json(made)
            recipes[fingerprint := fingerprint_recipe(recipe)] = recipe
            nodes[name] = draft.node(name, fingerprint)
            versions = [made.get(part, {}) for part in ("packages", "check_packages")]
            missing = lacking(draft.transform, *versions, self._versions.of(draft.declared.needs))
            details[name] = draft.detail(self.pipeline, drafts, recipe, missing)
        files = (*(self._relative(f) for f in (*self.loaded.files, *self._connection_files)), *sorted(self.code_files))
        self._refuse_own_files(drafts, OwnFiles(self.root, files))
        if self.problems:
            raise self._invalid()
        return Compiled(self.pipeline.name, nodes, details, recipes, files, self.listings, self.env_used)

    # --- one task

    def _draft(self, name: str, spec: TaskSpec) -> Draft | None:
        here = ("tasks", name)
        known = self._known_inputs(name, spec)
        transform = self._transform(name, spec)
        params = self._params(name, spec, transform) if transform else None
        if transform is None or params is None:
            return None
        scope = Scope(name, self._tasks, spec.inputs, tuple(spec.key))
        try:
            declared = transform.declare(params, scope)
        except ParamError as e:
            self._problem(e, (*here, "params", *e.param), e.offset)
            return None
        self._check_view(name, spec, transform)
        self._check_pool(name, spec)
        inputs = dict(spec.inputs) if spec.inputs else dict(declared.tables)
        inputs = {alias: task for alias, task in inputs.items() if task in self._tasks}
        read = {alias: self._families[task] for alias, task in inputs.items() if task in self._families}
        draft = Draft(spec, transform, params.model_dump(mode="json"), declared, inputs, read)
        draft.sources = [self._path(name, p) for p in declared.sources]
        draft.extra = [self._path(name, p, (*here, "files", n)) for n, p in enumerate(spec.files)]
        draft.outputs = list(dict.fromkeys(self._output(name, p) for p in declared.outputs))
        if declared.folder:
            draft.folder = self._output(name, declared.folder.rstrip("/")) + "/"
        if declared.outside:
            self._connect(name, declared.outside, draft)
        if spec.expect:
            written = declared.outputs or tuple(filter(None, [declared.folder]))
            draft.related = related_tasks(name, spec, written, self._tasks, self._families, self._problem)
        return draft if known else None

    def _transform(self, name: str, spec: TaskSpec) -> Transform | None:
        try:
            return self.registry.get(spec.transform)
        except ParamError as e:
            self._problem(e, ("tasks", name, "transform"))
            return None

    def _params(self, name: str, spec: TaskSpec, transform: Transform) -> BaseModel | None:
        try:
            params: BaseModel = transform.params.model_validate(spec.params)
        except ValidationError as e:
            place = ("tasks", name, "params")
            self.problems += problems_from_validation(e, self.loaded.source, place, transform.params, spec.transform)
            return None
        return params

    def _look_at(self, name: str, spec: TaskSpec) -> None:
        """Find what else is wrong with a task that cannot be planned."""
        self._known_inputs(name, spec)
        transform = self._transform(name, spec)
        if transform and spec.params:  # without any, `params` itself may be what is misspelt
            self._params(name, spec, transform)

    def _connect(self, name: str, outside: Outside, draft: Draft) -> None:
        """Find the connection that a task names; where it leads counts in the recipe, who goes there does not."""
        if self._connections is None:
            self._connections = self._read_connections()
        said = self._connections.get(outside.connection)
        if said is None or said["kind"] != outside.kind:
            what, _, help_ = no_connection(outside.connection, self._connections)
            if said is not None:
                what, help_ = f"'{outside.connection}' is a connection of kind {said['kind']}, not {outside.kind}", ""
            self.problems.append(Problem(what, self._where(("tasks", name, "params", "connection")), help_))
            return
        draft.outside = str(Place(outside.kind, outside.connection, f"{self.pipeline.name}:{name}"))
        draft.connection = {key: said[key] for key in ("kind", "uri", "database")}

    def _read_connections(self) -> dict[str, Any]:
        if self.project_file is None:
            return {}
        from mmetl.config.loader import load_project

        loaded = load_project(self.project_file, env=self.env)
        self._connection_files = loaded.files
        self.env_used.update(loaded.env)
        return {name: c.as_json() for name, c in loaded.project.connections.items()}

    def _check_view(self, name: str, spec: TaskSpec, transform: Transform) -> None:
        if spec.materialize != "view":
            return
        if not getattr(transform, "views", False):
            what, help_ = f"'{spec.transform}' cannot be a view", "leave `materialize` out: only queries can be views"
        elif spec.key:
            what, help_ = "a view has no key", "give the key to the task that reads the view"
        else:
            return
        self.problems.append(Problem(what, self._where(("tasks", name, "materialize")), help_))

    def _check_pool(self, name: str, spec: TaskSpec) -> None:
        pools = self.pipeline.pools
        if spec.pool is None or spec.pool in pools:
            return
        close = near(spec.pool, pools)
        help_ = f"did you mean '{close}'?" if close else f"add it to the pipeline: pools: {{{spec.pool}: 1}}"
        what = f"there is no pool '{spec.pool}'"
        self.problems.append(Problem(what, self._where(("tasks", name, "pool")), help_))

    def _known_inputs(self, name: str, spec: TaskSpec) -> bool:
        ok = True
        pairs: list[tuple[tuple[Any, ...], str]] = [(("inputs",), task) for task in spec.inputs.values()]
        pairs += [(("depends_on", n), task) for n, task in enumerate(spec.depends_on)]
        for n, (path, task) in enumerate(pairs):
            where = self._input_path(name, path, task, n, spec)
            reads = "reads" if path == ("inputs",) else "depends on"
            if task in {name, family_of(name)}:
                what = "read" if path == ("inputs",) else "depend on"
                self.problems.append(Problem(f"task '{name}' cannot {what} itself", self._where(where)))
                ok = False
            elif task not in self._tasks:
                close = near(task, self._tasks)
                some = ", ".join(sorted(self._tasks - {name})[:8])
                self.problems.append(
                    Problem(
                        f"task '{name}' {reads} '{task}', which is not a task of this pipeline",
                        self._where(where),
                        f"did you mean '{close}'?" if close and close != name else f"tasks: {some}",
                    )
                )
                ok = False
        return ok

    def _input_path(self, name: str, path: tuple[Any, ...], task: str, n: int, spec: TaskSpec) -> tuple[Any, ...]:
        """Return the key path of an input: `inputs` is a mapping after validation, but may be written as a list."""
        base: tuple[Any, ...] = ("tasks", name, *path)
        if path != ("inputs",):
            return base
        steps: list[str | int] = [alias for alias, t in spec.inputs.items() if t == task]
        for last in (*steps, n):
            if self.loaded.source.has((*base, last)):
                return (*base, last)
        return base

    def _path(self, name: str, path: str, here: tuple[Any, ...] = ()) -> str:
        clean = self._plain(path)
        self._check_path(name, path, here)
        if clean.startswith("../") or clean == "..":
            self.problems.append(
                Problem(
                    f"'{path}' is outside the project",
                    self._where(here or self._place(name, path)),
                    "paths are relative to the project's folder; name outside files by an absolute path",
                )
            )
        return clean

    def _plain(self, path: str) -> str:
        return plain_path(self.root.as_posix(), path)

    def _place(self, name: str, path: str, param: str = "inputs") -> tuple[Any, ...]:
        """Return where among the params of a task a path stands; the task itself if they hold no such text.

        Args:
            name: the task.
            path: the path, in the form in which it was written or a shorter one.
            param: where it is looked for first: the same text may stand in a command.
        """
        clean = self._plain(path)
        params = self.pipeline.tasks[name].params
        todo: list[tuple[tuple[Any, ...], Any]] = [(("tasks", name, "params"), params)]
        found: list[tuple[Any, ...]] = []
        while todo:
            place, value = todo.pop()
            if isinstance(value, str) and self._plain(value) == clean:
                found.append(place)
            elif isinstance(value, (dict, list)):
                inner: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
                todo += reversed([((*place, key), v) for key, v in inner])
        return next((p for p in found if p[3] == param), [*found, ("tasks", name)][0])

    def _check_path(self, name: str, path: str, here: tuple[Any, ...] = ()) -> None:
        if "\0" in path:
            where = self._where(here or self._place(name, path))
            self.problems.append(Problem(f"'{shown(path)}' has a NUL, which no path can have", where))
        if "{secret:" in path:
            self.problems.append(
                Problem(
                    f"'{path}' has a secret in a path, which state and logs would show",
                    self._where(here or self._place(name, path)),
                    "use a var or an environment variable",
                )
            )

    def _output(self, name: str, path: str) -> str:
        clean = self._plain(path)
        self._check_path(name, path)
        if (
            path.endswith("/")
            or clean.startswith("/")
            or clean.split("/", 1)[0] in {STATE_DIR, "..", "."}
            or is_glob(clean)
        ):
            self.problems.append(
                Problem(
                    f"'{path}' cannot be an output",
                    self._where(self._place(name, path, "outputs")),
                    f"an output is one file inside the project, not in {STATE_DIR}/, without wildcards",
                )
            )
        return clean

    def where_written(self, task: str, path: str) -> Any:
        """Return the position of an output of a task, or of its output folder."""
        return self._where(self._place(task, path, "path" if path.endswith("/") else "outputs"))

    # --- all tasks together

    def _refuse_own_files(self, drafts: Mapping[str, Draft], own: OwnFiles) -> None:
        for name, path in [(n, p) for n, draft in drafts.items() for p in draft.outputs if p in own]:
            where = self._where(self._place(name, path, "outputs"))
            what = f"'{path}' is a file that the pipeline is made of"
            self.problems.append(Problem(what, where, "write to another path"))

    def _match_files(self, drafts: Mapping[str, Draft]) -> None:
        """Make a task depend on those that write the files which it reads, as in Make."""
        writes = {name: draft.writes for name, draft in drafts.items()}
        producers = {path: name for name, w in reversed(writes.items()) for path in w.outputs}
        for clash in clashes(writes):
            where = self.where_written(clash.other, own_path(writes[clash.other], clash))
            self.problems.append(clash.problem(where, "tasks "))
        folders = {draft.folder: name for name, draft in drafts.items() if draft.folder}
        for name, draft in drafts.items():
            needed = {m: None for t in draft.spec.depends_on for m in self._families.get(t, [t])}
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

    def _refuse_own_outputs(self, name: str, draft: Draft) -> None:
        for path in draft.paths:
            if path in draft.outputs or (draft.folder and not is_glob(path) and path.startswith(draft.folder)):
                what = f"task '{name}' reads '{path}', which it writes"
                self.problems.append(Problem(what, self._where(self._place(name, path)), "write to another path"))
                return

    def _order(self, drafts: Mapping[str, Draft]) -> list[str]:
        needs = {n: (*d.tables, *d.after) for n, d in drafts.items()}
        try:
            return topological_sort(needs)
        except CycleError as e:
            self.problems.append(Problem(e.what, self._where(("tasks", e.cycle[0]), on_key=True), e.help))
            return []

    # --- recipes

    def _recipe(self, name: str, draft: Draft, drafts: Mapping[str, Draft]) -> dict[str, Any]:
        params = {**draft.params, **draft.declared.recipe}
        recipe: dict[str, Any] = {"transform": draft.spec.transform, "params": params}
        if draft.transform.version is not None:
            recipe["version"] = draft.transform.version
        if draft.spec.key:
            recipe["key"] = list(draft.spec.key)
        if draft.spec.materialize != "table":
            recipe["materialize"] = draft.spec.materialize
        if draft.spec.expect:
            recipe["expect"] = [check.as_json() for check in draft.spec.expect]
        where = {"engine": draft.pushed_to(drafts), "connection": draft.connection}
        recipe |= {part: value for part, value in where.items() if value}
        by_name = draft.declared.named_inputs or given_by_name(
            self.code, draft.declared.functions, params.get("args", ())
        )
        if draft.inputs and by_name:
            recipe["inputs"] = list(draft.inputs)
        if draft.families:
            recipe["families"] = {a: draft.values(self.pipeline, names) for a, names in draft.families.items()}
        if packages := (*draft.transform.packages, *draft.declared.packages):
            recipe["packages"] = self._versions.of(packages)
        if looked_at_by := [p for check in draft.spec.expect for p in check.packages]:
            recipe["check_packages"] = self._versions.of(looked_at_by)
        for part, called in self._calls(name, draft).items():
            if code := self._code(name, draft, called):
                recipe[part] = code
        if draft.spec.env:
            recipe["env"] = {n: self._environment(name, n) for n in draft.spec.env}
        return recipe

    def _calls(self, name: str, draft: Draft) -> dict[str, list[_Call]]:
        return {"code": self._called(name, draft), "check_code": self._checking(name, draft)}

    def _look_at_code(self, drafts: Mapping[str, Draft]) -> None:
        """Find what is wrong with the functions of tasks in a pipeline that cannot be planned."""
        for name, draft in drafts.items():
            for called in self._calls(name, draft).values():
                self._code(name, draft, called)

    def _called(self, name: str, draft: Draft) -> list[_Call]:
        """Return the functions that make the output."""
        here = ("tasks", name, "params")
        own: list[_Call] = [(entry, None, here) for entry in draft.transform.code]
        return own + [(entry, draft.declared.arguments, here) for entry in draft.declared.functions]

    def _checking(self, name: str, draft: Draft) -> list[_Call]:
        """Return the functions that check it."""
        checks = enumerate(draft.spec.expect)
        return [(c.entry, tuple(c.args), ("tasks", name, "expect", n)) for n, c in checks if c.entry]

    def _code(self, name: str, draft: Draft, called: Iterable[_Call]) -> dict[str, str]:
        pieces: dict[str, str] = {}
        for entry, given, place in called:
            try:
                if given is not None:
                    self._check_call(name, entry, given, place)
                code = self.code.fingerprint(entry)
            except ParamError as e:
                self._problem(e, (*place, *(e.param or ("function",))))
                continue
            self._keep_code(entry, code, (*place, "function"))
            pieces.update(code.pieces)
            draft.whole.update(code.whole)
        return pieces

    def _keep_code(self, entry: str, code: Code, place: tuple[Any, ...]) -> None:
        """Note what the plan depends on, and refuse modules of one name: Python imports the one that comes first."""
        if entry in self._kept:
            return
        self._kept.add(entry)
        self.code_files.update(code.files)
        self.listings.update(code.listings)
        problem = self.namesakes.add(entry, code)
        if problem:
            self._problem(problem, place)

    def _check_call(self, name: str, entry: str, given: tuple[str, ...], place: tuple[Any, ...]) -> None:
        """Compare the arguments that will be passed by name with the function's parameters."""
        table = "expect" in place[2:]
        if (entry, given, table) in self._right:
            return
        found = list(wrong_calls(entry, self.code.define(entry), given, name, table=table))
        if not found:
            self._right.add((entry, given, table))
        for wrong in found:
            at = (*place, "args", wrong.argument) if wrong.argument else (*place, "function")
            self.problems.append(Problem(wrong.what, self._where(at, on_key=bool(wrong.argument)), wrong.help))

    def _environment(self, task: str, name: str) -> str | None:
        """Return what stands for a variable's value in the recipe; a secret has no place there."""
        if looks_secret(name):
            self.problems.append(
                Problem(
                    f"'{name}' looks like a secret, which must not count in a recipe",
                    self._where(("tasks", task, "env", self.pipeline.tasks[task].env.index(name))),
                    f"pass it as ${{secret:{name}}} in params",
                )
            )
        value = self.env.get(name)
        self.env_used[name] = value
        return environment_fingerprint(value)

    # --- problems

    def _invalid(self) -> ConfigError:
        return ConfigError(sorted(dict.fromkeys(self.problems), key=self.loaded.source.order))

    def _import_modules(self) -> None:
        """Import what registers transforms. Where that fails, nothing more is looked for: they might all be unknown."""
        for n, module in enumerate(self.pipeline.imports):
            try:
                self._keep_code(module, self.code.imported(module), ("imports", n))
                self.registry.add_modules([module])
            except (UsageError, ParamError) as e:
                self._problem(e, ("imports", n))
        if len(self.problems) > len(self.loaded.problems):
            raise self._invalid()

    def _problem(self, error: MmetlError, path: tuple[Any, ...], offset: int | None = None) -> None:
        where = error.where or self._where(path, offset=offset)
        self.problems.append(Problem(error.what, where, error.help))

    def _where(self, path: tuple[Any, ...], *, on_key: bool = False, offset: int | None = None) -> Any:
        return self.loaded.source.locate(path, on_key=on_key, offset=offset)

    def _relative(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix() if file.is_relative_to(self.root) else str(file)
