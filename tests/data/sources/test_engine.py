"""DuckDB as Fairway runs it."""

from __future__ import annotations

import subprocess
import sys


def test_no_progress_is_drawn_into_the_logs_of_steps() -> None:
    """DuckDB takes a process without a script, as those of steps are, for a person who types."""
    asked = "SELECT current_setting('enable_progress_bar')"
    script = f'from fairway.data.sources.engine import connect; print(connect().sql("{asked}").fetchall())'
    made = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=180)
    assert made.stdout == "[(False,)]\n"
