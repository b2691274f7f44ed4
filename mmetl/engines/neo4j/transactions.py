"""Transactions with a Neo4j server: one that failed is written again, if what stood in its way may pass by itself."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

from mmetl.utils.retry import retry

RETRIES, RETRY_S, LONGEST_S = 6, 0.5, 8.0
"""How often a transaction is written again; seconds before the first time, doubled each time, and before any: half a minute together."""

TRANSACTION_S = 600.0
"""Seconds after which the server ends a transaction: it waits for what others hold, or is one that we have lost."""

LONGEST = 200
"""Characters that are told of an error."""


def transactions(
    opened: Any, stopped: threading.Event, log: Callable[[str], object] = lambda _line: None
) -> Callable[..., None]:
    """Return what does some work in a transaction of a session, and gives the work its arguments, and `again`: was it tried before?

    Deadlocks, servers that are gone for a while or have lost their lead, and connections that break are tried again. So the work has to
    come to the same when it is done twice: when a connection breaks during a commit, nobody knows whether that was done.

    Args:
        opened: the session.
        stopped: set when nothing is to be tried any more.
        log: takes a line for each attempt that failed.
    """
    from neo4j.exceptions import DriverError, IncompleteCommit, Neo4jError

    def passes(error: Exception) -> bool:
        may_pass = isinstance(error, IncompleteCommit) or (
            isinstance(error, (DriverError, Neo4jError)) and error.is_retryable()
        )
        return may_pass and not stopped.is_set()

    def told(attempt: int, error: Exception) -> None:
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        log(f"attempt {attempt} of a transaction failed: {said[:LONGEST]}\n")

    def transact(work: Callable[..., None], *args: Any, **more: Any) -> None:
        tried = itertools.count()

        @retry(
            RETRIES,
            RETRY_S,
            on=(DriverError, Neo4jError),
            worth=passes,
            longest=LONGEST_S,
            sleep=stopped.wait,
            told=told,
        )
        def once() -> None:
            again = next(tried) > 0
            transaction = opened.begin_transaction(timeout=TRANSACTION_S)
            try:
                work(transaction, *args, again=again, **more)
                transaction.commit()
            except Exception:  # nothing else: see `session`
                transaction.close()
                raise

        once()

    return transact
