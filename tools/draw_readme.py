"""Draw the README's pictures from real runs: python tools/draw_readme.py

docs/images/run.svg is the main example; docs/images/mend.svg is what the README says of breaking and mending, with the code and the edit
taken from the README itself. Each picture is what a terminal shows. Draw them on a quiet machine: they show times.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
WIDTH = 96
_BLOCK = re.compile(r"^```python\n# houses\.py(?P<how>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Scene:
    """A terminal that is being recorded: commands are run in `folder`, with runs kept in a home of their own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
        self._folder = folder
        variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR" and not name.startswith("FAIRWAY_")}
        variables |= {"FAIRWAY_HOME": str(home), "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
        self._variables = variables | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"}

    def play(self, command: str, status: int = 0, *, shown: bool = True) -> None:
        """Run the command and record what it shows. Ends this program if it does not end with `status`."""
        done = subprocess.run(
            command,
            shell=True,
            cwd=self._folder,
            env=self._variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != status:
            sys.exit(f"{command} ended with {done.returncode}\n{done.stdout}")
        if shown:
            self.say(command)
            self.console.print(Text.from_ansi(done.stdout.rstrip()))

    def say(self, words: str) -> None:
        """Record a line that somebody typed."""
        self.console.print(Text.assemble(("$ ", "bold green"), (words, "bold")))

    def save(self, name: str) -> None:
        """Write the picture."""
        drawn = self.console.export_svg(title="Fairway", theme=MONOKAI, unique_id=f"fairway-{name}")
        # Without the font from the network: a picture must not call home, and every system has a monospaced one.
        drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
        drawn = drawn.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace")
        IMAGES.mkdir(parents=True, exist_ok=True)
        target = IMAGES / f"{name}.svg"
        target.write_text(drawn, encoding="utf-8")
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} KB")


def draw_run(home: Path) -> None:
    """The main example, from nothing."""
    scene = Scene(ROOT, home)
    scene.play("fairway run examples/default_risk/pipeline.py")
    scene.save("run")


def draw_mend(folder: Path, home: Path) -> None:
    """The README's own pipeline: broken, mended, resumed, explained."""
    blocks = list(_BLOCK.finditer((ROOT / "README.md").read_text(encoding="utf-8")))
    written, edit = blocks[0]["text"], next(block["text"] for block in blocks if "edited" in block["how"])
    before, after = (part.rstrip("\n") for part in edit.split("# by\n"))
    if written.count(before) != 1:
        sys.exit("the README's edit does not fit its pipeline")
    file = folder / "houses.py"
    file.write_text("# houses.py\n" + written)
    scene = Scene(folder, home)
    scene.play("fairway run houses.py", shown=False)
    scene.play("fairway run houses.py --ks 0,1,4", 3)
    line = 1 + next(n for n, text in enumerate(file.read_text().splitlines()) if before in text)
    file.write_text(file.read_text().replace(before, after))
    scene.say(f"sed -i '{line}s|/ k|/ max(k, 1)|' houses.py")
    for command in ("fairway resume", "fairway why last load", "fairway why last 'error[1]'"):
        scene.play(command)
    scene.save("mend")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("home", "houses", "mended"):
            Path(folder, name).mkdir()
        draw_mend(Path(folder, "houses"), Path(folder, "mended"))
        draw_run(Path(folder, "home"))


if __name__ == "__main__":
    main()
