"""A real OpenID Connect provider in a process of its own: `oidc-provider` from npm, by Node.js from Debian's packages."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent / "oidc"
SECRET = "the client's secret & more"


@contextmanager
def provider(address: str, *, conform: bool = True, host: str = "127.0.0.1") -> Iterator[str]:
    """The issuer of a provider that knows the server at `address`. `conform`: it tells of users at its userinfo endpoint alone."""
    subprocess.run([ROOT / "tools" / "get_node_modules.sh", HERE], check=True, timeout=300)
    told = json.dumps({"redirect": f"{address}/oidc/callback", "conform": conform, "host": host})
    command = ["node", str(HERE / "provider.mjs"), told]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.communicate(timeout=60)
