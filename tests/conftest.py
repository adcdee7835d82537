"""What all tests share: how examples are drawn; a real PostgreSQL server for the session, and an empty schema in it for each test.

Examples are the same in each run, and no clock judges one: what fails has been changed, not met by luck or on a busy machine. To look for
others: `make test ARGS='--hypothesis-profile=search'`.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("search"), derandomize=True)
settings.load_profile("same")

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
    assert server.wait(60) == 0


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    return f"{postgres_server}&schema=test%20{next(_numbers)}"
