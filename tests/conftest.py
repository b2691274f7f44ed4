"""A small project in a temporary folder, for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import HELPERS, STEPS, TASKS, Project


@pytest.fixture
def empty(tmp_path: Path) -> Project:
    """A project without a pipeline."""
    return Project(tmp_path)


@pytest.fixture
def project(empty: Project) -> Project:
    """A project of two tasks, `second` after `first`, that copy files with a project function."""
    empty.write("in.txt", "hello")
    empty.write("steps.py", STEPS)
    empty.write("helpers.py", HELPERS)
    empty.tasks(TASKS)
    return empty
