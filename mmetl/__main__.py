"""Entry point of `mmetl` and `python -m mmetl`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; return the exit code."""
    if sys.argv[1:] == ["run"]:
        # Nothing to parse: a run with nothing to do is over before Typer would be imported (85 ms).
        from mmetl.cli.output import guarded
        from mmetl.cli.running import run

        return guarded(run)
    from mmetl.cli.main import app

    app(prog_name="mmetl")
    return 0


if __name__ == "__main__":
    sys.exit(main())
