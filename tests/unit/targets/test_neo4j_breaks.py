"""`graph.load` into a Neo4j server that goes in the middle of it, or in which others hold what is to be changed.

Transactions are small here: each writes 100 people, or edges of as many. So what a break leaves can be told apart.
"""

from __future__ import annotations

import signal
import threading

import neo4j as driver
import pytest
from harness import wait_for
from neo4j_server import PASSWORD
from neo4j_server.relay import Relay

from mmetl.engines.neo4j import graph as neo4j_graph
from mmetl.engines.neo4j import rows as neo4j_rows
from mmetl.engines.neo4j import transactions as neo4j_transactions

BATCH = 100
STAMP = "MATCH (s:_mmetl_target) RETURN s.manifest"
AGES = "MATCH (n:Person) RETURN n.age AS age, count(*) ORDER BY age"


@pytest.fixture
def new(people, monkeypatch):
    """400 people of the age of 1, who are not in the server yet; eight transactions."""
    pytest.importorskip("neo4j")
    monkeypatch.setattr(neo4j_rows, "BATCH_ROWS", BATCH)
    monkeypatch.setattr(neo4j_graph, "TRANSACTION_ROWS", BATCH)
    monkeypatch.setattr(neo4j_transactions, "RETRY_S", 0.05)
    people.people = {n: {"name": f"n{n:03}", "age": 1} for n in range(4 * BATCH)}
    people.knows = {(n, n + 1): n for n in range(4 * BATCH - 1)}
    return people


@pytest.fixture
def loaded(new):
    """The same, in the server, when they are to be 2 years old; four transactions."""
    new.run()
    for person in new.people.values():
        person["age"] = 2
    return new


def log_of(people):
    return people.project.fast("logs", "latest", "p:graph").out


@pytest.mark.parametrize("answered", [False, True])
def test_a_connection_that_breaks_is_made_again(loaded, answered):
    """Whether the server has done the commit or not: the transaction is written again, and nothing is there twice."""
    relay = Relay(loaded.server.port)
    loaded.connect(relay.uri)
    relay.break_at(2, relay.cut, answered=answered)
    assert loaded.run()["outcome"] == "ran"
    assert relay.commits >= 4
    assert log_of(loaded).startswith("attempt 1 of a transaction failed: IncompleteCommit: ")
    loaded.check()
    assert loaded.run()["outcome"] == "fresh"


@pytest.mark.parametrize("answered", [False, True])
def test_no_edge_comes_twice_when_a_first_load_breaks(new, answered):
    """Edges of a type that nobody has are created without a look; those of a transaction that may be done are looked for."""
    relay = Relay(new.server.port)
    new.connect(relay.uri)
    relay.break_at(6, relay.cut, answered=answered)
    assert new.run()["outcome"] == "ran"
    assert log_of(new).startswith("attempt 1 of a transaction failed: IncompleteCommit: ")
    new.check()
    assert new.run()["outcome"] == "fresh"


@pytest.mark.parametrize(("answered", "done"), [(False, 1), (True, 2)])
def test_a_server_that_goes_leaves_whole_transactions(loaded, monkeypatch, answered, done):
    """Each holds the old or the new state, what the graph is to be is told by nothing, and the next run completes it."""
    monkeypatch.setattr(neo4j_transactions, "RETRIES", 1)
    relay = Relay(loaded.server.port)
    loaded.connect(relay.uri)
    relay.break_at(2, relay.go, answered=answered)
    assert loaded.fails().startswith(f"'main' cannot be reached at {relay.uri}: ")
    assert loaded.server.run(AGES) == [[1, (4 - done) * BATCH], [2, done * BATCH]]
    assert loaded.server.run(STAMP) == [[""]]
    relay.come_back()
    assert loaded.run()["outcome"] == "ran"
    loaded.check()
    assert loaded.run()["outcome"] == "fresh"


class Holder:
    """Somebody else, who holds what is to be changed, in a transaction of their own."""

    def __init__(self, server):
        self._driver = driver.GraphDatabase.driver(server.uri, auth=("neo4j", PASSWORD))
        self._session = self._driver.session()
        self._transaction = self._session.begin_transaction()
        self._server = server

    def hold(self, number):
        self._transaction.run(f"MATCH (n:Person {{_key: '{number}'}}) SET n.seen = true").consume()

    def hold_more(self):
        """Hold more than anybody else: of a deadlock, the server ends the one that holds less."""
        self._transaction.run(f"UNWIND range(1, {9 * BATCH}) AS n CREATE (:Other)").consume()

    def commit(self):
        self._transaction.commit()

    def close(self):
        self._transaction.close()
        self._session.close()
        self._driver.close()

    def waited_for(self):
        """Tell whether a transaction of somebody waits for one that is held."""
        asked = "SHOW TRANSACTIONS YIELD status, currentQuery WHERE status STARTS WITH 'Blocked' RETURN currentQuery"
        return self._server.run(asked) != []


@pytest.fixture
def holder(loaded):
    held = Holder(loaded.server)
    yield held
    held.close()


def whole(people):
    """Tell whether each transaction was done or taken back, and not all were done."""
    ages = dict(people.server.run(AGES))
    return 1 in ages and ages[1] % BATCH == 0


def meanwhile(do):
    thread = threading.Thread(target=do)
    thread.start()
    return thread


def test_a_deadlock_is_tried_again(loaded, holder):
    """Each of two transactions waits for what the other holds: ours is ended by the server, and written again."""
    holder.hold_more()
    holder.hold(50)

    def cross():
        wait_for(holder.waited_for, 30)
        holder.hold(20)  # which ours has changed by now
        holder.commit()

    thread = meanwhile(cross)
    assert loaded.run()["outcome"] == "ran"
    thread.join()
    assert log_of(loaded).startswith("attempt 1 of a transaction failed: TransientError: ")
    assert "DeadlockDetected" in log_of(loaded)
    loaded.check()
    seen = "MATCH (n:Person) WHERE n.seen RETURN n._key ORDER BY n._key"
    assert loaded.server.run(seen) == [["20"], ["50"]], "neither undoes what the other did"


def test_what_others_hold_is_waited_for(loaded, holder):
    holder.hold(50)

    def give_back():
        wait_for(holder.waited_for, 30)
        holder.commit()

    thread = meanwhile(give_back)
    assert loaded.run()["outcome"] == "ran"
    thread.join()
    loaded.check()


def test_what_others_hold_is_not_waited_for_for_ever(loaded, holder, monkeypatch):
    monkeypatch.setattr(neo4j_transactions, "TRANSACTION_S", 1.0)
    holder.hold(150)
    assert loaded.fails().startswith("Neo4j 'main' ended a transaction that waited for what somebody else holds: ")
    assert loaded.server.run(STAMP) == [[""]]
    holder.commit()
    loaded.run()
    loaded.check()


def test_a_timeout_ends_what_waits(loaded, holder):
    """The server takes back the transaction."""
    holder.hold(50)
    loaded.project.edit("p.yaml", "  graph: {", "  graph: {timeout_s: 2, ")
    assert loaded.fails() == "it took longer than its timeout_s of 2"
    wait_for(lambda: not holder.waited_for(), 10)
    assert whole(loaded)


def test_ctrl_c_ends_what_waits(loaded, holder):
    holder.hold(50)
    loaded.save()
    process = loaded.project.start("run", "p.yaml")
    wait_for(holder.waited_for, 60)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    wait_for(lambda: not holder.waited_for(), 10)
    assert whole(loaded)
    holder.commit()
    loaded.run()
    loaded.check()
