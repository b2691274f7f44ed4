"""What `connections:` of `mmetl.yml` may say: where a store of others is, and as whom mmETL goes there."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from mmetl.config.schema import Strict, Text, expected

_SECRET = re.compile(r"\$\{secret:[A-Za-z_][A-Za-z0-9_]*\}")
_SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
URI = rf"^(({'|'.join(re.escape(s) for s in _SCHEMES)})://\S+|\$\{{secret:.*)$"


def _is_secret(value: object) -> object:
    if value is not None and not (isinstance(value, str) and _SECRET.fullmatch(value)):
        raise _shown("write ${secret:NAME}, and set the environment variable NAME where mmetl runs")
    return value


def _uri(value: object) -> object:
    if isinstance(value, str) and "@" in value:
        raise _shown("leave user and password out of it: they have keys of their own")
    if not isinstance(value, str) or not re.match(URI, value):
        raise expected("a URI such as 'bolt://localhost:7687' or 'neo4j+s://example.org'")
    return value


def _shown(help_: str) -> PydanticCustomError:
    """Return the error for a value that must not be told: it is one that only its owner should see."""
    return PydanticCustomError("written_out", "{help}", {"help": help_})


class Neo4jConnection(Strict):
    """A Neo4j server.

    Attributes:
        kind: of server.
        uri: where it listens: `neo4j://host:7687`, or `bolt://` for one server of a cluster; `+s` for TLS, `+ssc` for TLS with a certificate that nobody has signed.
        user: who mmETL is there.
        password: `${secret:NAME}`; without one, the server is one that asks for none.
        database: which of the server's databases; empty: the user's own.
        ca: a file with the certificates of who may sign for the server (PEM), relative to the project; empty: those that the machine trusts.
    """

    kind: Literal["neo4j"]
    uri: Annotated[str, StringConstraints(pattern=URI), BeforeValidator(_uri)]
    user: Text = "neo4j"
    password: Annotated[str | None, BeforeValidator(_is_secret)] = None
    database: str = ""
    ca: str = ""

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.ca and "+s://" not in self.uri and not self.uri.startswith("${"):
            raise _shown(
                "`ca` is for a `uri` with TLS and a certificate that somebody has signed: `neo4j+s` or `bolt+s`"
            )
        return self

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values; secrets are still text."""
        return self.model_dump(mode="json")
