"""The rig of the semantic tests, with a cluster as the project's target."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.kube.emulator import Emulator, Image, Node
from tests.semantics.rig import Rig

POOL = 'fw.pool(2, idle="10s")'
IMAGE = "fairway-tests:1"  # the interpreter of these tests, with all that is installed beside it


class Campus:
    """A cluster with a server in it, set up by `fairway up` from an image that has Fairway."""

    def __init__(self, folder: Path, nodes: Iterable[Node] = (Node(),), groups: Iterable[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.config = folder, folder / "config"
        self.cluster = Emulator(folder / "cluster", nodes=nodes, images=[Image(IMAGE, python=sys.executable)], pace=0.1, groups=groups)
        self.cluster.__enter__()
        self.write(folder)
        said = self.fairway("up")
        assert said.returncode == 0, said.stdout + said.stderr

    def close(self) -> None:
        self.cluster.__exit__(None, None, None)

    def settings(self, more: str = "") -> str:
        """The lines of a `fairway.toml` that make this cluster a project's target."""
        return f"""
target = "campus"
[targets.campus]
kind = "kubernetes"
kubeconfig = "{self.cluster.kubeconfig}"
image = "{IMAGE}"
server-image = "{IMAGE}"
requests-per-second = 1000
{more}
"""

    def write(self, folder: Path, more: str = "") -> None:
        (folder / "fairway.toml").write_text(self.settings(more))

    @property
    def variables(self) -> dict[str, str]:
        return {"FAIRWAY_CONFIG": str(self.config), "USER": "ada"}

    def fairway(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`fairway WORDS` in the folder of the cluster's own project."""
        command = [Path(sys.executable).with_name("fairway"), *words]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FAIRWAY_")}
        variables = kept | self.variables
        return subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=180, check=False)


class ClusterRig(Rig):
    """Everything runs in the cluster. `pooled`: steps run in warm workers, as a user would ask for where steps are small; else each
    attempt is a pod."""

    def __init__(self, root: Path, campus: Campus, *, pooled: bool) -> None:
        super().__init__(root)
        self.campus, self.pooled = campus, pooled
        campus.write(root)

    def write(self, source: str, name: str = "") -> Path:
        path = super().write(source, name)
        if self.pooled:
            text = re.sub(r"^@fw\.step$", f"@fw.step(pool={POOL})", path.read_text(), flags=re.MULTILINE)
            path.write_text(re.sub(r"^@fw\.step\((?!pool=)(?=\S)", f"@fw.step(pool={POOL}, ", text, flags=re.MULTILINE))
        return path

    def count_runs(self) -> int:
        """Of this project: the server has those of all."""
        return sum(each.project == self.root.name for each in self.workspace.all_summaries())

    def fairway(self, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return super().fairway(*words, **(self.campus.variables | variables))

    def start(self, *words: str | Path, **variables: str) -> subprocess.Popen[str]:
        return super().start(*words, **(self.campus.variables | variables))

    def python(self, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return super().python(*words, **(self.campus.variables | variables))
