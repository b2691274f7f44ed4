"""What stops a task before it starts."""

from __future__ import annotations

from mmetl.contracts.plan import TaskNode
from mmetl.core.decide import Facts, missing_inputs
from mmetl.errors import TaskError
from mmetl.utils.shrink import has_shrunk


def refuse_missing(node: TaskNode, facts: Facts) -> None:
    """Refuse a task whose inputs are not all there. Raises TaskError naming the first."""
    missing = missing_inputs(node, facts)
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise TaskError(f"input {missing[0]} is missing{more}", help=_mend(node, missing[0]))


def refuse_shrunk(node: TaskNode, facts: Facts, allowed: frozenset[str]) -> None:
    """Refuse a source that lists nothing where there was something, or under half of at least 20 files."""
    record = facts.records.get(node.name)
    if record is None or node.name in allowed or not node.globs:
        return
    before = [p for p in facts.lists(node.name).inputs if not p.startswith("task ") and p not in node.files]
    now = {p for g in node.globs for p in facts.listing(node, g)}
    if has_shrunk(len(before), len(now)):
        raise TaskError(
            f"its source lists {len(now)} files where there were {len(before)}",
            help=f"if that is right: mmetl run --allow-shrink {node.name}",
        )


def _mend(node: TaskNode, missing: str) -> str:
    if missing.startswith("the artifact of ") or node.after:
        return f"run what makes it: --select +{node.name}"
    return "no task writes it; check the path"
