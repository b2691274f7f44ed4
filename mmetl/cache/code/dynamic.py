"""Imports whose module is not named by an import statement: what a call of `import_module`, `run_path` or `exec` may mean."""

from __future__ import annotations

import ast
from typing import Literal, NamedTuple

from mmetl.cache.code.names import OWN_NAMES, Use, chain_of, text_of

# Which argument says what is imported: the name of a module, the path of a file, the folders of a package; or nothing does.
_Kind = Literal["name", "file", "folders", "any"]

_KINDS: dict[str, tuple[_Kind, str]] = {
    "builtins.__import__": ("name", "__import__"),
    "importlib.__import__": ("name", "__import__"),
    "importlib.import_module": ("name", "import_module"),
    "importlib.util.find_spec": ("name", "find_spec"),
    "pkgutil.resolve_name": ("name", "pkgutil"),
    "pydoc.locate": ("name", "pydoc.locate"),
    "runpy.run_module": ("name", "runpy"),
    "runpy.run_path": ("file", "runpy"),
    "pkgutil.iter_modules": ("folders", "pkgutil"),
    "pkgutil.walk_packages": ("folders", "pkgutil"),
    "builtins.exec": ("any", "exec()"),
    "builtins.eval": ("any", "eval()"),
    "importlib.machinery": ("any", "importlib.machinery"),
    "importlib.util.spec_from_file_location": ("any", "importlib.util"),
    "importlib.util.spec_from_loader": ("any", "importlib.util"),
    "importlib.metadata.entry_points": ("any", "entry_points"),
    "zipimport": ("any", "zipimport"),
    "site.addsitedir": ("any", "site.addsitedir()"),
    "sys.path": ("any", "sys.path"),
    "sys.meta_path": ("any", "sys.meta_path"),
}


class Meant(NamedTuple):
    """What may be imported: one module, one file, what lies below a module named in the text, or any of the project.

    Attributes:
        why: for the user, without the place.
        module: dotted, with leading dots where it is relative.
        file: path of a file.
        below: the chain of the name whose module or package it lies in (`("__name__",)` is the asking module).
        package: dotted; it lies below this one.
        runs: its `__main__` block is run too.
    """

    why: str
    module: str = ""
    file: str = ""
    below: tuple[str, ...] = ()
    package: str = ""
    runs: bool = False

    @property
    def is_known(self) -> bool:
        """Is it less than the whole project?"""
        return bool(self.module or self.file or self.below or self.package)


def meant(name: str, use: Use) -> Meant | None:
    """Return what the use of an outside name may import; None if it imports nothing."""
    known = next((k for k in (name, ".".join(name.split(".")[:2]), name.partition(".")[0]) if k in _KINDS), None)
    if known is None:
        return None
    kind, word = _KINDS[known]
    runs = known.startswith("runpy.")
    arguments = use.call.args if use.call else []
    text = text_of(arguments[0]) if arguments else None
    if kind == "any":
        return None if text is not None and word in {"exec()", "eval()"} else Meant(f"it uses {word}")
    if kind == "folders":
        own = use.start.module if use.start and use.start.module[-1:] == ("__path__",) else ()
        return Meant(f"it uses {word}", below=own)
    if text is not None:
        return _written(text, kind, use, runs=runs)
    why = f"it uses {word}" if word == "runpy" else f"{word} with a computed name"
    return _begun(Meant(why, runs=runs), use) if kind == "name" else Meant(why, runs=runs)


def _written(text: str, kind: _Kind, use: Use, *, runs: bool) -> Meant:
    """Return what a name or path that is written out means."""
    why = "it is imported by a text"
    if kind == "file":
        return Meant(why, file=text, runs=runs)
    if text.startswith("."):
        package = _package(use)
        written = text_of(package) if package else None
        if package and written and not text.startswith(".."):
            return Meant(why, module=written + text, runs=runs)
        return Meant(why, module=text) if package and chain_of(package) == ("__package__",) else Meant(why)
    return Meant(why, module=text, runs=runs)


def _package(use: Use) -> ast.expr | None:
    """Return the `package` argument of `import_module`."""
    if use.call is None:
        return None
    given = [*use.call.args[1:2], *(k.value for k in use.call.keywords if k.arg == "package")]
    return given[0] if len(given) == 1 else None


def _begun(wide: Meant, use: Use) -> Meant:
    """Narrow what is meant down to the package that a computed name begins with."""
    if use.start is None or use.call is None:
        return wide
    module, text = use.start
    if module and module[-1] in OWN_NAMES:
        return wide._replace(below=module)
    if text.startswith("."):
        package = _package(use)
        own = package is not None and chain_of(package) in {(n,) for n in OWN_NAMES}
        return wide._replace(below=("__package__",)) if own and not text.startswith("..") else wide
    return wide._replace(package=text.rpartition(".")[0]) if "." in text else wide
