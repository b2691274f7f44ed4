"""The Typer app, and what the declarations of its commands share. What a command does is imported when it is called."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

RUN, LOOK, KEEP, LEARN = "Run", "Look", "Keep", "Begin and learn"
"""The groups of commands that `mmetl --help` shows, in this order."""
GROUPS = (RUN, LOOK, KEEP, LEARN)


class Grouped(TyperGroup):
    """Lists commands in their groups, in plain text: Typer's own panels would load rich (70 ms)."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, group by group."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda n: GROUPS.index(getattr(self.commands[n], "rich_help_panel", RUN)))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section a group."""
        commands: list[Any] = [self.commands[name] for name in self.list_commands(ctx)]
        width = formatter.width - 6 - max(len(c.name) for c in commands)
        for group in GROUPS:
            rows = [(c.name, c.get_short_help_str(width)) for c in commands if c.rich_help_panel == group]
            if rows:
                with formatter.section(group):
                    formatter.write_dl(rows)


app = typer.Typer(
    name="mmetl",
    cls=Grouped,
    help="Config-driven, incremental, multimodal ETL.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # or --help loads rich
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Pipeline = Annotated[
    str | None,
    typer.Argument(metavar="[PIPELINE]", help="Path or name of a pipeline; the project's only one if left out."),
]
SELECT = (
    "Tasks by name, tag:, transform:, state: or result:; +NAME adds what it needs, NAME+ what needs it, @NAME what needs"
    " it with all that takes. A space means or, a comma means and."
)
Select = Annotated[list[str] | None, typer.Option("--select", "-s", metavar="SELECTOR", help=SELECT)]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="SELECTOR", help="Leave these out; written as for --select.")
]
Var = Annotated[list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="Set a variable of the pipeline.")]
Force = Annotated[bool, typer.Option("--force", help="Take the named tasks (or all) as stale, and compute them anew.")]
AllowShrink = Annotated[
    list[str] | None,
    typer.Option("--allow-shrink", metavar="TASK", help="Let a task's source list far fewer files."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Tasks = Annotated[list[str] | None, typer.Argument(metavar="[TASK]...", help="Tasks, as NAME or PIPELINE:NAME.")]
Task = Annotated[str, typer.Argument(metavar="TASK", help="A task, as NAME or PIPELINE:NAME.")]
