"""Write the parts of the reference that follow from the code; a test fails when they no longer agree.

Usage: python docs/generate.py
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from mmetl.cli.main import app
from mmetl.core.looking.catalogue import fields
from mmetl.core.registry import BUILT_IN, load
from mmetl.errors import ExitCode

REFERENCE = Path(__file__).parent / "reference"
BLOCK = re.compile(r"(<!-- generated: (\w+)(?: ([\w.]+))? -->\n).*?(<!-- end -->)", re.DOTALL)


# --- command line


def commands() -> str:
    """Return every command of the Typer app with its arguments and options."""
    group: Any = typer.main.get_command(app)
    blocks = ["\n".join(["### `mmetl`", "", group.help, "", *_options(group)])]
    return "\n\n".join([*blocks, *_commands(group)])


def _commands(group: Any, above: str = "") -> list[str]:
    """Return the commands of a group, and after a group its own."""
    blocks = []
    for name in group.list_commands(None):
        command = group.commands[name]
        blocks.append(_command(above + name, command))
        if isinstance(command, typer.core.TyperGroup):
            blocks += _commands(command, f"{above}{name} ")
    return blocks


def _command(name: str, command: Any) -> str:
    text, _, example = command.help.partition("\n\nExample: ")
    arguments = "".join(f" {p.metavar}" for p in command.params if p.param_type_name == "argument")
    lines = [f"### `mmetl {name}{arguments}`", "", text, "", *_options(command), "", f"Example: `{example.strip()}`"]
    return "\n".join(lines)


def _options(command: Any) -> list[str]:
    rows = [f"| {_option(p)} | {_cell(p.help)}{_given(p.default)} |" for p in command.params if p.name != "help"]
    return ["| argument or option | meaning |", "|---|---|", *rows] if rows else ["It has no options."]


def _option(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{param.metavar}`"
    value = "" if param.is_flag else f" {param.metavar or ('N' if 'int' in param.type.name else 'NAME')}"
    many = " ..." if param.multiple else ""
    return ", ".join(f"`{opt}{value}`" for opt in sorted(param.opts, key=len, reverse=True)) + many


def _given(default: Any) -> str:
    return f" Default: {default}." if type(default) is int else ""


def exit_codes() -> str:
    """Return the table of exit codes, from the docstrings of the enum."""
    source = Path(sys.modules[ExitCode.__module__].__file__ or "").read_text(encoding="utf-8")
    rows = re.findall(r'^    [A-Z_]+ = (\d+)\n    """(.*)"""$', source, re.MULTILINE)
    return "\n".join(["| code | meaning |", "|---|---|", *(f"| {code} | {_cell(text)} |" for code, text in rows)])


# --- transforms


def params(name: str) -> str:
    """Return the table of the params of a built-in transform."""
    rows = [
        f"| `{p.name}` | {_cell(p.type)} | {p.default} | {_cell(p.meaning)} |"
        for p in fields(load(BUILT_IN[name]).params)
    ]
    return "\n".join(["| param | type | default | meaning |", "|---|---|---|---|", *rows])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# --- files

MAKERS: dict[str, Callable[..., str]] = {"commands": commands, "exit_codes": exit_codes, "params": params}


def filled(text: str) -> str:
    """Return a page with its generated parts made anew."""

    def block(found: re.Match[str]) -> str:
        made = MAKERS[found[2]](found[3]) if found[3] else MAKERS[found[2]]()
        return f"{found[1]}\n{made}\n\n{found[4]}"

    return BLOCK.sub(block, text)


def main() -> None:
    """Rewrite the pages that have generated parts."""
    for page in sorted(REFERENCE.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if filled(text) != text:
            page.write_text(filled(text), encoding="utf-8")
            sys.stdout.write(f"wrote {page}\n")


if __name__ == "__main__":
    main()
