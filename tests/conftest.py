"""A small project in a temporary folder, for every test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from harness import HELPERS, STEPS, TASKS, Project, lacking


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


@pytest.fixture
def tesseract() -> None:
    """The program that reads words in pictures."""
    if shutil.which("tesseract") is None:
        lacking("tesseract is not installed: apt-get install tesseract-ocr")
