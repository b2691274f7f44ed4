"""Transforms by name: built-in ones (imported when first named), entry points of packages, and a project's own modules."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from mmetl.contracts.transform import REGISTERED, Registered, Transform, register_transform
from mmetl.core.sources import SourceLoader, import_from_source
from mmetl.errors import MissingError, ParamError, UsageError
from mmetl.utils.env import frugal_libraries
from mmetl.utils.text import near

__all__ = ["BUILT_IN", "Registry", "folders_on_path", "import_project_module", "load_function", "register_transform"]

BUILT_IN = {
    "cross.graph_features": "mmetl.transforms.cross.features:FEATURES",
    "cross.knn_graph": "mmetl.transforms.cross.similar:KNN_GRAPH",
    "cross.lexical_graph": "mmetl.transforms.cross.lexical:LEXICAL",
    "cross.link_entities": "mmetl.transforms.cross.link:LINK",
    "cross.resolve_entities": "mmetl.transforms.cross.resolve:RESOLVE",
    "cross.similarity_join": "mmetl.transforms.cross.join:JOIN",
    "cross.verbalize": "mmetl.transforms.cross.verbalize:VERBALIZE",
    "document.chunk": "mmetl.transforms.document.chunk:CHUNK",
    "document.clean": "mmetl.transforms.document.clean:CLEAN",
    "document.deduplicate": "mmetl.transforms.document.deduplicate:DEDUPLICATE",
    "document.entities": "mmetl.transforms.document.entities:ENTITIES",
    "document.export": "mmetl.transforms.document.export:EXPORT",
    "document.extract": "mmetl.transforms.document.extract:EXTRACT",
    "document.files": "mmetl.transforms.document.files:FILES",
    "document.parse": "mmetl.transforms.document.parse:PARSE",
    "document.redact": "mmetl.transforms.document.redact:REDACT",
    "graph.build": "mmetl.transforms.graph.build:BUILD",
    "graph.communities": "mmetl.transforms.graph.communities:COMMUNITIES",
    "graph.cypher": "mmetl.transforms.graph.cypher:CYPHER",
    "graph.load": "mmetl.transforms.graph.load:LOAD",
    "graph.metrics": "mmetl.transforms.graph.metrics:METRICS",
    "python.run": "mmetl.transforms.command:PYTHON",
    "shell.run": "mmetl.transforms.command:SHELL",
    "tabular.aggregate": "mmetl.transforms.tabular.builders.groups:AGGREGATE",
    "tabular.deduplicate": "mmetl.transforms.tabular.builders.picks:DEDUPLICATE",
    "tabular.filter": "mmetl.transforms.tabular.builders.rows:FILTER",
    "tabular.join": "mmetl.transforms.tabular.builders.together:JOIN",
    "tabular.pivot": "mmetl.transforms.tabular.builders.groups:PIVOT",
    "tabular.python": "mmetl.transforms.tabular.python:PYTHON",
    "tabular.read": "mmetl.transforms.tabular.read:READ",
    "tabular.sample": "mmetl.transforms.tabular.builders.picks:SAMPLE",
    "tabular.select": "mmetl.transforms.tabular.builders.rows:SELECT",
    "tabular.sql": "mmetl.transforms.tabular.sql:SQL",
    "tabular.union": "mmetl.transforms.tabular.builders.together:UNION",
    "tabular.write": "mmetl.transforms.tabular.write:WRITE",
    "vector.deduplicate": "mmetl.transforms.vector.deduplicate:DEDUPLICATE",
    "vector.embed": "mmetl.transforms.vector.embed:EMBED",
    "vector.index": "mmetl.transforms.vector.index:INDEX",
    "vector.knn": "mmetl.transforms.vector.knn:KNN",
    "vector.normalize": "mmetl.transforms.vector.normalize:NORMALIZE",
}
ADAPTER = "mmetl.transforms.function:adapt"  # makes a Transform of a decorated function or class
ENTRY_POINTS = "mmetl.transforms"


def load(reference: str) -> Any:
    """Import `module:attribute`."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


class Registry:
    """The transforms that a pipeline may name.

    Args:
        root: the project's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._loaded: dict[str, Transform] = {}
        self._own: dict[str, tuple[Registered, str]] = {}
        self._entry_points: dict[str, Any] | None = None

    def add_modules(self, modules: Iterable[str]) -> None:
        """Import project modules so that what they register can be named. Raises UsageError for a module that fails."""
        for path in modules:
            before = dict(REGISTERED)
            REGISTERED.clear()
            try:
                module = import_project_module(self.root, path)
                # A module imported earlier in this process does not run its decorators again; it keeps what they made.
                found = dict(REGISTERED) or getattr(module, "__mmetl_registered__", {})
                module.__mmetl_registered__ = found  # type: ignore[attr-defined]
            finally:
                REGISTERED.clear()
                REGISTERED.update(before)
            for name, registered in found.items():
                if not all(word.isidentifier() for word in name.split(".")) or "." not in name:
                    raise ParamError(
                        f"'{name}' cannot be the name of a transform",
                        help="join two words by a dot, such as 'local.late'",
                    )
                if name in BUILT_IN:
                    raise ParamError(f"'{name}' is a built-in transform", help="register yours under another name")
                self._own[name] = (registered, path)

    def names(self) -> list[str]:
        """Return every name, sorted."""
        return sorted({*BUILT_IN, *self._own, *self._entries()})

    def get(self, name: str) -> Transform:
        """Return a transform.

        Raises:
            ParamError: for a name that nobody registered.
            MissingError: if the package that provides it cannot be imported.
        """
        found = self._loaded.get(name)
        if found is None:
            found = self._loaded[name] = self._load(name)
        return found

    def _load(self, name: str) -> Transform:
        if name in self._own:
            registered, path = self._own[name]
            adapt = cast("Callable[[Registered, str], Transform]", load(ADAPTER))
            return adapt(registered, path)
        if name in BUILT_IN:
            return cast("Transform", _built_in(BUILT_IN[name]))
        entry = self._entries().get(name)
        if entry is None:
            raise ParamError(f"no transform is named '{name}'", help=_known(name, self.names()))
        try:
            target = entry.load()
        except ImportError as e:
            raise MissingError(
                f"the transform '{name}' cannot be imported: {e}",
                help=f"it is provided by '{entry.dist.name if entry.dist else entry.value}'; reinstall that package",
            ) from e
        return cast("Transform", target)

    def _entries(self) -> dict[str, Any]:
        if self._entry_points is None:
            from importlib.metadata import entry_points

            self._entry_points = {e.name: e for e in entry_points(group=ENTRY_POINTS)}
        return self._entry_points


def _built_in(target: str) -> object:
    try:
        return load(target)
    except ModuleNotFoundError as e:
        raise MissingError(f"'{e.name}' is not installed", help="pip install 'mmetl[tabular]'") from e


def _known(name: str, names: Sequence[str]) -> str:
    close = near(name, names)
    return f"did you mean '{close}'? `mmetl transforms` lists them" if close else f"known: {', '.join(names)}"


def import_project_module(root: Path, module: str) -> ModuleType:
    """Import a project's module, named `./folder/file.py` or `package.module`, from this project and no other.

    Raises:
        UsageError: if there is no such module, or importing it fails.
    """
    with _importing:
        return _import(root, module)


_importing = threading.RLock()  # a module is in sys.modules before it is whole: another task's thread must not see it


def _import(root: Path, module: str) -> ModuleType:
    name, file = _locate(root, module)
    loaded = sys.modules.get(name)
    if loaded is not None and (file is None or _same(loaded, file)):
        return loaded
    frugal_libraries()  # both are read once, when the module imports numpy or Arrow
    import_from_source(root)
    if file:
        _refuse_namesakes(root.resolve(), file)
    _search(root, file.parent if file and module.endswith(".py") else None)
    try:
        if file is None:
            return importlib.import_module(name)
        spec = importlib.util.spec_from_file_location(name, file, loader=SourceLoader(name, str(file)))
        assert spec
        assert spec.loader
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[name] = loaded
        spec.loader.exec_module(loaded)
    except (Exception, SystemExit) as e:
        sys.modules.pop(name, None)
        raise UsageError(
            f"importing '{module}' failed: {type(e).__name__}: {e}",
            help=f"try: python -c 'import {name}' in the project's folder",
        ) from e
    return loaded


_added: set[str] = set()  # folders that are on sys.path because of us


def _search(root: Path, folder: Path | None) -> None:
    """Let imports be searched in the project's folder first, then in that of a module named by its path."""
    top = str(root)
    if sys.path[:1] != [top]:
        sys.path[:] = [top, *(p for p in sys.path if p != top)]
    if folder and str(folder) not in sys.path:
        _added.add(str(folder))
        sys.path.insert(1, str(folder))


def folders_on_path(root: Path) -> tuple[str, ...]:
    """Return the project's folders that Python searches by itself, such as `src` of an installed project."""
    top = root.resolve()
    found = []
    for entry in sys.path:
        folder = Path(entry).resolve()
        inside = folder.is_relative_to(top) and folder != top and entry not in _added
        if inside and folder.is_dir() and not any(folder.is_relative_to(p) for p in (sys.prefix, sys.base_prefix)):
            found.append(folder.relative_to(top).as_posix())
    return tuple(dict.fromkeys(found))


def _refuse_namesakes(root: Path, file: Path) -> None:
    """Refuse a module beside which lies one that is loaded from elsewhere in the project: it would get the other's."""
    for beside in file.parent.glob("*.py"):
        loaded = sys.modules.get(beside.stem)
        other = Path(getattr(loaded, "__file__", None) or beside).resolve()
        if other != beside.resolve() and other.is_relative_to(root) and "site-packages" not in other.parts:
            names = f"{other.relative_to(root)} and {beside.resolve().relative_to(root)}"
            raise UsageError(f"two files of the project are modules called '{beside.stem}': {names}", help="rename one")


def _locate(root: Path, module: str) -> tuple[str, Path | None]:
    """Return a module's dotted name and its file; no file for one that is not the project's own."""
    if module.endswith(".py"):
        file = (root / module).resolve()
        inside = file.is_relative_to(root.resolve())
        relative = file.relative_to(root.resolve()) if inside else Path(file.name)
        return ".".join(relative.with_suffix("").parts), file
    path = root.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return module, file.resolve()
    return module, None


def _same(module: ModuleType, file: Path) -> bool:
    loaded_from = getattr(module, "__file__", None)
    return loaded_from is not None and Path(loaded_from).resolve() == file


def load_function(root: Path, entry: str) -> Callable[..., Any]:
    """Import `module:qualname` of the project. Raises UsageError if it is not there or is not callable."""
    module, _, qualname = entry.rpartition(":")
    found: Any = import_project_module(root, module)
    try:
        for name in qualname.split("."):
            found = getattr(found, name)
    except AttributeError:
        raise UsageError(f"'{module}' has no '{qualname}'", help="name it as module:function") from None
    if not callable(found):
        raise UsageError(f"'{entry}' is not a function", help="name a function as module:function")
    return cast("Callable[..., Any]", found)
