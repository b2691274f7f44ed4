"""The compiled plan of an unchanged YAML, kept in the store, so that neither YAML nor pydantic is paid for twice."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mmetl
from mmetl.cache.fingerprints import FileCache
from mmetl.cache.python_files import listing_fingerprint, python_files
from mmetl.cache.store import Store
from mmetl.contracts.plan import Plan, TaskDetail, TaskNode
from mmetl.utils.hashing import fingerprint_json, sha256_hex, to_json, xxh3_hex
from mmetl.utils.time import now_ms

PLAN_FORMAT = 3


def plan_key(path: str, variables: Mapping[str, str]) -> str:
    """Return the name under which the plan of a pipeline file with these `--var` values is kept."""
    return fingerprint_json("plan/1", [path, dict(variables)])


def installation() -> str:
    """Return a word that changes when mmETL's code, Python, or any installed package does; it costs a few stats."""
    seen: list[Any] = [PLAN_FORMAT, sys.version, *_own_code()]
    # Installing, removing or upgrading a package renames folders in one of these.
    seen += [os.stat(p).st_mtime_ns for p in sys.path if p.endswith("-packages") and os.path.isdir(p)]
    return xxh3_hex(repr(seen).encode())


@functools.cache
def _own_code() -> list[tuple[str, int]]:
    """Return mmETL's files with their times: looked at once, since a process runs what it has loaded."""
    seen: list[tuple[str, int]] = []
    for folder, folders, names in os.walk(os.path.dirname(mmetl.__file__)):
        folders[:] = [f for f in folders if f != "__pycache__"]
        seen += [(n, os.stat(f"{folder}/{n}").st_mtime_ns) for n in names if n.endswith(".py")]
    return seen


def environment_fingerprint(value: str | None) -> str | None:
    """Return what stands for an environment variable's value: never the value, which may be private.

    State is copied and shown to others; from the XXH3 of a short text one could get that back.
    """
    return None if value is None else sha256_hex(value.encode(errors="surrogateescape"))


def load_plan(store: Store, key: str, files: FileCache, env: Mapping[str, str]) -> Plan | None:
    """Return the kept plan if nothing that went into it has changed, else None."""
    found = store.rows("select checks, body from plans where key = ?", (key,))
    if not found:
        return None
    checks = json.loads(found[0][0])
    files.observe(checks["files"])
    if (
        checks.get("racy", True)
        or checks["installation"] != installation()
        or any(files.seen[p] != f for p, f in checks["files"].items())
        or any(environment_fingerprint(env.get(n)) != f for n, f in checks["env"].items())
        or any(listing_fingerprint(python_files(files.root, d)) != f for d, f in checks.get("listings", {}).items())
    ):
        return None
    return plan_of(key, found[0][1])


def plan_of(key: str, text: str) -> Plan:
    """Return the plan that is kept as a text."""
    body = json.loads(text)
    return Plan(key, body["pipeline"], {row[0]: TaskNode._make(row) for row in body["tasks"]})


def save_plan(
    db: sqlite3.Connection,
    plan: Plan,
    details: Mapping[str, TaskDetail],
    recipes: Mapping[str, str],
    checks: Mapping[str, Any],
) -> None:
    """Keep a plan, with the details of its tasks and the components of their recipes, as JSON."""
    body = {"pipeline": plan.pipeline, "tasks": list(plan.tasks.values())}
    db.execute(
        "insert or replace into plans values (?, ?, ?, ?)",
        (plan.key, json.dumps({**checks, "installation": installation()}), json.dumps(body), now_ms()),
    )
    db.execute("delete from plan_tasks where plan = ?", (plan.key,))
    # In the order of their keys, which costs SQLite half of what any other order does.
    bodies = sorted((plan.key, task, to_json(detail)) for task, detail in details.items())
    db.executemany("insert into plan_tasks values (?, ?, ?)", bodies)
    db.executemany("insert or ignore into recipes values (?, ?)", sorted(recipes.items()))


def load_details(store: Store, plan: str, tasks: Iterable[str]) -> dict[str, TaskDetail]:
    """Return the details of some tasks of a kept plan."""
    wanted = set(tasks)
    if len(wanted) <= 100:
        marks = ",".join("?" * len(wanted))
        rows = store.rows(f"select task, body from plan_tasks where plan = ? and task in ({marks})", (plan, *wanted))
    else:
        rows = store.rows("select task, body from plan_tasks where plan = ?", (plan,))
    return {task: TaskDetail._make(json.loads(body)) for task, body in rows if task in wanted}


def plan_files(store: Store, plan: str) -> dict[str, str]:
    """Return the files that went into a kept plan, with their fingerprints."""
    found = store.rows("select checks from plans where key = ?", (plan,))
    return dict(json.loads(found[0][0])["files"]) if found else {}


def definition_of(store: Store, plan: str) -> str:
    """Return the fingerprint of the pipeline that a kept plan was made of: of what the YAML says, not of how it is written."""
    found = store.rows("select checks from plans where key = ?", (plan,))
    return str(json.loads(found[0][0]).get("definition", "")) if found else ""


def load_recipe(store: Store, fingerprint: str) -> dict[str, Any] | None:
    """Return the components of a recipe, or None if they are no longer kept."""
    found = store.rows("select body from recipes where fingerprint = ?", (fingerprint,))
    return dict(json.loads(found[0][0])) if found else None


def checks_of(files: FileCache, paths: Iterable[str], env: Mapping[str, str | None]) -> dict[str, Any]:
    """Return what a plan depends on: files and environment variables, each with its fingerprint."""
    wanted = list(dict.fromkeys(paths))
    files.observe(wanted)
    return {
        "files": {p: files.seen[p] for p in wanted},
        "env": {n: environment_fingerprint(v) for n, v in env.items()},
    }


def relative(root: Path, path: Path) -> str:
    """Return a path relative to the project where it lies inside, else absolute."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
