"""The doit adapter, the only importer of doit.

Correctness lives where plain `doit run` also passes. One task builder feeds `mmetl run` and `dodo.py`, and both ask the same
`decide`. doit's own database is mmETL's store: the backend answers from the records of the last success, and what doit would
save after a task has been committed by the action already.

    tasks       the task builder: `uptodate`, action, clean
    database    doit's checker and its database, answered from the store
    running     how `mmetl run` lets the tasks run
    dodo        what a `dodo.py` imports
"""

from mmetl.core.build.database import Backend
from mmetl.core.build.dodo import DOIT_CONFIG, task_pipelines
from mmetl.core.build.running import run_tasks

__all__ = ["DOIT_CONFIG", "Backend", "run_tasks", "task_pipelines"]
