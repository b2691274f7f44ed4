"""The pipelines of this project as doit tasks: `doit list`, `doit info`, `doit run` work here."""

from mmetl.core.build import DOIT_CONFIG, task_pipelines

__all__ = ["DOIT_CONFIG", "task_pipelines"]
