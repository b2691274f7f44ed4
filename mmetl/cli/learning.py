"""`init`, `transforms` and `schema`, without their parsing."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from mmetl.cli.output import JSON_SCHEMA_VERSION, columns, say, say_json, talk
from mmetl.core.looking.catalogue import Described, describe, registry_of
from mmetl.core.looking.json_schema import pipeline_schema, project_schema, tests_schema
from mmetl.core.project import Project
from mmetl.core.start import start
from mmetl.errors import ExitCode, MissingError, UsageError
from mmetl.utils.text import near

WIDTH = 110


def init(folder: Path) -> int:
    """Write a small project that runs, and say what to try."""
    files, steps = start(folder)
    talk(f"wrote {', '.join(files)}\nnext:")
    for step in steps:
        say(f"  {step}")
    return ExitCode.DONE


def schema(of: str) -> int:
    """Print the JSON Schema of a pipeline, with the transforms that this project may name, of `mmetl.yml`, or of tests."""
    others = {"project": project_schema, "tests": tests_schema}
    made = others[of]() if of in others else pipeline_schema(registry_of(Project.open(".")))
    say(json.dumps(made, indent=2, ensure_ascii=False))
    return ExitCode.DONE


def transforms(name: str | None, *, as_json: bool = False) -> int:
    """List what a task's `transform:` may be, or tell all about one."""
    registry = registry_of(Project.open("."))
    names = registry.names() if name is None else [name]
    if name is not None and name not in registry.names():
        close = near(name, registry.names())
        help_ = f"did you mean '{close}'?" if close else f"known: {', '.join(registry.names())}"
        raise UsageError(f"no transform is named '{name}'", help=help_)
    found = []
    for each in names:
        try:
            found.append(describe(registry.get(each)))
        except MissingError as e:
            if name is not None:
                raise
            talk(f"{each}: {e.what}; {e.help}")
    if as_json:
        say_json({"schema_version": JSON_SCHEMA_VERSION, "transforms": [_json(d) for d in found]})
    elif name is None:
        say(columns([(d.name, d.summary) for d in found], indent=""))
    else:
        say(_page(found[0]))
    return ExitCode.DONE


def _json(found: Described) -> dict[str, object]:
    """Return one transform of `--json`."""
    return {**found._asdict(), "params": [p._asdict() for p in found.params]}


def _page(found: Described) -> str:
    lines = [f"{found.name}: {found.summary}", "", f"grain    {found.grain}", f"promise  {found.promise}"]
    if found.params:
        left = [f"  {p.name}  ({p.type}; {p.default})".replace("`", "") for p in found.params]
        lines += ["", "params"]
        for head, param in zip(left, found.params, strict=True):
            lines += [head, *textwrap.wrap(param.meaning, WIDTH, initial_indent="      ", subsequent_indent="      ")]
    for path, text in found.example.items():
        lines += ["", f"example: {path}", "", textwrap.indent(text.rstrip("\n"), "  ")]
    return "\n".join(lines)
