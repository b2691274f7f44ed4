"""Fingerprints of files, inputs, recipes and pipelines, with a stat cache that never trusts a racy time."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import xxhash

from mmetl.contracts.artifact import Fingerprint
from mmetl.utils.hashing import canonical_encoder, canonical_json, fingerprint_text
from mmetl.utils.text import is_utf8, why_not

CHUNK_BYTES = 1 << 20
MANY = 1000  # paths that are looked at from the folder of the project
MISSING = "missing"
"""Stands for a file that is not there, where a fingerprint is expected."""

UNUSABLE = "! "
"""Begins what stands for a file that cannot be used."""


def mark_executable(fingerprint: Fingerprint) -> str:
    """Return what stands for an executable output, where one fingerprint is taken over several files."""
    return fingerprint + "x"


def unusable(why: str) -> Fingerprint:
    """Return what stands for a file that is there and cannot be used, in the place of its fingerprint."""
    return UNUSABLE + why


def trouble(fingerprint: Fingerprint) -> str:
    """Return why a file cannot be used; nothing for one that can, or that is not there."""
    return fingerprint[len(UNUSABLE) :] if fingerprint[:2] == UNUSABLE else ""


EMPTY = xxhash.xxh3_128_hexdigest(b"")
"""The fingerprint of an empty file."""

_pack: Callable[..., bytes] = struct.Struct("<5q").pack
_SIGNED = 1 << 63


def signature(st: os.stat_result) -> bytes:
    """Return (size, mtime, ctime, inode, device) as 40 bytes, to be compared for equality only."""
    inode = st.st_ino if st.st_ino < _SIGNED else st.st_ino - (1 << 64)
    return _pack(st.st_size, st.st_mtime_ns, st.st_ctime_ns, inode, st.st_dev)


def hash_file(path: str) -> Fingerprint:
    """Return the XXH3-128 of the bytes of a file, read in chunks."""
    with open(path, "rb", buffering=0) as f:
        data = f.read(CHUNK_BYTES)
        if len(data) < CHUNK_BYTES:
            rest = f.read(CHUNK_BYTES)
            if not rest:
                return xxhash.xxh3_128_hexdigest(data)
            data += rest
        state = xxhash.xxh3_128(data)
        while data := f.read(CHUNK_BYTES):
            state.update(data)
        return state.hexdigest()


def _tick_ns() -> int:
    """Return how coarse file times are: two writes this close may carry the same time."""
    resolution = time.clock_getres(getattr(time, "CLOCK_REALTIME_COARSE", time.CLOCK_REALTIME))
    return max(20_000_000, int(2e9 * resolution))


TICK_NS = _tick_ns()
COARSE_TICK_NS = 2_100_000_000  # file systems whose times are whole seconds (or two, as FAT's)


def is_racy(st: os.stat_result, hashed_ns: int) -> bool:
    """Tell whether a write right after the hash could have left the same signature.

    A write always sets ctime from the clock, so it is enough that ctime was older than one tick when the file was hashed.
    """
    tick = COARSE_TICK_NS if st.st_ctime_ns % 1_000_000_000 == 0 else TICK_NS
    return hashed_ns - st.st_ctime_ns < tick


SEALED_NS = 1_000_000_000_000_000_001  # an old time, in 2001, that no clock will give to a file again


def seal(fd: int) -> None:
    """Give a file inside the state folder a modification time that no write can produce.

    A cached signature is good at once only if any later write is sure to change it; see `is_racy`.
    """
    os.utime(fd, ns=(SEALED_NS, SEALED_NS))


def settle(fd: int) -> os.stat_result | None:
    """Do for an output file what `seal` does, keeping its time true to the microsecond.

    Any later write sets a time that is not before the last one, even within the same tick; so one nanosecond before the
    last write is a time that no write will set again.

    Returns:
        The file's stat, or None where the file system rounds times and the trick does not hold.
    """
    st = os.fstat(fd)
    odd = st.st_mtime_ns - 1
    try:
        os.utime(fd, ns=(st.st_atime_ns, odd))
    except PermissionError:  # written by another user, as containers do
        return None
    st = os.fstat(fd)
    return st if st.st_mtime_ns == odd else None


def sealed(path: str | int) -> os.stat_result | None:
    """Return the stat of a sealed file; None where the file system rounds times."""
    st = os.stat(path)
    return st if st.st_mtime_ns == SEALED_NS else None


class FileCache:
    """Fingerprints of files by path, each file looked at no more than once.

    Args:
        root: absolute project folder; paths are relative to it (an absolute path stays as it is).
        known: path -> (signature, fingerprint), from the store.

    Attributes:
        changes: what to write back to the store: path -> (signature, fingerprint), or None to forget it.
        executable: the seen files that their owner may execute.
        ours: the files that were written here, see `put`.
    """

    def __init__(self, root: str, known: dict[str, tuple[bytes, Fingerprint]]) -> None:
        self.root = root if root.endswith("/") else root + "/"
        self.known = known
        self.seen: dict[str, Fingerprint] = {}
        self.changes: dict[str, tuple[bytes, Fingerprint] | None] = {}
        self.executable: set[str] = set()
        self.ours: set[str] = set()
        self._racy: dict[str, bytes] = {}

    def has(self, path: str) -> bool:
        """Tell whether something is at a path now; what was seen there before does not count."""
        return os.path.lexists(self.full(path))

    def full(self, path: str) -> str:
        """Return the absolute path."""
        return path if path[:1] == "/" else self.root + path

    def observe(self, paths: Iterable[str], *, again: bool = False) -> None:
        """Look at each path not seen yet (or `again`): one stat; a read only where the signature is not the known one."""
        todo = [p for p in dict.fromkeys(paths) if again or p not in self.seen]
        if len(todo) < MANY:
            self._observe(todo, self.root, None)
            return
        at = os.open(self.root, os.O_RDONLY)  # the kernel walks down to the project once, not once a file
        try:
            self._observe(todo, "", at)
        finally:
            os.close(at)

    def _observe(self, paths: Iterable[str], root: str, at: int | None) -> None:
        seen, known, stat, pack = self.seen, self.known, os.stat, _pack
        executable = self.executable
        for path in paths:
            try:
                st = stat(path if path[:1] == "/" else root + path, dir_fd=at)
            except (FileNotFoundError, NotADirectoryError):
                seen[path] = MISSING
                continue
            except OSError as e:
                seen[path] = unusable(why_not(e))
                continue
            if st.st_mode & 0o100:
                executable.add(path)
            elif executable:
                executable.discard(path)
            cached = known.get(path)
            if cached is not None and st.st_ino < _SIGNED:
                sig = pack(st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, st.st_dev)
                if cached[0] == sig:
                    seen[path] = cached[1]
                    continue
            seen[path] = self._hash(path, st)

    def fingerprint(self, path: str) -> Fingerprint:
        """Return the file's fingerprint, or MISSING."""
        if path not in self.seen:
            self.observe((path,))
        return self.seen[path]

    def again(self, path: str) -> Fingerprint:
        """Look at a path once more, whatever was seen before."""
        self.observe((path,), again=True)  # never out of `seen` in between: other threads are reading it
        return self.seen[path]

    def signature_of(self, path: str) -> bytes:
        """Return the signature that an observed file had when its fingerprint was taken; empty for a missing one."""
        known = self.known.get(path)
        return known[0] if known else self._racy.get(path, b"")

    def size_of(self, path: str) -> int:
        """Return the bytes that an observed file had when its fingerprint was taken; 0 for a missing one."""
        return int.from_bytes(self.signature_of(path)[:8], "little")

    def moved(self, path: str, before: bytes, fingerprint: Fingerprint) -> bool:
        """Tell whether a file was written since it was observed, even if it has the same bytes again."""
        try:
            now = signature(os.stat(self.full(path)))
        except (FileNotFoundError, NotADirectoryError):
            return fingerprint != MISSING
        except OSError:
            return True
        return now != before or (path not in self.known and self.again(path) != fingerprint)

    def which_moved(self, before: Mapping[str, bytes], fingerprints: Mapping[str, Fingerprint]) -> list[str]:
        """Return those of the observed files that were written since; see `moved`.

        Args:
            before: path -> the signature that it had.
            fingerprints: path -> its fingerprint then.
        """
        known, root, stat, pack = self.known, self.root, os.stat, _pack
        found = []
        for path, sig in before.items():
            if path in known:
                try:
                    st = stat(path if path[:1] == "/" else root + path)
                    if sig == pack(st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino, st.st_dev):
                        continue
                except (OSError, struct.error):  # it is gone, or its number is large: the slow way tells
                    pass
            if self.moved(path, sig, fingerprints[path]):
                found.append(path)
        return found

    def put(self, path: str, fingerprint: Fingerprint, st: os.stat_result | None, *, executable: bool = False) -> None:
        """Note what a file that we wrote contains; `st` is None where its signature cannot be cached."""
        self.seen[path] = fingerprint
        self.ours.add(path)
        (self.executable.add if executable else self.executable.discard)(path)
        if st is None:
            self._forget(path)
        else:
            self.known[path] = self.changes[path] = (signature(st), fingerprint)

    def take_changes(self) -> dict[str, tuple[bytes, Fingerprint] | None]:
        """Return the changes so far and start a new list."""
        changes, self.changes = self.changes, {}
        return changes

    def _forget(self, path: str) -> None:
        if self.known.pop(path, None) is not None:
            self.changes[path] = None

    def look(self, path: str, st: os.stat_result, sig: bytes) -> Looked:
        """Return what a file contains that is not to be remembered here: one of a listing, see `trees`.

        Args:
            path: of the file.
            st: its state now.
            sig: the signature of that.
        """
        cached = self.known.get(path)
        if cached is not None and cached[0] == sig:
            return Looked(cached[1], sig, certain=True)
        return self._looked(path, st)

    def _hash(self, path: str, st: os.stat_result) -> Fingerprint:
        found = self._looked(path, st)
        if found.certain:
            self.known[path] = self.changes[path] = (found.signature, found.fingerprint)
        elif found.signature:
            self._forget(path)
            self._racy[path] = found.signature
        return found.fingerprint

    def _looked(self, path: str, st: os.stat_result) -> Looked:
        full = self.full(path)
        if not _is_file(st):
            return Looked(MISSING)
        if not is_utf8(path):
            return Looked(unusable("its name is not UTF-8"))  # it could not be a row of the state
        hashed_ns = time.time_ns()
        try:
            fingerprint = hash_file(full)
            after = os.stat(full)
        except (FileNotFoundError, NotADirectoryError):
            return Looked(MISSING)
        except OSError as e:
            return Looked(unusable(why_not(e)))
        sig = signature(after)
        return Looked(fingerprint, sig, certain=sig == signature(st) and not is_racy(after, hashed_ns))


class Looked(NamedTuple):
    """What a look into a file found.

    Attributes:
        fingerprint: of its bytes, or what stands for it.
        signature: what it had after it was hashed; empty where it was not.
        certain: whether a file with this signature still has these bytes, whenever it is seen again.
    """

    fingerprint: Fingerprint
    signature: bytes = b""
    certain: bool = False


def _is_file(st: os.stat_result) -> bool:
    return st.st_mode & 0o170000 == 0o100000


def combine(fingerprints: Iterable[str]) -> Fingerprint:
    """Return one fingerprint over an ordered list of them."""
    return xxhash.xxh3_128_hexdigest("\n".join(fingerprints).encode())


def fingerprint_recipe(recipe: Mapping[str, Any] | str) -> Fingerprint:
    """Return the fingerprint of a recipe: all that decides a task's output besides its inputs. A text is its canonical JSON."""
    return fingerprint_text("recipe/1", recipe if isinstance(recipe, str) else canonical_json(recipe))


def build_key(recipe: Fingerprint, inputs: Fingerprint) -> Fingerprint:
    """Return the key of a build in the index: one recipe over one set of inputs."""
    return combine(("build/1", recipe, inputs))


class _Model(Protocol):
    @property
    def model_fields_set(self) -> set[str]: ...


def fingerprint_pipeline(pipeline: _Model) -> Fingerprint:
    """Return the fingerprint of a `Pipeline`: of what it says, not of how it is written or ordered."""
    return fingerprint_text("pipeline/2", canonical_encoder(default=_said).encode(pipeline))


def _said(model: Any) -> dict[str, Any]:
    """Return what a model says beside its defaults: of 10,000 tasks these would be nine tenths of the text."""
    defaults = type(model).model_fields
    said = {name: getattr(model, name) for name in model.model_fields_set}
    return {name: value for name, value in said.items() if value != defaults[name].default}
