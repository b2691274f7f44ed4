"""Where things lie in the state folder; all paths are relative to the project."""

from __future__ import annotations

STATE_DIR = ".mmetl"
STATE_FILE = "state.db"
PARTS = f"{STATE_DIR}/parts"
UNFINISHED = f"{PARTS}/unfinished"
"""Parts being written; what a killed run leaves there is swept by the next."""
REPLACED = f"{STATE_DIR}/replaced"
"""Files that mmETL did not write and that lay in the place of an output."""
WRITING = f"{STATE_DIR}/writing"
"""What is about to be written into output folders: after a kill the next run knows these files for ours."""
SCRATCH = f"{STATE_DIR}/scratch"
LOGS = f"{STATE_DIR}/logs"


def part_path(fingerprint: str) -> str:
    """Return where a part lies."""
    return f"{PARTS}/{fingerprint[:2]}/{fingerprint}"


def log_path(run_id: str, pipeline: str, task: str) -> str:
    """Return where a task's log lies."""
    return f"{LOGS}/{run_id}/{pipeline}.{task}.log"
