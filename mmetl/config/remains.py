"""What of a wrong pipeline can be looked at all the same, so that all that is wrong is told at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from pydantic import ValidationError

from mmetl.config.resolver import Path
from mmetl.config.schema import Pipeline, TaskSpec

STAND_INS = {"version": 1, "name": "unnamed", "description": ""}
"""Values for keys of the pipeline that no task looks at."""
LOOKED_AT = ("transform", "params", "inputs", "depends_on")
"""The keys of a wrong task that can be judged without the others."""


def remains(
    tree: Mapping[str, Any], wrong: Iterable[Path], faulty: Iterable[Path]
) -> tuple[Pipeline, dict[str, TaskSpec | None]] | None:
    """Return the pipeline without its wrong tasks, and these with what of them is right; None where all may follow from one thing.

    Args:
        tree: the pipeline, interpolated.
        wrong: where the schema found something wrong.
        faulty: where interpolation failed: such values are not judged.
    """
    top = dict(tree)
    bad: dict[str | int, set[str | int]] = {}
    for path in faulty:
        if path[0] == "tasks":
            bad.setdefault(path[1], set()).update(path[2:3])
    for path in (*wrong, *(p for p in faulty if p[0] != "vars")):
        if path[:1] == ("tasks",) and len(path) > 1:
            bad.setdefault(path[1], set())
        elif path and path[0] in STAND_INS:
            top[str(path[0])] = STAND_INS[str(path[0])]
        else:
            return None
    tasks = tree["tasks"]
    top["tasks"] = {name: task for name, task in tasks.items() if name not in bad}
    try:
        rest = Pipeline.model_validate(top)
    except ValidationError:
        return None
    return rest, {str(name): _core(tasks.get(name), unclear) for name, unclear in bad.items()}


def _core(task: Any, unclear: AbstractSet[str | int]) -> TaskSpec | None:
    """Return what can be judged of a wrong task; `unclear` are its keys with a value that interpolation could not make."""
    if not isinstance(task, dict):
        return None
    try:
        return TaskSpec.model_validate({key: task[key] for key in LOOKED_AT if key in task and key not in unclear})
    except ValidationError:
        return None
