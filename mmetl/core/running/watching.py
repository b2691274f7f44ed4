"""What a task reads, watched while it runs: what was written meanwhile is not what its inputs were said to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmetl.cache.trees import Tree
from mmetl.contracts.artifact import Fingerprint
from mmetl.contracts.plan import TaskNode
from mmetl.core.facts import Facts
from mmetl.core.sources import CodeWatch


class InputWatch:
    """Tells which inputs of one task were written since they were observed, even if they have the same bytes again.

    Args:
        facts: of its pipeline.
        node: the task.
        inputs: its inputs with their fingerprints, without what its globs stand for.
        trees: that.
        code: the code of its project; None where it runs none of that.
    """

    def __init__(
        self,
        facts: Facts,
        node: TaskNode,
        inputs: Mapping[str, Fingerprint],
        trees: Mapping[str, Tree],
        code: CodeWatch | None,
    ) -> None:
        self._facts, self._node, self._inputs, self._trees, self._code = facts, node, inputs, trees, code
        # Reading a SQLite journal touches its signature: of an optional file only the content is compared.
        files = (p for p in inputs if p[:5] != "task " and p not in node.optional)
        self._before = {p: facts.files.signature_of(p) for p in files}

    def moved(self, opened: Sequence[str] | None = None) -> list[str]:
        """Return the inputs that were written.

        Args:
            opened: of the files of globs those that the task opened: of all others the next run will tell. None: it may have opened all.
        """
        files, inputs = self._facts.files, self._inputs
        found = files.which_moved(self._before, inputs)
        found += self._listed(opened)
        found += [p for p in self._node.optional if p in inputs and files.again(p) != inputs[p]]
        return found + (self._code.moved() if self._code else [])

    def _listed(self, opened: Sequence[str] | None) -> list[str]:
        cache, root, node = self._facts.listed, self._facts.files.root, self._node
        if opened is None:
            trees = self._trees.items()
            return [p for glob, tree in trees for p in cache.moved(glob, tree, node.outputs, node.folder)]
        paths = [p for o in opened for p in (o, root + o)]  # a glob may be absolute, and name files of the project
        return [p for glob, tree in self._trees.items() for p in cache.moved_among(glob, tree, paths)]
