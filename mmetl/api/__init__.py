"""mmETL from Python: `Project`, its artifacts and its runs. The command line prints what is found here."""

from __future__ import annotations

from mmetl.api.artifact import Artifact
from mmetl.api.lineage.model import Lineage
from mmetl.api.project import Project
from mmetl.api.rows import Answer
from mmetl.api.run import Run, RunFailedError

__all__ = ["Answer", "Artifact", "Lineage", "Project", "Run", "RunFailedError"]
