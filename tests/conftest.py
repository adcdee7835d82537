"""A real PostgreSQL server for the session, and an empty schema in it for each test."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_SERVER = Path(__file__).parents[1] / "tools" / "postgres.py"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, _SERVER, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    assert url.startswith("postgresql://"), "the server did not start: see `python tools/postgres.py serve`"
    yield url
    server.stdin.close()
    assert server.wait(30) == 0


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    return f"{postgres_server}&schema=test%20{next(_numbers)}"
