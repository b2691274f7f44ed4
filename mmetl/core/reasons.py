"""Why a task is or is not fresh: reasons as data, and the one place that puts them into words."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from mmetl.utils.text import shown

Kind = Literal[
    "never_ran",
    "forced",
    "retried",
    "always",
    "max_age",
    "recipe",
    "input_changed",
    "input_added",
    "input_removed",
    "input_missing",
    "input_unusable",
    "upstream_changed",
    "output_missing",
    "output_changed",
    "output_unusable",
    "output_executable",
    "output_not_executable",
    "cleaned",
    "part_missing",
    "interrupted",
    "not_begun",
    "failed",
    "changed_while_running",
    "waits_for",
    "not_cached",
]


class Reason(NamedTuple):
    """One reason, with both values where there are two.

    Attributes:
        kind: what sort of reason.
        subject: what it is about: a path, a task, a component of the recipe.
        before: the value recorded at the last success; None where there is none.
        after: the value now.
    """

    kind: Kind
    subject: str = ""
    before: Any = None
    after: Any = None


_TEXT: dict[Kind, str] = {
    "never_ran": "it never ran",
    "forced": "--force",
    "retried": "items that failed are tried again",
    "always": "always: true",
    "max_age": "it was built {before} ago, and max_age is {after}",
    "input_changed": "{subject} changed",
    "input_added": "{subject} is new",
    "input_removed": "{subject} is gone",
    "input_missing": "input {subject} is missing",
    "input_unusable": "input {subject} cannot be used: {after}",
    "upstream_changed": "the output of {subject} changed",
    "output_missing": "output {subject} was deleted",
    "output_changed": "output {subject} was changed by something else",
    "output_unusable": "output {subject} cannot be looked at: {after}",
    "output_executable": "output {subject} was made executable",
    "output_not_executable": "output {subject} is not executable any more",
    "cleaned": "it was cleaned",
    "part_missing": "{subject} of its parts are missing or damaged",
    "interrupted": "the run that last started it did not finish",
    "not_begun": "run {subject} ended before its turn came",
    "failed": "its last run failed",
    "changed_while_running": "an input changed while it ran last time",
    "waits_for": "waits for {subject}",
    "not_cached": "cache: false",
}

_SHORT = 60  # characters of a value before it is cut in a sentence


def text(reason: Reason) -> str:
    """Return a reason in words."""
    if reason.kind == "recipe":
        return _recipe_text(reason)
    if reason.kind == "failed" and reason.subject:
        return f"its last run failed: {reason.after} (run {reason.subject})"
    if reason.kind == "interrupted" and reason.subject:
        return f"run {reason.subject} did not finish it"
    return _TEXT[reason.kind].format(subject=shown(reason.subject), before=reason.before, after=reason.after)


def texts(reasons: tuple[Reason, ...]) -> list[str]:
    """Return reasons in words, in order."""
    return [text(r) for r in reasons]


def _recipe_text(reason: Reason) -> str:
    subject, before, after = reason.subject, reason.before, reason.after
    if subject.startswith("code "):
        name = subject.removeprefix("code ")
        if before is None:
            return f"code {name} is new"
        return f"code {name} is gone" if after is None else f"code {name} changed"
    if subject.startswith(_PREFIX["env"]):  # the values are fingerprints: the real ones may be private
        return f"{subject} was set" if before is None else f"{subject} {'was unset' if after is None else 'changed'}"
    shown = [_short(v) for v in (before, after)]
    if before is None or after is None:
        return f"{subject} is new ({shown[1]})" if before is None else f"{subject} is gone (was {shown[0]})"
    if max(map(len, shown)) > _SHORT or "\n" in "".join(shown):
        return f"{subject} changed"
    return f"{subject} changed: {shown[0]} -> {shown[1]}"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def recipe_reasons(before: dict[str, Any] | None, after: dict[str, Any] | None) -> tuple[Reason, ...]:
    """Return one reason for each component in which two recipes differ; `params` and `code` are looked into."""
    if before is None or after is None:
        return (Reason("recipe", "recipe", None if before is None else "known", "changed"),)
    old, new = _flat(before), _flat(after)
    found = tuple(
        Reason("recipe", name, old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )
    # Where a value of "nothing" came or went, such as an unset variable, the lists of names differ and no value does.
    names = sorted(old.keys() ^ new.keys())
    return found or tuple(Reason("recipe", name, None, "declared" if name in new else None) for name in names)


_PREFIX = {
    "params": "params.",
    "code": "code ",
    "check_code": "code ",
    "packages": "package ",
    "check_packages": "package ",
    "env": "environment variable ",
    "connection": "connection.",
}


def _flat(recipe: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in recipe.items():
        if name in _PREFIX and isinstance(value, dict):
            flat.update({_PREFIX[name] + k: v for k, v in value.items()})
        else:
            flat[name] = value
    return flat
