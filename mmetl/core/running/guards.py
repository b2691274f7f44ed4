"""What stops a task before it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mmetl.cache.listing import fixed_folder
from mmetl.contracts.plan import TaskDetail, TaskNode
from mmetl.core.decide import listed_before, missing_inputs, unusable_inputs
from mmetl.core.facts import Facts
from mmetl.errors import MissingError, TaskError
from mmetl.utils.shrink import has_shrunk
from mmetl.utils.text import shown

SHOWN = 5  # tasks that a message names


def refuse(node: TaskNode, detail: TaskDetail, facts: Facts, allowed: frozenset[str]) -> None:
    """Refuse a settled, observed task that must not start. `run` and `dry-run` both ask this.

    Args:
        node: the task.
        detail: of it.
        facts: of its pipeline.
        allowed: tasks whose source may have become far smaller.

    Raises:
        TaskError: with why.
    """
    refuse_unusable(node, facts)
    if node.globs:
        refuse_vanished(node, facts, may_be_empty=not detail.filled)
        refuse_shrunk(node, detail, facts, allowed)
    refuse_missing(node, facts, allowed)


def refuse_uninstalled(details: Mapping[str, TaskDetail], *, leave_out: bool = True) -> None:
    """Refuse tasks that would fail since a package of an extra is not installed: before anything is run.

    Args:
        details: of the tasks.
        leave_out: whether they may be left out, by `--exclude`.

    Raises:
        MissingError: naming all of these packages and tasks.
    """
    tasks = [name for name, detail in details.items() if detail.missing]
    if not tasks:
        return
    from mmetl.core.extras import extras

    packages = sorted({p for name in tasks for p in details[name].missing})
    known = extras()
    which = ",".join(sorted({known[p] for p in packages if p in known}))
    more = f" and {len(tasks) - SHOWN} more" if len(tasks) > SHOWN else ""
    names = ", ".join(f"'{p}'" for p in packages) + (" is" if len(packages) == 1 else " are")
    raise MissingError(
        f"{names} not installed; needed by {', '.join(tasks[:SHOWN])}{more}",
        help=f"pip install 'mmetl[{which}]'" + (", or leave such tasks out with --exclude" if leave_out else ""),
    )


def refuse_folder(facts: Facts, path: str) -> None:
    """Refuse to write a file where a folder is. Raises TaskError."""
    if os.path.isdir(facts.files.full(path)):
        raise TaskError(f"its output '{path}' is a folder", help="declare each file that the task writes")


def refuse_missing(node: TaskNode, facts: Facts, allowed: frozenset[str]) -> None:
    """Refuse a task whose inputs are not all there. Raises TaskError naming the first.

    A glob that lists nothing is let through where that is allowed.
    """
    missing = missing_inputs(node, facts)
    if node.name in allowed:
        missing = [m for m in missing if m not in node.globs]
    if missing:
        first, more = shown(missing[0]), f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        if missing[0] in node.files and os.path.isdir(facts.files.full(missing[0])):
            raise TaskError(f"input {first} is a folder{more}", help=f"name the files in it, such as {first}/*")
        raise TaskError(f"input {first} is missing{more}", help=_mend(node, missing[0]))


def refuse_unusable(node: TaskNode, facts: Facts) -> None:
    """Refuse a task with an input that is there and cannot be used. Raises TaskError with path and reason."""
    for name, why in unusable_inputs(node, facts).items():
        if name in facts.unlisted:
            raise facts.unlisted[name]
        help_ = "rename it" if "its name" in why else "check its permissions, or where it links to"
        raise TaskError(f"'{shown(name)}' cannot be used: {why}", help=help_)


def refuse_vanished(node: TaskNode, facts: Facts, *, may_be_empty: bool) -> None:
    """Refuse a source in a folder that is not there, which is no empty one: a disk may not be mounted. Raises TaskError."""
    for glob, tree in facts.trees_of(node).items():
        folder = fixed_folder(glob)
        if folder and not tree.files and not os.path.isdir(facts.files.full(folder)):
            known, empty = node.name in facts.records, f"; to empty it: make it, and run --allow-shrink {node.name}"
            raise TaskError(
                f"the folder '{shown(folder)}' of its source is not there",
                help="put it back, or mend the path" + (empty if known and may_be_empty else ""),
            )


def refuse_shrunk(node: TaskNode, detail: TaskDetail, facts: Facts, allowed: frozenset[str]) -> None:
    """Refuse a source that lists nothing where there was something, or under half of at least 20 files.

    Of files that a task does not keep it does not matter how many there are: it looks itself.

    Raises:
        TaskError: which names `--allow-shrink` where that helps.
    """
    record = facts.records.get(node.name)
    if record is None or node.name in allowed:
        return
    listed = [tree.files for tree in facts.trees_of(node).values()]
    before, now = listed_before(node, facts), sum(listed)
    if has_shrunk(before, now) and not (now and detail.selective):
        raise TaskError(
            f"its source lists {now} file{'s' if now != 1 else ''} where there were {before}",
            help=f"if that is right: mmetl run --allow-shrink {node.name}"
            if not detail.filled or all(listed)
            else "it cannot do without: put them back, or mend the path",
        )


def _mend(node: TaskNode, missing: str) -> str:
    if missing.startswith("the artifact of ") or node.after:
        return f"run what makes it: --select +{node.name}"
    return "no task of this pipeline writes it; check the path"
