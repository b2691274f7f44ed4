"""Connections to a Neo4j server by TLS: who has to sign for it, and what is told when nobody does."""

from __future__ import annotations

import shutil
import ssl
import subprocess

import pytest
from harness import lacking
from neo4j_server.people import CONNECTIONS
from neo4j_server.relay import Relay


def certificates(folder):
    """Make `ca.pem`, who signs; `server.pem` and its key, signed for `localhost` only; and `other.pem`, who signs nothing."""
    folder.mkdir()
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=DNS:localhost"]
    for name, more in (("ca", []), ("other", []), ("server", [*signed, "-addext", "basicConstraints=CA:FALSE"])):
        files = ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN=mmETL tests {name}"]
        subprocess.run([*request, *files, *more], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def relay(people):
    """What speaks TLS for the server."""
    if shutil.which("openssl") is None:
        lacking("openssl is not installed: apt-get install openssl")
    folder = people.project.root / "certificates"
    certificates(folder)
    shows = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shows.load_cert_chain(folder / "server.pem", folder / "server.key")
    made = Relay(people.server.port, shows)
    yield made
    made.go()


def connect(people, uri, ca=""):
    text = CONNECTIONS.replace("URI", uri)
    people.project.write("mmetl.yml", text.replace("kind: neo4j,", f"kind: neo4j, ca: {ca}," if ca else "kind: neo4j,"))
    return people.project.fast("validate", "p.yaml", "--connect")


def test_a_graph_goes_by_tls(people, relay):
    """By a certificate that a file of the project's own speaks for; and by any at all, where the URI says so."""
    assert connect(people, f"bolt+s://localhost:{relay.port}", "certificates/ca.pem").code == 0
    people.run()
    people.check()
    assert relay.commits
    assert connect(people, f"neo4j+s://localhost:{relay.port}", "certificates/ca.pem").code == 0
    connect(people, f"bolt+ssc://127.0.0.1:{relay.port}")
    people.people[3]["age"] = 99
    people.run()
    people.check()
    assert people.run()["outcome"] == "fresh"


WRONG = {
    "nobody": ("bolt+s://localhost", "", "unable to get local issuer certificate"),
    "somebody else": ("bolt+s://localhost", "certificates/other.pem", "unable to get local issuer certificate"),
    "another host": (
        "bolt+s://127.0.0.1",
        "certificates/ca.pem",
        "IP address mismatch, certificate is not valid for '127.0.0.1'",
    ),
}


def test_a_certificate_that_is_not_good_is_told(people, relay):
    for uri, ca, why in WRONG.values():
        done = connect(people, f"{uri}:{relay.port}", ca)
        assert (done.code, why in done.err) == (1, True), done.err
        assert f"'main' at {uri}:{relay.port} shows a certificate that is not to be trusted: " in done.err
        assert (
            "help: is that the server? name who has signed for it in `ca`, or take any certificate by `+ssc`"
            in done.err
        )


def test_a_file_that_holds_no_certificate_is_told(people, relay):
    for ca, why in (("certificates/none.pem", "No such file"), ("certificates/ca.key", "")):
        done = connect(people, f"bolt+s://localhost:{relay.port}", ca)
        assert done.code == 1
        assert f"no certificate can be read of '{ca}'" in done.err, done.err
        assert why in done.err


def test_a_ca_needs_a_uri_that_asks_for_it(people):
    done = connect(people, "bolt+ssc://localhost", "ca.pem")
    assert done.code == 3
    assert "`ca` is for a `uri` with TLS and a certificate that somebody has signed: `neo4j+s` or `bolt+s`" in done.err


def test_a_server_without_tls_is_told(people):
    uri = people.server.uri.replace("bolt:", "bolt+ssc:")
    done = connect(people, uri)
    assert done.code == 1
    assert f"'main' cannot be reached at {uri}: " in done.err
    assert "does it speak TLS" in done.err
