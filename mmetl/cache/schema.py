"""The schema of the state file, as numbered migrations: statements, and how a new file gets them all."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Mapping, Sequence

from mmetl.cache.layout import STATE_DIR

# Tables with text keys are WITHOUT ROWID: one tree instead of two, and a third off the cost of a commit.

CORE = (
    """
    create table tasks (            -- the last success of each task
        pipeline text, task text,
        state text,                 -- done | started | failed | changed (an input changed while it ran)
        recipe text,
        inputs text,                -- one fingerprint over all inputs, compared first
        outputs text,               -- one fingerprint over all written files
        manifest text,              -- empty after `clean`
        parts text,                 -- fingerprints joined by spaces: what a no-op stats
        built_ms integer, run_id text,
        input_list text,            -- JSON {input: fingerprint}, read only to give reasons
        output_list text,           -- JSON {path: fingerprint}
        primary key (pipeline, task)
    ) without rowid""",
    """
    create table files (            -- the stat cache; signature is (size, mtime, ctime, inode, device), packed
        path text primary key, signature blob, fingerprint text
    ) without rowid""",
    "create table manifests (fingerprint text primary key, body text) without rowid",
    """
    create table builds (           -- the build index: recipe + inputs -> manifest
        key text primary key, recipe text, manifest text, watermark text,
        pipeline text, task text, made_ms integer, used_ms integer
    ) without rowid""",
    "create table watermarks (pipeline text, task text, manifest text, value text, primary key (pipeline, task))",
    "create table leftovers (path text primary key, fingerprint text, pipeline text, task text)",
    "create table recipes (fingerprint text primary key, body text) without rowid",
    "create table plans (key text primary key, checks text, body text, used_ms integer)",
    "create table settings (key text primary key, body text)",  # mmetl.yml, as read
    "create table plan_tasks (plan text, task text, body text, primary key (plan, task)) without rowid",
)

RUNS = (
    """
    create table runs (
        id text primary key, pipeline text,
        status text,                -- running | succeeded | failed | cancelled | crashed
        pid integer, started_ms integer, heartbeat_ms integer, ended_ms integer,
        arguments text,             -- JSON of what was asked for
        selected text               -- key into task_lists
    )""",
    "create index runs_started on runs (started_ms)",
    "create table task_lists (key text primary key, names text)",
    """
    create table task_runs (
        run_id text, pipeline text, task text, outcome text, reasons text, rows integer, bytes integer,
        seconds real, error text, primary key (run_id, pipeline, task)
    ) without rowid""",
    "create table events (id integer primary key, run_id text, at_ms integer, kind text, task text, data text)",
    "create index events_run on events (run_id)",
)

ITEMS = (
    # Further manifests of a build, by fingerprint; empty: it has none.
    "alter table tasks add column quarantine text default ''",
    "alter table tasks add column items text default ''",
    "alter table builds add column quarantine text default ''",
    "alter table builds add column items text default ''",
    "alter table task_runs add column counts text default '{}'",  # JSON {word: number of items}
    """
    create table unfinished (       -- units that a task has finished before it has finished itself (see contracts.items)
        basis text, input text, body text, made_ms integer, primary key (basis, input)
    ) without rowid""",
)

PROBES = ("create table probes (place text primary key, at_ms integer) without rowid",)

TREES = (
    """
    create table folders (          -- how the files of a folder that a glob stands for were last seen
        glob text, folder text, page text, files integer, size_bytes integer, unusable integer,
        signature blob,             -- over names and signatures; empty: these alone do not tell
        signatures blob,            -- one a file, in the order of the page
        primary key (glob, folder)
    ) without rowid""",
    "create table pages (fingerprint text primary key, body blob) without rowid",  # names, fingerprints, sizes
    "alter table tasks add column trees text default '{}'",  # JSON {glob: {folder: [page, files, bytes]}}
    f"delete from files where path not like '{STATE_DIR}/%'",
)

MIGRATIONS: Mapping[str, Sequence[str]] = {
    "0001_core": CORE,  # what decisions, restoring and plans need
    "0002_runs": RUNS,  # what `status` reads
    "0003_no_leftovers": ("drop table leftovers",),  # they are found by comparing records with the plan
    "0004_items": ITEMS,  # what rows that are set aside and item-wise tasks need
    "0005_probes": PROBES,  # when stores of others were last asked what they hold
    "0006_trees": TREES,  # what globs stand for, by folder; files outside of the state are looked at once more
}
MIGRATION_SET = "mmetl"

_RECORDS = (  # as sqlite-utils makes them
    """CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
)""",
    """CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name")""",
)


def create(connection: sqlite3.Connection, version: int) -> bool:
    """Give a state file without tables the whole schema; return whether it was one.

    Its migrations are recorded as sqlite-utils does: to import that takes longer than all of this, so it is left to older files.
    """
    connection.execute("begin immediate")
    new: bool = connection.execute("select count(*) from sqlite_master").fetchone() == (0,)
    if new:
        for sql in (*_RECORDS, *(sql for statements in MIGRATIONS.values() for sql in statements)):
            connection.execute(sql)
        now = str(dt.datetime.now(dt.UTC))
        applied = [(MIGRATION_SET, name, now) for name in MIGRATIONS]
        connection.executemany(
            "insert into _sqlite_migrations (migration_set, name, applied_at) values (?, ?, ?)", applied
        )
        connection.execute(f"pragma user_version = {version:d}")
    connection.execute("commit")
    return new
