"""What every command shares: errors into text and exit codes, results on stdout, talk on stderr."""

from __future__ import annotations

import binascii
import contextlib
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from mmetl.core.run import RunResult
from mmetl.errors import ExitCode, MmetlError
from mmetl.observability.runs import TaskRun
from mmetl.utils.text import shown, why_not

JSON_SCHEMA_VERSION = 1
LEFT = "left {path}: no task declares it any more, and it was changed since mmETL wrote it"
DEBUG = "MMETL_DEBUG"  # set by --debug; a variable, so that it reaches errors of every stage
USAGE = ("tokens", "cost")  # counts that are no items
SHOWN_REASONS = 5  # in one line; `why` and `--json` have all
OUTCOMES = ("ran", "fresh", "restored", "failed", "blocked", "skipped")


def guarded(command: Callable[..., int], *args: Any, **kwargs: Any) -> int:
    """Call a command; turn what it raises into text on stderr and an exit code."""
    try:
        code = int(command(*args, **kwargs) or 0)
        sys.stdout.flush()
        return code
    except MmetlError as e:
        _debug()
        talk(str(e))
        return int(e.exit_code)
    except KeyboardInterrupt:
        talk("interrupted")
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe left (`mmetl show x | head`): nothing is wrong, and nothing more can be said.
        _mute()
        return int(ExitCode.DONE)
    except OSError as e:
        _debug()
        _mute()
        talk(f"error: {why_not(e)}" + (f": '{shown(os.fsdecode(e.filename))}'" if e.filename else ""))
        return int(ExitCode.TASK_FAILED)
    except Exception as e:  # noqa: BLE001  nobody should have to read a traceback
        _debug()
        talk(
            f"error: mmETL failed where it should not: {type(e).__name__}: {e}\nhelp: mmetl --debug ... shows where; tell us"
        )
        return int(ExitCode.TASK_FAILED)


def _debug() -> None:
    if os.environ.get(DEBUG):
        import traceback

        traceback.print_exc()


def _mute() -> None:
    """Let what is still to be written to stdout go nowhere, or Python fails once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Print a result."""
    sys.stdout.write(text + "\n")


def talk(text: str, to: TextIO | None = None) -> None:
    """Print what is not a result, to stderr if nothing else is said; a run does not end because nobody can read of it."""
    stream = sys.stderr if to is None else to
    with contextlib.suppress(OSError):
        stream.write(text + "\n")
        stream.flush()


@contextlib.contextmanager
def results_alone() -> Iterator[None]:
    """Keep stdout for results while tasks run: what programs that they start print there goes to stderr."""
    try:
        sys.stdout.flush()
        kept = os.dup(1)
    except (OSError, ValueError):  # it is closed
        yield
        return
    with contextlib.suppress(OSError):
        os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def say_json(value: Any) -> None:
    """Print one JSON value on a line. JSON has no NaN and no infinite numbers: they are null."""
    try:
        line = _JSON.encode(value)
    except ValueError:
        line = _JSON.encode(_finite(value))
    sys.stdout.write(line + "\n")


def _as_text(value: Any) -> str:
    """Return what JSON has no type for as `tabular.write` writes it."""
    return binascii.b2a_base64(value, newline=False).decode() if isinstance(value, bytes) else str(value)


_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_as_text)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def columns(rows: Iterable[Sequence[str]], indent: str = "  ") -> str:
    """Return rows with their columns aligned; the last column is not padded."""
    listed = [list(r) for r in rows]
    if not listed:
        return ""
    widths = [max(len(r[i]) for r in listed) for i in range(len(listed[0]))]
    lines = (indent + "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in listed)
    return "\n".join(lines)


def count(n: int, noun: str) -> str:
    """Return a number of things, such as `1 row` or `2,000 rows`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def size(size_bytes: int) -> str:
    """Return bytes in words, such as `12.3 kB`."""
    value, units = float(size_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def utc(ms: int | None) -> str | None:
    """Return a time of day as `--json` has it, such as `2026-01-31T12:00:00Z`; None where there is none."""
    return None if ms is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))


def task_json(t: TaskRun) -> dict[str, Any]:
    """Return one task of `--json`."""
    return {
        "task": t.task,
        "outcome": t.outcome,
        "reasons": list(t.reasons),
        "rows": t.rows,
        "seconds": round(t.seconds, 3),
        "error": t.error or None,
        **{name: told for name, told in (("items", _items(t.counts)), ("usage", usage(t.counts))) if told},
    }


def _items(counts: Mapping[str, float]) -> dict[str, float]:
    return {word: n for word, n in counts.items() if word not in USAGE}


def usage(counts: Mapping[str, float]) -> dict[str, float | None]:
    """Return what was spent on paid services: `tokens`, and `cost`, None where the price is not known. Empty: nothing."""
    return {word: counts.get(word) for word in USAGE} if "tokens" in counts else {}


def run_json(run_id: str | None, pipeline: str, status: str, tasks: Iterable[TaskRun]) -> dict[str, Any]:
    """Return the object that `run`, `dry-run` and `status` print with `--json`. Its shape is an interface."""
    return {
        "schema_version": JSON_SCHEMA_VERSION,
        "run_id": run_id,
        "pipeline": pipeline,
        "status": status,
        "tasks": [task_json(t) for t in tasks],
    }


def summary(result: RunResult) -> str:
    """Return the last line of a run."""
    outcomes: Counter[str] = Counter(t.outcome for t in result.tasks)
    shown = [f"{outcomes[o]} {o}" for o in OUTCOMES if outcomes[o] or o in {"ran", "fresh"}]
    worked = [t for t in result.tasks if t.outcome != "fresh"]
    rows = sum(t.rows for t in worked)
    written = size(sum(t.size_bytes for t in worked))
    verdict = "" if result.status == "succeeded" else f" {result.status}:"
    counted_rows = f"{', '.join(shown)}; {count(rows, 'row')}, {written}"
    spent = counted({word: sum(t.counts.get(word, 0) for t in worked) for word in USAGE})
    return f"{result.pipeline}:{verdict} {', '.join(filter(None, (counted_rows, spent)))}, {result.seconds:.2f} s"


def task_line(t: TaskRun) -> Sequence[str]:
    """Return one task as columns."""
    amount = count(t.rows, "row") if t.rows else size(t.size_bytes) if t.size_bytes else ""
    seconds = f"{t.seconds:.2f} s" if t.seconds else ""
    return (t.outcome, t.task, amount, seconds, _told(t))


def _told(t: TaskRun) -> str:
    """Return what a line says of a task: its error, or how many items changed, and why it ran."""
    if t.error:
        return "; ".join(filter(None, (counted({word: t.counts[word] for word in USAGE if word in t.counts}), t.error)))
    return "; ".join(filter(None, (counted(t.counts), *some(t.reasons))))


def some(reasons: Sequence[str]) -> Sequence[str]:
    """Return the first of many reasons, and how many more there are: a line is to be read."""
    more = len(reasons) - SHOWN_REASONS
    return [*reasons[:SHOWN_REASONS], f"and {more:,} more reasons"] if more > 1 else reasons


def counted(counts: Mapping[str, float]) -> str:
    """Return counts of items in words, such as `3 added, 197 unchanged, 3 computed, 800 tokens, cost 0.0001`."""
    return ", ".join(f"cost {n:.6g}" if word == "cost" else f"{n:,} {word}" for word, n in counts.items() if n)
