"""mmETL as an engine of the shared build-engine benchmark (`run.py` and `gen.py` of the bench folder).

    python benchmarks/engines.py --bench PATH/engines --peers ninja,doit,mmetl-py,floor-py --sizes 100,1000 --rounds 3
    python benchmarks/engines.py --bench PATH/engines --peers mmetl,mmetl-py,mmetl-doit --sizes 100 --behaviour

Everything after `--bench` is given to the benchmark's own command line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import ClassVar

BIN = Path(sys.executable).parent


def register(gen) -> None:
    """Add mmETL's engines to the peers that the benchmark knows."""

    class Mmetl(gen.Peer):
        """`shell.run` tasks, through `mmetl run`."""

        name = "mmetl"
        transform = "shell.run"
        help: ClassVar = [str(BIN / "mmetl"), "--help"]

        def params(self, g, n):
            return {"command": gen.sh(g, n), "inputs": g.inputs(n), "outputs": [g.output(n)]}

        def write(self, g, d):
            rows = ["version: 1\nname: bench\ntasks:\n"]
            for n in g.names:
                rows.append(f"  t{n}:\n    transform: {self.transform}\n    params:\n")
                rows += [f"      {k}: {json.dumps(v)}\n" for k, v in self.params(g, n).items()]
            (d / "pipeline.yaml").write_text("".join(rows))

        def cmd(self, jobs):
            return [str(BIN / "mmetl"), "run"] + (["-j", str(jobs)] if jobs > 1 else [])

    class MmetlPy(Mmetl):
        """`python.run` tasks, through `mmetl run`."""

        name, action, transform = "mmetl-py", "py", "python.run"

        def params(self, g, n):
            args = {"name": n, "out": g.output(n), "ins": g.inputs(n)}
            return {"function": "action:build", "args": args, "inputs": g.inputs(n), "outputs": [g.output(n)]}

    class MmetlPyCompiled(MmetlPy):
        """`python.run` tasks with the plan compiled beforehand, so that `cold` times the run alone."""

        name = "mmetl-py-compiled"

        def setup(self, d):
            import subprocess

            subprocess.run([str(BIN / "mmetl"), "validate"], cwd=d, check=True, capture_output=True)

    class MmetlDoit(MmetlPy):
        """The same tasks through plain `doit run` and a one-line dodo.py."""

        name = "mmetl-doit"
        help: ClassVar = [str(BIN / "doit"), "help"]

        def write(self, g, d):
            super().write(g, d)
            (d / "dodo.py").write_text("from mmetl.core.build import DOIT_CONFIG, task_pipelines\n")

        def cmd(self, jobs):
            return [str(BIN / "doit"), "run", "-v0"] + (["-n", str(jobs)] if jobs > 1 else [])


def main() -> None:
    if "--bench" not in sys.argv:
        sys.exit(__doc__)
    at = sys.argv.index("--bench")
    folder = sys.argv[at + 1]
    del sys.argv[at : at + 2]
    sys.path.insert(0, folder)
    import gen
    import run

    register(gen)
    run.main()


if __name__ == "__main__":
    main()
