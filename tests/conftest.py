"""A small project in a temporary folder, for every test."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import HELPERS, STEPS, TASKS, Project, lacking
from neo4j_server import PASSWORD, Server, jars
from neo4j_server.people import People

# Where bytecode is not kept, each command that a test starts compiles the package anew, which is a third of its time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put those with a Neo4j first: they go to one worker, others being taken from the end, and only that one starts a server."""
    items.sort(key=lambda item: "neo4j_server" not in getattr(item, "fixturenames", ()) and "neo4j" not in item.nodeid)


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


@pytest.fixture(scope="session")
def neo4j_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Neo4j server on loopback, for all tests of a process. A machine without Java and Maven skips them, `.ci/run` too."""
    pytest.importorskip("neo4j")
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install openjdk-17-jre-headless maven")
    found = jars(request.config.cache.mkdir("neo4j"))
    if isinstance(found, str):
        lacking(f"the jars of Neo4j cannot be had: {found}")
    server = Server(found, tmp_path_factory.mktemp("neo4j"))
    try:
        if not server.uri:
            lacking(f"Neo4j does not start: {server.said}")
        yield server
    finally:
        server.close()


@pytest.fixture
def neo4j(neo4j_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """An empty Neo4j; its password is in the environment, as a secret."""
    neo4j_server.clear()
    monkeypatch.setenv("NEO4J_PASSWORD", PASSWORD)
    return neo4j_server


@pytest.fixture
def people(empty: Project, neo4j: Server) -> People:
    """A project whose graph is to be in that server."""
    return People(empty, neo4j)
