"""What Lighthouse says of the pages, as it comes: a slow telephone on a slow network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.dashboard.site import Site, serving
from benchmarks.figures import OURS, Bar
from benchmarks.peers import ROOT
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session

NODE = Path(__file__).parents[1] / "dashboard" / "node"
CATEGORIES = ("performance", "accessibility", "best-practices")
LACKING = Bar("page-lighthouse", "what the worst page and category lack of Lighthouse's 100", 5, "points")
FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-background-networking"


def measure(session: Session) -> None:
    folder = session.project("web")
    session.run_once(session.ours(folder, "run", "web.py:gated", "--gate", str(folder)))
    try:
        if subprocess.run([ROOT / "tools" / "get_node_modules.sh", NODE], check=False).returncode:
            raise CommandError("npm could not install lighthouse")
        with serving(session.fairway, folder) as site:
            run = json.loads(site.get("/api/v1/runs", {"accept": "application/json", "accept-encoding": "identity"})[1])["items"][0]["run"]
            worst: tuple[float, str] = (0.0, "")
            pages = {"runs": "/runs", "run": f"/runs/{run}", "pipeline": "/pipelines/gated", "artifacts": "/artifacts", "system": "/system"}
            for name, path in pages.items():
                session.talk(f"lighthouse {name}")
                rounds = [look(site, path, session.work / "lighthouse.json") for _ in range(1 if session.quick else 3)]
                for category in CATEGORIES:
                    values = sorted(one[category] for one in rounds)
                    session.record(f"lighthouse-{name}-{category}", OURS, "points", [*values])
                    worst = max(worst, (100 - values[len(values) // 2], f"{name}, {category}"))
            session.record(LACKING.name, OURS, "points", [worst[0]], worst[1])
    except CommandError as error:
        session.record(LACKING.name, OURS, "points", [], str(error))


def look(site: Site, path: str, output: Path) -> dict[str, float]:
    """Scores from 0 to 100 by category."""
    script = str(NODE / "node_modules/lighthouse/cli/index.js")
    command = ["node", script, site.base + path, "--output=json", f"--output-path={output}", "--quiet", f"--chrome-flags={FLAGS}"]
    command += [f"--only-categories={','.join(CATEGORIES)}", "--extra-headers", json.dumps({"Cookie": site.cookie})]
    environment = {**os.environ, "CHROME_PATH": shutil.which("chromium") or ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180, env=environment)
    if done.returncode:
        raise CommandError(f"lighthouse: {done.stderr.strip()[-300:]}")
    found = json.loads(output.read_text())["categories"]
    return {category: 100 * (found[category]["score"] or 0.0) for category in CATEGORIES}


BENCHMARK = Benchmark("dashboard-lighthouse", "what Lighthouse says of the pages", (LACKING,), measure)
