"""Parts on disk: immutable files named by their content. The manifests that list them are rows of the store."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import shutil
import stat
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import xxhash

from mmetl.cache.fingerprints import CHUNK_BYTES, MISSING, FileCache, hash_file, seal, sealed, settle
from mmetl.cache.layout import REPLACED, UNFINISHED, part_path
from mmetl.cache.looks import look_of
from mmetl.contracts.artifact import Fingerprint, Manifest, Part
from mmetl.errors import TaskError
from mmetl.utils.text import why_not

FICLONE = 0x40049409  # Linux: share the blocks of another file until one of them is written

_attempts = itertools.count()


def _temp_name() -> str:
    return f"{os.getpid()}-{next(_attempts)}.tmp"


class PartStore:
    """The parts of one project. Every part is written under a temporary name and renamed when it is whole.

    Args:
        files: the project's file cache; it learns each part's signature, so that nothing is hashed twice.
    """

    def __init__(self, files: FileCache) -> None:
        self.files = files
        self._folders: set[str] = set()

    def temp(self, suffix: str = "") -> Path:
        """Return a new path, unique to this attempt, on the same file system as the parts."""
        return Path(f"{self._unfinished}/{_temp_name()}{suffix}")

    def adopt(self, temp: Path) -> tuple[Fingerprint, int]:
        """Fingerprint a finished temp file and move it to its place; return (fingerprint, bytes)."""
        path = os.fspath(temp)
        fingerprint = hash_file(path)
        return fingerprint, self._place(path, fingerprint)

    def has(self, fingerprint: Fingerprint) -> bool:
        """Tell whether the part is there and has the bytes that its name says."""
        return self.files.fingerprint(part_path(fingerprint)) == fingerprint

    def path(self, fingerprint: Fingerprint) -> Path:
        """Return where a part lies."""
        return Path(self.files.full(part_path(fingerprint)))

    def keep(self, path: str, fingerprint: Fingerprint) -> bool:
        """Make a part of an output file's bytes again; return False where the file has other bytes by now."""
        temp = os.fspath(self.temp())
        try:
            copy(self.files.full(path), temp)
        except FileNotFoundError:
            return False
        if hash_file(temp) != fingerprint:
            os.unlink(temp)
            return False
        self._place(temp, fingerprint)
        return True

    def take(self, path: str, *, cached: bool) -> Part:
        """Make a part of a written output file; the file stays where it is, and no later edit of it reaches the part.

        Args:
            path: the output, relative to the project.
            cached: False keeps no copy (`cache: false`): only the fingerprint is taken.

        Raises:
            TaskError: if the task did not write the file, or something that is none.
        """
        full = self.files.full(path)
        try:
            f = open(full, "rb", buffering=0, opener=_at_once)  # noqa: SIM115  closed below; a context manager would nest everything
        except FileNotFoundError:
            raise TaskError(
                f"it did not write its output '{path}'", help="outputs are relative to the project's folder"
            ) from None
        except IsADirectoryError:
            raise TaskError(
                f"its output '{path}' is not a file", help="declare each file that the task writes"
            ) from None
        except OSError as e:
            raise TaskError(f"its output '{path}' cannot be read: {why_not(e)}") from e
        with f:
            if not stat.S_ISREG(os.fstat(f.fileno()).st_mode):
                raise TaskError(f"its output '{path}' is a pipe or a device, not a file", help="write a file there")
            stable = settle(f.fileno())
            st = stable or os.fstat(f.fileno())
            if st.st_size < CHUNK_BYTES:
                data = f.read(CHUNK_BYTES)
                fingerprint = xxhash.xxh3_128_hexdigest(data)
                if cached:
                    self._keep_bytes(data, fingerprint)
            elif cached:
                temp = os.fspath(self.temp())
                copy(full, temp)
                fingerprint = hash_file(temp)
                self._place(temp, fingerprint)
            else:
                fingerprint = hash_file(full)
        executable = bool(st.st_mode & 0o100)
        self.files.put(path, fingerprint, stable, executable=executable)
        return Part(fingerprint, 0, st.st_size, 0, path, executable)

    def write_out(self, part: Part) -> None:
        """Write an output file from its part: aside, then renamed into place."""
        self.make_room(part.path)
        self._copy_out(self.files.full(part_path(part.fingerprint)), part)
        self._note(part)

    def move_out(self, temp: Path, part: Part) -> None:
        """Move a finished temporary file, of which no part is kept, to the place of an output."""
        self.make_room(part.path)
        try:
            os.rename(temp, self.files.full(part.path))
        except OSError as e:
            if e.errno != errno.EXDEV:  # a folder of outputs may be on another disk, by a link or a mount
                raise
            self._copy_out(os.fspath(temp), part)
            temp.unlink()
        self._note(part)

    def _copy_out(self, source: str, part: Part) -> None:
        full = self.files.full(part.path)
        temp = f"{full}.{_temp_name()}"
        try:
            copy(source, temp)
            _set_executable(temp, part.executable)
            os.rename(temp, full)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temp)
            raise

    def mend_mode(self, part: Part) -> None:
        """Make an output file that has the right bytes executable or not, as it was written."""
        _set_executable(self.files.full(part.path), part.executable)
        self._note(part)

    def _note(self, part: Part) -> None:
        with open(self.files.full(part.path), "rb") as f:
            self.files.put(part.path, part.fingerprint, settle(f.fileno()), executable=part.executable)

    def missing(self, manifest: Manifest) -> list[Part]:
        """Return the parts of a manifest that are not there, or not what they should be."""
        return [p for p in manifest.parts if not self.has(p.fingerprint)]

    def set_aside(self, path: str) -> str | None:
        """Move a file that mmETL did not write out of the way of an output; return where it is now, or None."""
        full = self.files.full(path)
        if not os.path.lexists(full):
            return None
        place = f"{REPLACED}/{path}"
        for n in itertools.count(1):
            if not os.path.lexists(self.files.full(place)):
                break
            place = f"{REPLACED}/{path}.{n}"
        self.make_room(place)
        shutil.move(full, self.files.full(place))
        return place

    def _keep_bytes(self, data: bytes, fingerprint: Fingerprint) -> None:
        """Write a small part under its own name.

        No temp file: a part whose signature is not known is hashed before it is trusted, so one that a kill left
        half-written is found and written anew. That halves the cost of a small output.
        """
        path = part_path(fingerprint)
        full = self.files.full(path)
        if self.files.seen.get(path) == fingerprint:
            return
        self.make_room(path)
        try:
            fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            if self.files.again(path) == fingerprint:
                return
            fd = os.open(full, os.O_WRONLY | os.O_TRUNC)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), full)
            seal(fd)
            self.files.put(path, fingerprint, sealed(fd))
        finally:
            os.close(fd)

    @cached_property
    def _unfinished(self) -> str:
        return self.folder(UNFINISHED)

    def _place(self, temp: str, fingerprint: Fingerprint) -> int:
        """Rename a whole temp file to its part's name; return its size in bytes."""
        path = part_path(fingerprint)
        full = self.files.full(path)
        if self.files.fingerprint(path) == fingerprint:
            size = os.stat(temp).st_size
            os.unlink(temp)
            return size
        self.make_room(path)
        with open(temp, "rb") as f:
            seal(f.fileno())
        os.rename(temp, full)
        st = sealed(full)
        self.files.put(path, fingerprint, st)
        return st.st_size if st else os.stat(full).st_size

    def make_room(self, path: str) -> None:
        """Make the folder that a file of the project is to lie in."""
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            self.folder(folder)

    def folder(self, path: str) -> str:
        """Make a folder of the project, once; return its absolute path."""
        full = self.files.full(path)
        if path not in self._folders:
            try:
                os.makedirs(full, exist_ok=True)
            except OSError as e:
                raise TaskError(f"the folder '{path}' cannot be made: {why_not(e)}") from e
            self._folders.add(path)
        return full


def _set_executable(path: str, executable: bool) -> None:
    """Let those execute a file who may read it, or nobody; the umask has decided who may read it."""
    mode = os.stat(path).st_mode & 0o777
    wanted = mode | (mode & 0o444) >> 2 if executable else mode & ~0o111
    if wanted != mode:
        os.chmod(path, wanted)


def copy(source: str, target: str) -> None:
    """Copy a file's bytes, sharing its blocks where the file system can. Never a hard link: users edit outputs."""
    with open(source, "rb") as src, open(target, "xb") as dst:
        try:
            fcntl.ioctl(dst.fileno(), FICLONE, src.fileno())
        except OSError:
            shutil.copyfileobj(src, dst, CHUNK_BYTES)


def sweep_unfinished(root: str) -> None:
    """Remove what killed runs left half-written. Only for the holder of the run lock."""
    shutil.rmtree(os.path.join(root, UNFINISHED), ignore_errors=True)


def remove_if_ours(files: FileCache, path: str, fingerprint: Fingerprint) -> bool:
    """Remove a file that still has the bytes that mmETL wrote; return False (and leave it) if it was changed.

    A path with a slash at its end is a folder that an engine keeps: it is removed if it still looks as that left it.
    """
    if path.endswith("/"):
        look = look_of(files.full(path))
        if look == fingerprint:
            shutil.rmtree(files.full(path))
            files.seen[path] = MISSING
        return look in {fingerprint, MISSING}
    found = files.again(path)
    if found == MISSING:
        return True
    if found != fingerprint:
        return False
    with contextlib.suppress(FileNotFoundError):
        os.unlink(files.full(path))
    files.put(path, MISSING, None)
    return True


def sync(paths: Iterable[str]) -> None:
    """Make files durable before the transaction that names them: one call for each file system (Linux), else one a file."""
    todo = list(paths)
    devices: dict[int, str] = {}
    for folder in {p[: p.rfind("/") + 1] or "." for p in todo}:
        with contextlib.suppress(FileNotFoundError):
            devices.setdefault(os.stat(folder).st_dev, folder)
    done = [_sync_all(folder) for folder in devices.values()]
    if all(done):
        return
    for path in todo:
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as f:
            os.fsync(f.fileno())


def _sync_all(folder: str) -> bool:
    """Make everything on a folder's file system durable; return whether that can be done here."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(folder, os.O_RDONLY)
    try:
        return hasattr(libc, "syncfs") and libc.syncfs(fd) == 0
    finally:
        os.close(fd)


def _at_once(path: str, flags: int) -> int:
    """Open without waiting for a writer, as a named pipe would."""
    return os.open(path, flags | os.O_NONBLOCK)
