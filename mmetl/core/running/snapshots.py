"""The source files of a task as they were observed: all of them, or those that changed since its last success."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mmetl.cache.trees import File, Tree
from mmetl.contracts.plan import TaskNode
from mmetl.contracts.transform import Changes, SourceFile
from mmetl.core.facts import Facts


def observed(facts: Facts, trees: Mapping[str, Tree], declared: Sequence[str]) -> Iterator[SourceFile]:
    """Yield the files of a task's sources: nothing is looked at again.

    Args:
        facts: what was observed.
        trees: what the task's globs stand for.
        declared: its sources, as paths or globs.
    """
    files = facts.files
    for source in declared:
        if source not in trees:
            yield SourceFile(source.removeprefix(files.root), files.size_of(source), files.fingerprint(source))
            continue
        for folder, page in trees[source].walk():
            named = folder.removeprefix(files.root)
            for name, file in page.items():
                yield SourceFile(named + name, file.size_bytes, file.fingerprint)


def changes(node: TaskNode, facts: Facts, trees: Mapping[str, Tree]) -> Changes | None:
    """Return what changed among the source files of a task; None where its last success did not read the same globs, and nothing else.

    Folders that are the same are not gone through.
    """
    before = facts.lists(node.name).trees
    if before.keys() != trees.keys() or node.files or node.optional or _overlap(before) or _overlap(trees):
        return None
    gone: list[str] = []
    now: list[SourceFile] = []
    for glob, tree in trees.items():
        for folder in before[glob].folders.keys() | tree.folders.keys():
            old, new = before[glob].folders.get(folder), tree.folders.get(folder)
            if old and new and old.page == new.page:
                continue
            named = folder.removeprefix(facts.files.root)
            was, is_ = before[glob].page(folder), tree.page(folder)
            gone += [named + name for name, file in was.items() if is_.get(name) != file]
            now += [_source(named + name, file) for name, file in is_.items() if was.get(name) != file]
    return Changes(gone, now, sum(t.size_bytes for t in trees.values()))


def _overlap(trees: Mapping[str, Tree]) -> bool:
    """Tell whether several globs list files of one folder: one of them may stand for a file that has left another."""
    return len({f for t in trees.values() for f in t.folders}) < sum(len(t.folders) for t in trees.values())


def _source(path: str, file: File) -> SourceFile:
    return SourceFile(path, file.size_bytes, file.fingerprint)
