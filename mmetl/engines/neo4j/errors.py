"""What is told of the errors of Neo4j's driver. No secret is in it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import Any

from mmetl.errors import TaskError

LONGEST = 300
"""Characters that are told of what a server says."""

_CODES = {
    "Neo.ClientError.Database.DatabaseNotFound": "has no such database",
    "Neo.DatabaseError.Schema.ConstraintCreationFailed": "cannot be made to hold each key of a label once",
    "Neo.ClientError.Schema.IndexAlreadyExists": "cannot be made to hold each key of a label once",
    "Neo.ClientError.Schema.ConstraintValidationFailed": "has a constraint that refuses this graph",
    "Neo.ClientError.Transaction.LockClientStopped": "ended a transaction that waited for what somebody else holds",
    "Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration": "ended a transaction that took too long",
}
"""Codes of errors that a user can mend -> what is wrong with the server."""


def told(error: Exception, connection: Mapping[str, Any]) -> TaskError:
    """Return what to say of an error of the driver: what is wrong, by the name of the connection, and how to mend it."""
    from neo4j.exceptions import AuthError, BrokenRecordError, DriverError, Neo4jError

    name = connection["name"]
    said = " ".join(str(getattr(error, "message", None) or error).split())[:LONGEST]
    if isinstance(error, AuthError):
        help_ = f"mend `user` or the secret of `password` of connection '{name}' in mmetl.yml"
        return TaskError(f"'{name}' does not let the user '{connection['user']}' in", help=help_)
    if isinstance(error, Neo4jError):
        wrong = _CODES.get(error.code or "", "refused")
        return TaskError(f"Neo4j '{name}' {wrong}: {said}")
    if isinstance(error, BrokenRecordError):
        return TaskError(f"'{name}' gave a row that cannot be read: {said}", help="return toString(...) of its values")
    if isinstance(error, (DriverError, OSError)):
        return _away(error, said, name, connection["uri"])
    return TaskError(f"'{name}': {said}")


def _away(error: Exception, said: str, name: str, uri: str) -> TaskError:
    """Return what to say of a server that cannot be talked with."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return TaskError(
                f"'{name}' at {uri} shows a certificate that is not to be trusted: {cause.verify_message}",
                help="is that the server? name who has signed for it in `ca`, or take any certificate by `+ssc`",
            )
        if isinstance(cause, ssl.SSLError):
            return TaskError(f"'{name}' cannot be reached at {uri}: {cause}", help="does it speak TLS there?")
    return TaskError(f"'{name}' cannot be reached at {uri}: {said}", help="is the server running there?")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it comes from."""
    while error is not None:
        yield error
        for one in getattr(error, "exceptions", ()):
            yield from _causes(one)
        error = error.__cause__
