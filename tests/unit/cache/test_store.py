"""The state file: refused when it cannot be trusted, never overwritten, and brought up to date in numbered steps."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlite_utils
from harness import Project

from mmetl.cache.migrations import migrations
from mmetl.cache.store import APPLICATION_ID, SCHEMA_VERSION, STATE_DIR, Store, file_system
from mmetl.errors import RefusedError

STATE = ".mmetl/state.db"
START_OVER = "move it away to start over: outputs and parts are kept, tasks run again"


def newer(path: Path) -> None:
    Store(path.parent.parent).check()
    with sqlite3.connect(path) as db:
        db.execute(f"pragma user_version = {SCHEMA_VERSION + 1}")
        db.execute("pragma wal_checkpoint(truncate)")
    db.close()


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database, and long enough to be told so. " * 100)


def short_garbage(path: Path) -> None:
    path.write_bytes(b"hello")


def truncated(path: Path) -> None:
    store = Store(path.parent.parent)
    with store.transaction() as db:
        db.executemany("insert into files values (?, ?, ?)", [(f"f{n}", b"x" * 40, "y" * 32) for n in range(2000)])
    store.close()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 - 100])


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("create table theirs (x)")
        db.execute("insert into theirs values (1)")
    db.close()


DAMAGED = {
    "newer": (
        newer,
        f"'{{path}}' was written by a newer mmETL (schema {SCHEMA_VERSION + 1}, this one knows {SCHEMA_VERSION})",
        "upgrade mmETL, or move the file away to start over (parts are kept, tasks run again)",
    ),
    "garbage": (garbage, "the state file '{path}' is damaged (file is not a database)", START_OVER),
    "short garbage": (short_garbage, "the state file '{path}' is damaged (file is not a database)", START_OVER),
    "truncated": (truncated, "the state file '{path}' is damaged (database disk image is malformed)", START_OVER),
    "foreign": (foreign, "'{path}' is a SQLite file, but not mmETL's", "move it away; mmETL makes its own"),
}


@pytest.mark.parametrize("command", [["run"], ["status"], ["dry-run"], ["forget", "--all"], ["gc"]], ids=lambda c: c[0])
@pytest.mark.parametrize(("spoil", "what", "help_"), DAMAGED.values(), ids=DAMAGED.keys())
def test_refused_and_never_overwritten(project: Project, spoil, what: str, help_: str, command: list[str]) -> None:
    """Every command refuses the file with a way out, and leaves its bytes alone."""
    (project.root / STATE_DIR).mkdir()
    path = project.root / STATE
    spoil(path)
    before = path.read_bytes()
    done = project.fast(*command)
    assert (done.code, done.out) == (4, "")
    assert done.err == f"error: {what.format(path=path)}\nhelp: {help_}\n"
    assert path.read_bytes() == before
    assert not (project.root / "out").exists()


def test_way_out_of_a_damaged_file(project: Project) -> None:
    """With the state file moved away tasks run again, over the same outputs."""
    project.run()
    garbage(project.root / STATE)
    for leftover in (f"{STATE}-wal", f"{STATE}-shm"):
        (project.root / leftover).unlink(missing_ok=True)
    assert project.fast("run").code == 4
    (project.root / STATE).rename(project.root / "aside.db")
    assert project.run() == {"first": "ran", "second": "ran"}
    assert project.run() == {"first": "fresh", "second": "fresh"}


def test_reading_creates_nothing(project: Project) -> None:
    """A store that never ran answers "nothing", and stays away."""
    store = Store(project.root)
    assert not store.exists()
    assert (store.rows("select * from tasks"), store.version()) == ([], -1)
    assert project.fast("status").code == 2
    assert not (project.root / STATE_DIR).exists()


def test_dry_run_keeps_its_plan_and_nothing_else(project: Project) -> None:
    """Compiling is not paid for twice; no task, run, part or output appears."""
    project.fast("dry-run")
    store = Store(project.root)
    counts = {t: store.rows(f"select count(*) from {t}")[0][0] for t in ("plans", "tasks", "runs", "builds", "events")}
    assert counts == {"plans": 1, "tasks": 0, "runs": 0, "builds": 0, "events": 0}
    made = {p.name for p in (project.root / STATE_DIR).iterdir()} - {"state.db-wal", "state.db-shm"}
    assert made == {".gitignore", "state.db"}
    assert not (project.root / "out").exists()


def test_state_folder_is_ignored_by_git(project: Project) -> None:
    """Nobody commits state by accident, and a .gitignore that somebody wrote stays."""
    Store(project.root).check()
    assert project.read(f"{STATE_DIR}/.gitignore") == "*\n"
    project.write(f"{STATE_DIR}/.gitignore", "mine")
    Store(project.root).check()
    assert project.read(f"{STATE_DIR}/.gitignore") == "mine"


def schema(path: Path) -> set[str]:
    with sqlite3.connect(path) as db:
        found = {sql for (sql,) in db.execute("select sql from sqlite_master where sql is not null")}
    db.close()
    return found


def applied(path: Path) -> list[str]:
    with sqlite3.connect(path) as db:
        names = [n for (n,) in db.execute("select name from _sqlite_migrations order by rowid")]
        assert db.execute("pragma user_version").fetchone() == (SCHEMA_VERSION,)
        assert db.execute("pragma application_id").fetchone() == (APPLICATION_ID,)
        assert db.execute("pragma journal_mode").fetchone() == ("wal",)
    db.close()
    return names


@pytest.mark.parametrize("version", range(SCHEMA_VERSION))
def test_migrations_from_every_version(tmp_path: Path, version: int) -> None:
    """From any older version the same schema comes about, each step recorded once, in the order of their numbers."""
    new, older = Store(tmp_path / "new"), Store(tmp_path / "older")
    new.check()
    older.folder.mkdir(parents=True)
    names = [m.name for m in migrations.pending(sqlite_utils.Database(memory=True))]
    with sqlite3.connect(older.path) as db:
        db.execute(f"pragma application_id = {APPLICATION_ID}")
        if version:
            migrations.apply(sqlite_utils.Database(db), stop_before=names[version])
            db.execute(f"pragma user_version = {version}")
            db.execute("insert into manifests values ('kept', 'kept')")
    db.close()
    older.check()
    assert applied(older.path) == applied(new.path) == names
    assert [int(n.split("_")[0]) for n in names] == list(range(1, SCHEMA_VERSION + 1))
    assert schema(older.path) == schema(new.path)
    assert older.rows("select * from manifests") == ([("kept", "kept")] if version else [])


def test_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    """What a block wrote before it raised is not there."""
    store = Store(tmp_path)

    def write() -> None:
        with store.transaction() as db:
            db.execute("insert into manifests values ('a', 'b')")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write()
    assert store.rows("select * from manifests") == []
    with store.transaction() as db:
        db.execute("insert into manifests values ('a', 'b')")
    assert Store(tmp_path).rows("select * from manifests") == [("a", "b")]


def test_version_sees_other_connections(tmp_path: Path) -> None:
    """Another connection's commit is noticed, one's own is not."""
    store, other = Store(tmp_path), Store(tmp_path)
    store.check()
    before = store.version()
    with store.transaction() as db:
        db.execute("insert into manifests values ('a', 'b')")
    assert store.version() == before
    with other.transaction() as db:
        db.execute("insert into manifests values ('c', 'd')")
    assert store.version() != before


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:25 / /home rw shared:2 - nfs4 server:/home rw
31 30 0:26 / /home/local rw - xfs /dev/sdb rw
32 22 0:27 / /mnt/with\\040space rw - fuse.sshfs me@there:/ rw
33 22 0:28 / /homeward rw - btrfs /dev/sdc rw
34 22 0:29 / /two rw - ext4 /dev/sdd rw
35 34 0:30 / /two rw - 9p share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/data", "ext4"),
        ("/", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/project", "nfs4"),
        ("/home/local/project", "xfs"),
        ("/homeward/x", "btrfs"),
        ("/mnt/with space/x", "fuse.sshfs"),
        ("/two/x", "9p"),
    ],
)
def test_file_system_of_a_path(tmp_path: Path, path: str, kind: str) -> None:
    """The innermost mount counts, of two on one place the later."""
    (tmp_path / "mounts").write_text(MOUNTS)
    assert file_system(Path(path), str(tmp_path / "mounts")) == kind


def test_unknown_file_system(tmp_path: Path) -> None:
    """Where the system does not tell, nothing is refused."""
    assert file_system(tmp_path, str(tmp_path / "nowhere")) == ""


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
def test_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """SQLite's locks cannot be trusted there; nothing is made."""
    monkeypatch.setattr("mmetl.cache.store.file_system", lambda _: kind)
    with pytest.raises(RefusedError) as caught:
        Store(tmp_path).check()
    assert str(caught.value) == (
        f"error: '{tmp_path}/.mmetl' is on a network file system ({kind}), where SQLite's locks cannot be trusted\n"
        "help: keep the project on a local disk, or make '.mmetl' a link to a folder on one"
    )
    assert not (tmp_path / STATE_DIR).exists()


def test_state_folder_may_be_a_link(project: Project) -> None:
    """The way out of a network file system works: the state lies where the link leads."""
    (project.root / "elsewhere").mkdir()
    (project.root / STATE_DIR).symlink_to("elsewhere")
    assert project.run() == {"first": "ran", "second": "ran"}
    assert (project.root / "elsewhere/state.db").exists()
