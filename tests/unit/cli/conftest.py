"""What tests of commands share."""

from __future__ import annotations

import pytest
from harness import Project
from shop_project import make_shop


@pytest.fixture
def shop(empty: Project) -> Project:
    """A project with a task of every kind that makes rows."""
    return make_shop(empty)
