from __future__ import annotations

import builtins
import sys
from pathlib import Path

import pytest

from fairway.serve.control.fleet import parse_ready, phases_of
from fairway.serve.package import open_package
from fairway.serve.replica.timing import load_timed
from tests.serve.replica.rig import replica

_LIBRARY = "import time\ntime.sleep(0.2)\n"
_SCRIPT = "import slow_library_of_ours\nimport time\ndef init():\n    time.sleep(0.1)\ndef run(data):\n    return data\n"


def test_importing_and_loading_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "slow_library_of_ours.py").write_text(_LIBRARY)
    (tmp_path / "score.py").write_text(_SCRIPT)
    real = builtins.__import__
    for least, most in ((0.2, 60.0), (0.0, 0.2)):  # the second time the library is there
        _, took = load_timed(open_package(str(tmp_path / "score.py")))
        assert least <= took["libraries"] < most and took["model"] >= 0.1
    assert builtins.__import__ is real
    sys.modules.pop("slow_library_of_ours")


def test_imports_are_as_always_again_after_one_that_failed(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text("import there_is_no_such_library\n\ndef run(data):\n    return data\n")
    real = builtins.__import__
    with pytest.raises(ModuleNotFoundError):
        load_timed(open_package(str(tmp_path / "score.py")))
    assert builtins.__import__ is real


def test_a_replica_that_is_ready_says_what_its_start_took(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "slow_library_of_ours.py").write_text(_LIBRARY)
    (folder / "score.py").write_text(_SCRIPT)
    with replica(folder / "score.py") as served:
        status, said = served.call("/health/ready", method="GET")
    took = dict(said["phases"])
    assert status == 200 and list(took) == ["libraries", "model", "warm-up"]
    assert took["libraries"] >= 0.2 and took["model"] >= 0.1


def test_what_is_not_known_of_a_start_is_the_processs() -> None:
    assert phases_of(1.0, {"model": 0.25, "image": 0.5}) == (("image", 0.5), ("process", 0.25), ("model", 0.25))
    assert phases_of(0.1, {"model": 0.25}) == (("process", 0.0), ("model", 0.1)), "clocks differ"
    assert parse_ready(b"HTTP/1.1 200 OK\r\n\r\n{}") == {} == parse_ready(b"HTTP/1.1 200 OK\r\n\r\n[") and parse_ready(b"") is None
    assert parse_ready(b"HTTP/1.1 503 No\r\n\r\n{}") is None
