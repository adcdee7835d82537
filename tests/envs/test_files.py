"""Files that several processes make at once."""

import multiprocessing
from pathlib import Path

from fairway.envs.files import held, write_whole


def _add_one(path: Path, times: int) -> None:
    for _ in range(times):
        with held(path.with_suffix(".held")):
            path.write_text(str(int(path.read_text()) + 1))


def test_only_one_process_is_inside(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=_add_one, args=(counter, 50)) for _ in range(4)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert counter.read_text() == "200"


def test_a_file_is_written_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "file", "ä\n")
    write_whole(tmp_path / "new" / "file", "b\n")
    assert (tmp_path / "new" / "file").read_text(encoding="utf-8") == "b\n"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
