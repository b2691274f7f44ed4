"""A real Neo4j for tests: its own test harness, from Maven, in a Java process that ends when nobody holds its input."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PASSWORD = "a password: 'of' tests"
FETCH_S = 900  # about 250 jars, from the network where Maven does not have them yet


def jars(cache: Path) -> Path | str:
    """Have Maven copy the server's jars, once for each `pom.xml`; return their folder, or why they cannot be had."""
    folder = cache / hashlib.sha256((HERE / "pom.xml").read_bytes()).hexdigest()[:16]
    done = folder / "done"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            return folder
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
        command = ["mvn", "--quiet", "--batch-mode", "--file", str(HERE / "pom.xml"), *goal]
        for profiles in (["-Pgds"], []):  # a server without the plugin is better than none
            try:
                made = subprocess.run(
                    [*command, *profiles], capture_output=True, text=True, timeout=FETCH_S, check=False
                )
            except subprocess.TimeoutExpired:
                return f"Maven took longer than {FETCH_S} s"
            if not made.returncode:
                done.touch()
                return folder
        return " ".join((made.stdout + made.stderr).split())[:500]


class Server:
    """A server that was started, on a free port of loopback.

    Args:
        folder: of its jars.
        data: a folder for what it keeps.
        options: of Java; the default is for little data, and a quick start.

    Attributes:
        pid: of its process.
        uri: where it listens; empty if it did not come up.
        said: what it said on its way.
    """

    def __init__(
        self,
        folder: Path,
        data: Path,
        options: Sequence[str] = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    ) -> None:
        self._driver: Any = None
        self._log = (data / "server.log").open("w+")
        command = ["java", *options, "-cp", f"{folder}/*", str(HERE / "Server.java")]
        self._process = subprocess.Popen(
            [*command, str(data), PASSWORD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        self.pid = self._process.pid
        self.uri = ""
        for line in self._process.stdout or ():
            if line.startswith("BOLT "):
                self.uri = line.split()[1].rstrip("/")
                break

    @property
    def said(self) -> str:
        self._log.seek(0)
        return self._log.read()[-500:]

    @property
    def port(self) -> int:
        return int(self.uri.rpartition(":")[2])

    def close(self) -> None:
        """Kill it: nobody wants its data any more, and to go by itself takes it twelve seconds."""
        if self._driver is not None:
            self._driver.close()
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def run(self, query: str, **parameters: Any) -> list[Sequence[Any]]:
        """Return the rows of a query, as lists."""
        import neo4j

        if self._driver is None:
            self._driver = neo4j.GraphDatabase.driver(self.uri, auth=("neo4j", PASSWORD))
        return list(self._driver.execute_query(query, parameters, result_transformer_=neo4j.Result.values))

    def plan(self, query: str, **parameters: Any) -> str:
        """Return how it would run a query, as text."""
        import neo4j

        with neo4j.GraphDatabase.driver(self.uri, auth=("neo4j", PASSWORD)) as driver:
            return str(driver.execute_query(f"EXPLAIN {query}", parameters).summary.plan)

    def clear(self) -> None:
        """Remove everything."""
        for (name,) in self.run("SHOW CONSTRAINTS YIELD name"):
            self.run(f"DROP CONSTRAINT `{name}`")
        self.run("MATCH (n) DETACH DELETE n")
