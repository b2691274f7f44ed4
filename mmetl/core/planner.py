"""Pipeline -> plan: params typed, inputs inferred, files matched to the tasks that write them, recipes taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mmetl.cache.fingerprints import fingerprint_recipe
from mmetl.cache.plans import environment_fingerprint
from mmetl.config.loader import Loaded
from mmetl.config.matrix import families, family_of
from mmetl.config.problems import problems_from_validation
from mmetl.config.schema import TaskSpec
from mmetl.config.secrets import looks_secret
from mmetl.contracts.transform import Outside, Scope, Transform
from mmetl.core.dag import CycleError, topological_sort
from mmetl.core.extras import Versions, lacking
from mmetl.core.outside import Place, no_connection
from mmetl.core.planning.called import CalledCode
from mmetl.core.planning.compiled import Compiled
from mmetl.core.planning.draft import Draft
from mmetl.core.planning.expected import related_tasks
from mmetl.core.planning.files import Files
from mmetl.core.planning.findings import Findings
from mmetl.core.planning.own_files import OwnFiles
from mmetl.core.registry import Registry
from mmetl.errors import MissingError, ParamError, UsageError
from mmetl.utils.env import Env
from mmetl.utils.hashing import canonical_json
from mmetl.utils.text import near


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
        self.findings = Findings(loaded)
        self.files = Files(root, loaded.pipeline, self.findings)
        self.code = CalledCode(root, self.findings)
        self.env_used: dict[str, str | None] = dict(loaded.env)
        self.project_file = project_file
        self._connections: dict[str, Any] | None = None
        self._connection_files: tuple[Path, ...] = ()
        self._versions = Versions()
        self._families = families([*self.pipeline.tasks, *loaded.wrong])
        self._tasks = frozenset((*self.pipeline.tasks, *loaded.wrong, *self._families))

    def compile(self) -> Compiled:
        """Return the plan. Raises ConfigError with every problem found; MissingError where that is the only one."""
        try:
            return self._compile()
        except MissingError:
            if self.findings.problems:
                raise self.findings.as_error() from None
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
        self.files.match(drafts, self._families)
        order = self._order(drafts)
        if self.findings.problems:
            self.code.look_at(drafts)
            raise self.findings.as_error()
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
        files = (*(self._relative(f) for f in (*self.loaded.files, *self._connection_files)), *sorted(self.code.files))
        self.files.refuse_own(drafts, OwnFiles(self.root, files))
        if self.findings.problems:
            raise self.findings.as_error()
        return Compiled(self.pipeline.name, nodes, details, recipes, files, self.code.listings, self.env_used)

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
            self.findings.add_error(e, (*here, "params", *e.param), e.offset)
            return None
        self._check_view(name, spec, transform)
        self._check_pool(name, spec)
        inputs = dict(spec.inputs) if spec.inputs else dict(declared.tables)
        inputs = {alias: task for alias, task in inputs.items() if task in self._tasks}
        read = {alias: self._families[task] for alias, task in inputs.items() if task in self._families}
        draft = Draft(spec, transform, params.model_dump(mode="json"), declared, inputs, read)
        draft.sources = [self.files.source(name, p) for p in declared.sources]
        draft.extra = [self.files.source(name, p, (*here, "files", n)) for n, p in enumerate(spec.files)]
        draft.outputs = list(dict.fromkeys(self.files.output(name, p) for p in declared.outputs))
        if declared.folder:
            draft.folder = self.files.output(name, declared.folder.rstrip("/")) + "/"
        if declared.outside:
            self._connect(name, declared.outside, draft)
        if spec.expect:
            written = declared.outputs or tuple(filter(None, [declared.folder]))
            draft.related = related_tasks(name, spec, written, self._tasks, self._families, self.findings.add_error)
        return draft if known else None

    def _transform(self, name: str, spec: TaskSpec) -> Transform | None:
        try:
            return self.registry.get(spec.transform)
        except ParamError as e:
            self.findings.add_error(e, ("tasks", name, "transform"))
            return None

    def _params(self, name: str, spec: TaskSpec, transform: Transform) -> BaseModel | None:
        # A typo must not go unseen because the author of a plug-in forgot to forbid it.
        extra = None if "extra" in transform.params.model_config else "forbid"
        try:
            params: BaseModel = transform.params.model_validate(spec.params, extra=extra)
        except ValidationError as e:
            place = ("tasks", name, "params")
            self.findings.extend(
                problems_from_validation(e, self.loaded.source, place, transform.params, spec.transform)
            )
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
            self.findings.add(what, ("tasks", name, "params", "connection"), help_)
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
        self.findings.add(what, ("tasks", name, "materialize"), help_)

    def _check_pool(self, name: str, spec: TaskSpec) -> None:
        pools = self.pipeline.pools
        if spec.pool is None or spec.pool in pools:
            return
        close = near(spec.pool, pools)
        help_ = f"did you mean '{close}'?" if close else f"add it to the pipeline: pools: {{{spec.pool}: 1}}"
        what = f"there is no pool '{spec.pool}'"
        self.findings.add(what, ("tasks", name, "pool"), help_)

    def _known_inputs(self, name: str, spec: TaskSpec) -> bool:
        ok = True
        pairs: list[tuple[tuple[Any, ...], str]] = [(("inputs",), task) for task in spec.inputs.values()]
        pairs += [(("depends_on", n), task) for n, task in enumerate(spec.depends_on)]
        for n, (path, task) in enumerate(pairs):
            where = self._input_path(name, path, task, n, spec)
            reads = "reads" if path == ("inputs",) else "depends on"
            if task in {name, family_of(name)}:
                what = "read" if path == ("inputs",) else "depend on"
                self.findings.add(f"task '{name}' cannot {what} itself", where)
                ok = False
            elif task not in self._tasks:
                close = near(task, self._tasks)
                some = ", ".join(sorted(self._tasks - {name})[:8])
                help_ = f"did you mean '{close}'?" if close and close != name else f"tasks: {some}"
                self.findings.add(f"task '{name}' {reads} '{task}', which is not a task of this pipeline", where, help_)
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

    # --- all tasks together

    def _order(self, drafts: Mapping[str, Draft]) -> list[str]:
        needs = {n: (*d.tables, *d.after) for n, d in drafts.items()}
        try:
            return topological_sort(needs)
        except CycleError as e:
            self.findings.add(e.what, ("tasks", e.cycle[0]), e.help, on_key=True)
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
        if draft.inputs and self.code.knows_inputs_by_name(draft, params.get("args", ())):
            recipe["inputs"] = list(draft.inputs)
        if draft.families:
            recipe["families"] = {a: draft.values(self.pipeline, names) for a, names in draft.families.items()}
        if packages := (*draft.transform.packages, *draft.declared.packages):
            recipe["packages"] = self._versions.of(packages)
        if looked_at_by := [p for check in draft.spec.expect for p in check.packages]:
            recipe["check_packages"] = self._versions.of(looked_at_by)
        recipe |= {part: pieces for part, pieces in self.code.of(name, draft).items() if pieces}
        if draft.spec.env:
            recipe["env"] = {n: self._environment(name, n) for n in draft.spec.env}
        return recipe

    def _environment(self, task: str, name: str) -> str | None:
        """Return what stands for a variable's value in the recipe; a secret has no place there."""
        if looks_secret(name):
            what = f"'{name}' looks like a secret, which must not count in a recipe"
            place = ("tasks", task, "env", self.pipeline.tasks[task].env.index(name))
            self.findings.add(what, place, f"pass it as ${{secret:{name}}} in params")
        value = self.env.get(name)
        self.env_used[name] = value
        return environment_fingerprint(value)

    def _import_modules(self) -> None:
        """Import what registers transforms. Where that fails, nothing more is looked for: they might all be unknown."""
        for n, module in enumerate(self.pipeline.imports):
            try:
                self.code.import_module(module, ("imports", n))
                self.registry.add_modules([module])
            except (UsageError, ParamError) as e:
                self.findings.add_error(e, ("imports", n))
        if self.findings.of_planning:
            raise self.findings.as_error()

    def _relative(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix() if file.is_relative_to(self.root) else str(file)
