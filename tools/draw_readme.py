"""Draw the README's picture from a real run: python tools/draw_readme.py [TARGET.svg]

Runs the main example in a fresh home, then looks at it, as the README's reader would; what the terminal shows becomes docs/images/run.svg.
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
TARGET = ROOT / "docs" / "images" / "run.svg"
WIDTH = 110
COMMANDS = (
    "fairway run examples/default_risk/pipeline.py",
    "fairway run examples/default_risk/pipeline.py --depths 3,6",
    "fairway artifacts cat last slices",
)


def main(target: Path) -> None:
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as home:
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(play(command, home)))
    target.parent.mkdir(parents=True, exist_ok=True)
    drawn = console.export_svg(title="Fairway", theme=MONOKAI, unique_id="fairway-run")
    # Without the font from the network: a picture must not call home, and every system has a monospaced one.
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL).replace(
        "Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace"
    )
    target.write_text(drawn, encoding="utf-8")
    print(f"{target}: {target.stat().st_size / 1000:.0f} KB")


def play(command: str, home: str) -> str:
    """What the command shows on a terminal of our width. Ends this program if it fails: the README wants no picture of an error."""
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    variables |= {"FAIRWAY_HOME": home, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    done = subprocess.run(
        command, shell=True, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{command} ended with {done.returncode}\n{done.stdout}")
    return done.stdout.rstrip()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
