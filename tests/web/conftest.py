"""One HTTP server for the whole room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.rig import Live


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    live = Live()
    yield live
    live.close()
