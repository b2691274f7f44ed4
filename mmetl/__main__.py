"""Entry point of `mmetl` and `python -m mmetl`."""

from __future__ import annotations

import gc
import os
import signal
import sys

INTERRUPTED = 130  # ExitCode.INTERRUPTED
GC_THRESHOLD = 50_000  # new objects between looks for garbage: imports, plans and runs make many that stay


def main() -> int:
    """Run the command line; return the exit code."""
    gc.set_threshold(GC_THRESHOLD, 20, 20)
    _have_streams()
    bare = sys.argv[1:] == ["run"]
    with _DyingQuietly():
        from mmetl.cli.output import guarded

        if bare:
            # Nothing to parse: a run with nothing to do is over before Typer would be imported (85 ms).
            from mmetl.cli.running import run
        else:
            from mmetl.cli.main import command_line
    return _told(guarded(run) if bare else guarded(command_line(sys.argv[1:]), prog_name="mmetl"))


class _DyingQuietly:
    """Let Ctrl-C end the process at once while modules are imported: nobody could catch the KeyboardInterrupt."""

    def __enter__(self) -> None:
        self.mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self.mine:
            try:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            except ValueError:
                self.mine = False  # not the main thread: signals are of no concern here

    def __exit__(self, *_: object) -> None:
        if self.mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _told(code: int) -> int:
    """Return an exit code, and let Python not look for garbage when it ends: after large imports that takes a third of a second."""
    if code == INTERRUPTED:
        # Python gives handlers back when it ends: one more Ctrl-C would end it by the signal, not with this code.
        for sig in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sig, signal.SIG_IGN)
    gc.disable()
    gc.freeze()
    return code


def _have_streams() -> None:
    """Put something in the place of closed streams, or a file of ours would get their numbers; let every name be printed."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  it stays open
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a stream of a test may not
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
