"""`clean`, `forget` and `gc`, without their parsing."""

from __future__ import annotations

from collections.abc import Sequence

from mmetl.cache.layout import REPLACED
from mmetl.cli.output import count, say, size, talk
from mmetl.contracts.plan import Plan
from mmetl.core.keep import Cleaned, clean_orphans, clean_task, collect, forget_task, locked, orphans, replaced
from mmetl.core.looking.find import find_task
from mmetl.core.project import Project
from mmetl.errors import ExitCode, UsageError


def _chosen(project: Project, tasks: Sequence[str]) -> list[tuple[Plan, str]]:
    if tasks:
        return [find_task(project, t) for t in tasks]
    plans = [project.plan(p) for p in project.pipeline_files()]
    return [(plan, t) for plan in plans for t in plan.tasks]


def clean(tasks: Sequence[str], *, gone: bool = False) -> int:
    """Remove manifests and written files; the next run restores them."""
    project = Project.open(".")
    if not project.store.exists():
        say("nothing to clean: nothing ran here yet")
        return ExitCode.DONE
    chosen = [] if gone and not tasks else _chosen(project, tasks)
    with locked(project, "mmetl clean"):
        done: list[Cleaned] = [clean_task(project, plan.pipeline, name) for plan, name in chosen]
        if gone:
            for pipeline, task, cleaned in clean_orphans(project):
                say(f"removed {pipeline}:{task}")
                done.append(cleaned)
    for path in (p for c in done for p in c.kept):
        talk(f"left {path}: it was changed since mmETL wrote it")
    removed = count(sum(len(c.removed) for c in done), "file")
    say(f"{removed} removed; the next run restores those of current tasks")
    return ExitCode.DONE


def forget(tasks: Sequence[str], *, everything: bool = False) -> int:
    """Drop what is known of tasks; the next run computes them."""
    if not tasks and not everything:
        raise UsageError("no task is named", help="name tasks, or say --all")
    if tasks and everything:
        raise UsageError("tasks are named, and --all was given", help="choose one")
    project = Project.open(".")
    gone = {f"{pipeline}:{task}": (pipeline, task) for pipeline, task in orphans(project)}
    known = [t for t in tasks if t not in gone]
    chosen = [gone[t] for t in tasks if t in gone]
    if known or everything:
        chosen += [(plan.pipeline, name) for plan, name in _chosen(project, known)]
    with locked(project, "mmetl forget"):
        for pipeline, name in chosen:
            forget_task(project, pipeline, name)
    say(f"{count(len(chosen), 'task')} forgotten; the next run computes {'it' if len(chosen) == 1 else 'them'}")
    return ExitCode.DONE


def gc(*, with_replaced: bool = False) -> int:
    """Remove what retention no longer keeps."""
    project = Project.open(".")
    kept = project.settings
    done = collect(project, days=kept.retention_days, builds=kept.retention_builds)
    if done.deferred:
        talk("parts are being read: they stay until the next time")
    say(f"{count(done.builds, 'build')} and {count(done.parts, 'part')} removed, {size(done.size_bytes)}")
    files, size_bytes = replaced(project, remove=with_replaced)
    if files and with_replaced:
        say(f"{count(files, 'file')} removed from {REPLACED}, {size(size_bytes)}")
    elif files:
        talk(
            f"{count(files, 'file')} in {REPLACED}, {size(size_bytes)}: in the way of an output once; --replaced removes"
        )
    return ExitCode.DONE
