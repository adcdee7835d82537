"""Word of files that others change: told at once, whatever does not exist yet, whatever goes and comes back."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fairway.store.news import FileNews, KernelNews, LookingNews, open_news
from tests.waiting import until

linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


class Heard:
    """What was told, to be waited for."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._event = asyncio.Event()

    def __call__(self, path: str) -> None:
        self.paths.append(path)
        self._event.set()

    async def wait(self, *paths: str) -> None:
        """Until all of them were told since the last wait."""
        async with asyncio.timeout(60):
            while not set(map(str, paths)) <= set(self.paths):
                self._event.clear()
                await self._event.wait()
        self.paths.clear()

    async def settle(self) -> list[str]:
        """What is told before a change that is made now."""
        await asyncio.sleep(0.02)
        paths, self.paths = self.paths, []
        return paths


Scene = Callable[[FileNews, Heard], Awaitable[None]]


def play(kind: str, scene: Scene) -> None:
    async def run() -> None:
        heard, loop = Heard(), asyncio.get_running_loop()
        told = KernelNews(heard, loop) if kind == "kernel" else LookingNews(heard, loop, every_s=0.005)
        try:
            await scene(told, heard)
        finally:
            told.close()

    asyncio.run(run())


@pytest.fixture(params=[pytest.param("kernel", marks=linux), "looking"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def append(path: Path, text: str = "x") -> None:
    with path.open("a") as file:
        file.write(text)


def test_a_file_is_told_of_when_it_comes_grows_goes_and_comes_back(tmp_path: Path, kind: str) -> None:
    file, other = tmp_path / "file", tmp_path / "other"

    async def scene(told: FileNews, heard: Heard) -> None:
        told.follow(str(file))
        append(other)
        append(file)
        await heard.wait(file)
        append(file)
        await heard.wait(file)
        file.unlink()
        await heard.wait(file)
        append(tmp_path / "new")
        (tmp_path / "new").rename(file)
        await heard.wait(file)
        assert str(other) not in heard.paths
        told.leave(str(file))
        append(file)
        assert await heard.settle() == []

    play(kind, scene)


def test_folders_need_not_exist_yet_and_may_be_made_at_once_or_deleted_and_made_again(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "a" / "b" / "c" / "log"

    async def scene(told: FileNews, heard: Heard) -> None:
        told.follow(str(file))
        for _ in range(3):
            file.parent.mkdir(parents=True)
            append(file)
            await heard.wait(file)
            append(file)
            await heard.wait(file)
            subprocess.run(["rm", "-rf", str(tmp_path / "a")], check=True)
            await heard.wait(file)
        file.parent.parent.mkdir(parents=True)
        await heard.settle()
        file.parent.mkdir()
        append(file)
        await heard.wait(file)

    play(kind, scene)


@linux
def test_a_folder_that_moves_away_takes_its_files_along(tmp_path: Path) -> None:
    file = tmp_path / "a" / "log"

    async def scene(told: FileNews, heard: Heard) -> None:
        file.parent.mkdir()
        append(file)
        told.follow(str(file))
        file.parent.rename(tmp_path / "b")
        await heard.wait(file)
        append(tmp_path / "b" / "log")
        assert await heard.settle() == [], "that is another file now"
        file.parent.mkdir()
        append(file)
        await heard.wait(file)

    play("kernel", scene)


@linux
def test_the_end_of_a_process_is_told_by_the_file_that_it_held_open(tmp_path: Path) -> None:
    code = "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); print('open', flush=True); sys.stdin.read()"
    mark = tmp_path / "mark"

    async def scene(told: FileNews, heard: Heard) -> None:
        told.follow(f"{tmp_path}/")
        holder = subprocess.Popen([sys.executable, "-c", code, str(mark)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        await heard.wait(mark)
        os.close(os.open(mark, os.O_RDONLY))
        assert await heard.settle() == [], "who looks is no news"
        holder.kill()
        holder.communicate()
        await heard.wait(mark)

    play("kernel", scene)


@linux
def test_where_the_kernel_watches_no_more_folders_files_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(told: FileNews, heard: Heard) -> None:
        kernel = told
        assert isinstance(kernel, KernelNews)

        def refuse(*arguments: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(kernel, "_call", refuse)
        told.follow(str(tmp_path / "file"))
        append(tmp_path / "file")
        await heard.wait(tmp_path / "file")
        told.leave(str(tmp_path / "file"))
        append(tmp_path / "file")
        assert await heard.settle() == []

    play("kernel", scene)


@linux
def test_more_events_than_the_kernel_keeps_are_told_as_news_of_everything(tmp_path: Path) -> None:
    quiet = tmp_path / "quiet" / "log"
    quiet.parent.mkdir()
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())

    async def scene(told: FileNews, heard: Heard) -> None:
        told.follow(str(quiet))
        told.follow(f"{tmp_path}/")
        one, two = (tmp_path / "one").open("a", buffering=1), (tmp_path / "two").open("a", buffering=1)
        for _ in range(limit // 2 + 10):  # the same event twice in a row is one
            os.write(one.fileno(), b"x")
            os.write(two.fileno(), b"x")
        await heard.wait(quiet)
        one.close()
        two.close()

    play("kernel", scene)


@linux
def test_each_write_is_told_when_it_is_made(tmp_path: Path) -> None:
    file = tmp_path / "file"

    async def scene(told: FileNews, heard: Heard) -> None:
        told.follow(str(file))
        for _ in range(50):
            append(file)
            await heard.wait(file)

    play("kernel", scene)


def test_nothing_is_looked_at_while_nothing_is_followed(tmp_path: Path) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        told = LookingNews(lambda path: None, loop, every_s=0.001)
        told.follow(str(tmp_path / "file"))
        told.leave(str(tmp_path / "file"))
        await until(lambda: told._timer is None)
        told.close()
        opened = open_news(lambda path: None, loop)
        assert isinstance(opened, KernelNews if sys.platform == "linux" else LookingNews)
        opened.close()
        opened.close()

    asyncio.run(run())
