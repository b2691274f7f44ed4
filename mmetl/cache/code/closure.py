"""What a piece of project code reaches: names, and what the imports that they cause do to the objects behind them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from mmetl.cache.code.effects import Called, changes_its_object, is_pure, uses_arguments
from mmetl.cache.code.finder import Finder
from mmetl.cache.code.follower import Follower, Name
from mmetl.cache.code.modules import Module, Unit
from mmetl.cache.code.names import Import, Use
from mmetl.utils.hashing import xxh3_hex

STATEMENTS = "<module>"
"""The piece of a module's statements that act on import, named as in Python's tracebacks."""


class Change(NamedTuple):
    """What importing a statement may change besides the names that it binds.

    Attributes:
        names: of the project, if what they are bound to can change.
        objects: of the project, whatever they are bound to.
        modules: files of the project, any name of which may change.
        outside: something outside the project.
        files: paths looked for to know it.
    """

    names: frozenset[Name]
    objects: frozenset[Name]
    modules: frozenset[str]
    outside: bool
    files: frozenset[str]


@dataclass
class Changes:
    """What importing a module may change, by file: its statements that may change anything, and the paths looked for."""

    by_file: dict[str, dict[Unit, Change]] = field(default_factory=dict)
    files: dict[str, frozenset[str]] = field(default_factory=dict)


class Closure(Follower):
    """Follows names, and what importing their modules does.

    What a statement of an imported module does counts if it is a plain call or sets something, if it may reach outside
    of the project (an unknown decorator, a base class that may keep a list), or if it may change something reached.
    """

    def __init__(self, finder: Finder, search: tuple[str, ...], changes: Changes) -> None:
        """Start with nothing reached.

        Args:
            finder: finds modules.
            search: folders searched for absolute imports.
            changes: kept between closures of one search.
        """
        super().__init__(finder, search)
        self.changes = changes
        self._effects: set[Unit] = set()
        self._ran: dict[str, list[tuple[int, str]]] = {}
        self._roots: list[str] = []
        self._touched: set[str] = set()

    def import_(self, modules: Iterable[Module]) -> None:
        """Count what importing modules does, which nobody names; in this order, before all else."""
        for module in modules:
            self._roots.append(module.file)
            self._load(module)

    def reach(self, module: Module, used: Iterable[Use]) -> None:
        """Follow names used in a module, and all that they lead to."""
        super().reach(module, used)
        while self._registrations():
            self._drain()

    def pieces(self) -> dict[str, str]:
        """Return the fingerprint of each piece: `file:name`, or the file where all of it counts."""
        texts: dict[str, str] = {file: self._module_text(self.loaded[file]) for file in self.whole}
        texts |= {file: self.loaded[file].content for file in self.verbatim}
        for (file, name), module in self.names.items():
            if file not in texts:
                texts[f"{file}:{name}"] = self._name_text(module, name)
        doing = self._leading()
        for file, module in self.loaded.items():
            lines = self._statements(module, doing)
            if file not in texts and lines:
                texts[f"{file}:{STATEMENTS}"] = "\n".join(lines)
        roots = [file for file in self._roots if file in doing]
        if len(roots) > 1:
            texts["<imports>"] = "\n".join(roots)
        return {key: xxh3_hex(f"code piece 2\0{texts[key]}".encode()) for key in sorted(texts)}

    def _imported(self, module: Module) -> None:
        """Count what importing the module does."""
        super()._imported(module)
        self._touched |= module.touched
        ran = self._ran.setdefault(module.file, [])
        for target in module.runs:
            ran += [(target.line, file) for file in self._loaded_by(module, target) if file != module.file]
        for unit in module.acting:
            self.follow(module, unit)

    def _loaded_by(self, module: Module, target: Import) -> list[str]:
        """Run one import statement; return the files that it imports, packages first."""
        parts = target.module.split(".") if target.module else []
        stages = [target._replace(module=".".join(parts[:n])) for n in range(0 if target.level else 1, len(parts) + 1)]
        found = [self.locate(module, stage) for stage in stages]
        last = found[-1] if found else None
        if last and target.name and not self._defines(last, target.name):
            found.append(self._submodule(last, target.name))
        return [m.file for m in found if m and m.file]

    # registration: a statement that nobody names, but whose import changes an object that is reached

    def _registrations(self) -> bool:
        """Reach statements that register themselves in something reached; say whether there were any."""
        state = self._state()
        reached = {file for file, _ in self.names} | self.whole.keys()
        found = []
        for module in list(self.loaded.values()):
            for unit, change in self._changed_by(module).items():
                changed = not state.isdisjoint(change.names) or not reached.isdisjoint(change.modules)
                if unit not in self._effects and (
                    changed or change.outside or not change.objects.isdisjoint(self.names)
                ):
                    self._effects.add(unit)
                    found.append((module, unit))
            for unit in module.effective if "subclasses" in self.reads else ():
                if unit.bases and unit not in self._effects:
                    self._effects.add(unit)
                    found.append((module, unit))
        for module, unit in found:
            self._work += [(module, Use((name,), unit.node.lineno)) for name in sorted(unit.names)]
            self.follow(module, unit)
        return bool(found)

    def _state(self) -> set[Name]:
        """Return the names reached whose objects other statements may change."""
        whole = [(file, name) for file in self.whole for name in self.loaded[file].by_name]
        return {key for key in (*self.names, *whole) if self._is_state(self.loaded[key[0]], key[1])}

    def _is_state(self, module: Module, name: str) -> bool:
        units = module.by_name.get(name, ())
        return (
            name in module.rebinders
            or (name in self._touched and bool(units))
            or any(u.is_state or ("subclasses" in self.reads and u.makes_class) for u in units)
        )

    def _changed_by(self, module: Module) -> dict[Unit, Change]:
        known = self.changes.by_file.get(module.file)
        if known is None:
            every = {unit: self._change(module, unit) for unit in module.effective}
            known = {u: c for u, c in every.items() if c.names or c.objects or c.modules or c.outside}
            self.changes.by_file[module.file] = known
            self.changes.files[module.file] = frozenset(f for c in every.values() for f in c.files)
        self.files |= self.changes.files[module.file]
        return known

    def _change(self, module: Module, unit: Unit) -> Change:
        """Return what importing a statement may change."""
        follower = Follower(self.finder, self.search)
        for called in unit.calls:
            follower.reach(module, self._involved(module, called))
        outside = any(not is_pure(name) for name in follower.outside)
        based = Follower(self.finder, self.search)
        based.reach(module, unit.bases)
        outside |= self._outside_bases({**based.units, unit: module})
        reached, modules, units = dict(follower.names), set(follower.whole), dict(follower.units)
        if self._hooks(module, unit, based):
            reached |= based.names
            modules |= based.whole.keys()
            units |= based.units
        names = {key for key, m in reached.items() if key[1] in m.by_name or key[1] in m.rebinders}
        names |= {(m.file, name) for u, m in units.items() for name in u.rebinds}
        objects = {self._object(module, use) for c in unit.calls for use in c.function if changes_its_object(c, use)}
        return Change(
            frozenset(names),
            frozenset(filter(None, objects)),
            frozenset(modules),
            outside,
            frozenset(follower.files | based.files),
        )

    def _object(self, module: Module, use: Use) -> Name | None:
        """Return the name of the project whose attribute is used; None for an attribute of a module."""
        name, *rest = use.chain
        if name in module.by_name:
            return (module.file, name) if rest else None
        for target in module.imports.get(name, ()):
            chain = (target.name, *rest) if target.name else tuple(rest)
            found = self.locate(module, target)
            if found and len(chain) > 1 and found is not module:
                return self._object(found, use._replace(chain=chain))
        return None

    def _involved(self, module: Module, called: Called) -> tuple[Use, ...]:
        """Return the names that a call may change or run."""
        if called.decorates:
            return called.function
        names = [self.outside_name(module, use) for use in called.function]
        if all(name and is_pure(name) for name in names):
            return called.given if any(uses_arguments(name) for name in names) else ()
        return (*called.function, *called.given)

    def _outside_bases(self, units: dict[Unit, Module]) -> bool:
        """Is one of the classes made from an outside one that may learn of it?"""
        names = {self.outside_name(module, use) for unit, module in units.items() for use in unit.bases}
        return any(name and not is_pure(name) for name in names)

    def _hooks(self, module: Module, unit: Unit, based: Follower) -> bool:
        """Does one of a statement's base classes learn of its subclasses, or is one made by a call?"""
        last = {t.name for use in unit.bases for t in module.imports.get(use.chain[0], ())}
        last |= {use.chain[-1] for use in unit.bases}
        return any(u.hooks_subclasses or (not u.makes_class and not last.isdisjoint(u.names)) for u in based.units)

    # texts

    def _text(self, unit: Unit) -> str:
        return unit.text(docstrings="docstrings" in self.reads, annotations="annotations" in self.reads)

    def _name_text(self, module: Module, name: str) -> str:
        texts = [self._text(u) for u in module.by_name.get(name, ())]
        return "\n".join([*texts, *(target.text for target in module.imports.get(name, ()))])

    def _leading(self) -> set[str]:
        """Return the files whose import does something, by itself or by what it imports."""
        doing = {f for f, m in self.loaded.items() if m.acting or not self._effects.isdisjoint(m.effective)}
        by: dict[str, set[str]] = {}
        for file, ran in self._ran.items():
            for _, other in ran:
                by.setdefault(other, set()).add(file)
        todo = list(doing)
        while todo:
            new = by.get(todo.pop(), set()) - doing
            doing |= new
            todo += new
        return doing

    def _statements(self, module: Module, doing: set[str]) -> list[str]:
        """Return what importing the module does, in order: statements, imports that do something, variables set between."""
        lines = [star.text for star in module.stars]
        if module.docstring and "docstrings" in self.reads:
            lines.append(module.docstring)
        if module.file not in doing:
            return lines
        steps = [(u.node.lineno, self._text(u)) for u in module.acting]
        steps += [(u.node.lineno, f"@ {' '.join(sorted(u.names))}") for u in module.effective if u in self._effects]
        steps += [(n, f"import {file}") for n, file in self._ran.get(module.file, ()) if file in doing]
        steps += [
            (u.node.lineno, f"= {' '.join(sorted(u.names))}")
            for u in self.units
            if self.units[u] is module and u.is_variable and not u.acts and u not in self._effects
        ]
        steps.sort(key=lambda step: step[0])
        return [*lines, *(text for _, text in steps)] if module.acting or len(steps) > 1 else lines

    def _module_text(self, module: Module) -> str:
        if module.opaque:
            return module.opaque
        names = [f"{name} {target.text}" for name, ts in sorted(module.imports.items()) for target in ts]
        docstring = [module.docstring] if "docstrings" in self.reads else []
        steps = [(unit.node.lineno, self._text(unit)) for unit in module.units]
        steps += [(target.line, target.text) for target in (*module.stars, *module.runs)]
        return "\n".join([*names, *docstring, *(text for _, text in sorted(steps, key=lambda step: step[0]))])
