"""`connections:` of the project file, and `mmetl validate --connect`."""

from __future__ import annotations

import pytest

TASK = "  t: {transform: tabular.sql, params: {sql: select 1 as a}}\n"


def connections(*lines):
    return "\n".join(["version: 1", "connections:", *(f"  {line}" for line in lines), ""])


WRONG = {
    "main: {kind: neo4j, uri: 'bolt://h', password: hunter2}": (
        "mmetl.yml:3:50: error: 'password' is written out, where files and messages would show it\n"
        "help: write ${secret:NAME}, and set the environment variable NAME where mmetl runs\n"
    ),
    "main: {kind: neo4j, uri: 'bolt://me:hunter2@h', port: 1}": (
        "mmetl.yml:3:28: error: 'uri' is written out, where files and messages would show it\n"
        "help: leave user and password out of it: they have keys of their own\n\n"
        "mmetl.yml:3:51: error: 'main' has no key 'port'\n"
        "help: 'main' takes: kind, uri, user, password, database, ca\n"
    ),
    "main: {kind: neo4j, uri: 'http://h'}": (
        "mmetl.yml:3:28: error: 'uri' is 'http://h', expected a URI such as 'bolt://localhost:7687' or"
        " 'neo4j+s://example.org'\n"
        "   3 |   main: {kind: neo4j, uri: 'http://h'}\n"
        "     |                            ^\n"
    ),
    "main: {kind: neo5j, uri: 'bolt://h'}": (
        "mmetl.yml:3:16: error: 'kind' is 'neo5j', expected 'neo4j'\n"
        "   3 |   main: {kind: neo5j, uri: 'bolt://h'}\n"
        "     |                ^\n"
    ),
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_connections(empty, line):
    """Told with their places; a line that may show a secret is not shown."""
    empty.tasks(TASK)
    empty.write("mmetl.yml", connections(line))
    done = empty.fast("validate")
    assert (done.code, done.err) == (3, WRONG[line])
    assert "hunter2" not in done.err


def test_who_answers_is_told(empty, neo4j):
    empty.tasks(TASK)
    rest = 'password: "${secret:NEO4J_PASSWORD}"'
    empty.write("mmetl.yml", connections(f"main: {{kind: neo4j, uri: '{neo4j.uri}', {rest}}}"))
    done = empty.fast("validate", "--connect")
    assert (done.code, done.out) == (0, "p: valid, 1 task\nconnection main: Neo4j/5.26.10, database neo4j\n")
    assert empty.fast("validate").out == "p: valid, 1 task\n"


def test_each_connection_that_fails_is_told(empty, neo4j):
    empty.tasks(TASK)
    secret = 'password: "${secret:NEO4J_PASSWORD}"'
    empty.write(
        "mmetl.yml",
        connections(
            f"nobody: {{kind: neo4j, uri: 'bolt://127.0.0.1:1', {secret}}}",
            f"other: {{kind: neo4j, uri: '{neo4j.uri}', {secret}, database: other}}",
            f"secure: {{kind: neo4j, uri: '{neo4j.uri.replace('bolt', 'bolt+s')}', {secret}}}",
            f"stranger: {{kind: neo4j, uri: '{neo4j.uri}', {secret}, user: stranger}}",
            f"unset: {{kind: neo4j, uri: '{neo4j.uri}', password: '${{secret:NOT_SET}}'}}",
            f"without: {{kind: neo4j, uri: '{neo4j.uri}'}}",
            f"works: {{kind: neo4j, uri: '{neo4j.uri}', {secret}}}",
        ),
    )
    done = empty.fast("validate", "--connect")
    assert (done.code, done.out.splitlines()[1:]) == (1, ["connection works: Neo4j/5.26.10, database neo4j"])
    told = [line for line in done.err.splitlines() if line.startswith("error")]
    for line, begin in zip(
        told,
        (
            "connection 'nobody': 'nobody' cannot be reached at bolt://127.0.0.1:1: ",
            "connection 'other': Neo4j 'other' has no such database: ",
            "connection 'secure': 'secure' cannot be reached at bolt+s://127.0.0.1:",
            "connection 'stranger': 'stranger' does not let the user 'stranger' in",
            "connection 'unset': secret 'NOT_SET' is not set",
            "connection 'without': 'without' does not let the user 'neo4j' in",
        ),
        strict=True,
    ):
        assert line.startswith(f"error: {begin}")
