"""What the schema makes of the short forms."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mmetl.config.schema import Pipeline, TaskSpec


def test_short_forms() -> None:
    """A list of inputs names its aliases; a single key column is a list of one; durations are seconds."""
    made = {"transform": "a.b", "inputs": ["x", "y"], "key": "id", "max_age": "1.5h"}
    task = TaskSpec.model_validate(made)
    assert task.inputs == {"x": "x", "y": "y"}
    assert task.key == ("id",)
    assert task.max_age == 5400.0


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800), ("2w", 1209600)]
)
def test_durations(text: str, seconds: float) -> None:
    """Units from seconds to weeks."""
    assert TaskSpec.model_validate({"transform": "a.b", "max_age": text}).max_age == seconds


def test_defaults() -> None:
    """A task says as little as its transform."""
    task = TaskSpec.model_validate({"transform": "a.b"})
    assert (task.params, task.inputs, task.depends_on, task.key, task.retries) == ({}, {}, (), (), 0)
    assert (task.timeout_s, task.cache, task.always, task.max_age, task.env, task.files) == (
        None,
        True,
        False,
        None,
        (),
        (),
    )


def test_models_are_frozen() -> None:
    """A pipeline does not change after it was validated."""
    pipeline = Pipeline.model_validate({"version": 1, "name": "p", "tasks": {}})
    with pytest.raises(ValidationError):
        pipeline.name = "q"  # type: ignore[misc]


def test_types_of_vars_are_kept() -> None:
    """1, 1.0, true and "1" are four values."""
    given = {"a": 1, "b": 1.0, "c": True, "d": "1"}
    kept = Pipeline.model_validate({"version": 1, "name": "p", "vars": given, "tasks": {}}).vars
    assert [type(value) for value in kept.values()] == [int, float, bool, str]
