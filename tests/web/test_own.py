"""When a local server has nothing to do any more."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from jinja2 import Environment, FileSystemLoader

from fairway.engine.localserver import KEPT, LocalServer, find_server, make_folder, render_settings, save_private, stop_server
from fairway.engine.project import Project, load_project
from fairway.errors import ConflictError
from fairway.web.own import OwnFolder
from fairway.web.pages.compiled import keep_compiled


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = load_project(str(tmp_path))
    yield made
    stop_server(made.home)


def serve(project: Project, idle: str) -> tuple[subprocess.Popen[str], LocalServer]:
    """A local server that ends when nobody has used it for `idle` seconds."""
    folder = make_folder(project.home)
    save_private(folder, "settings.json", render_settings(project))
    words = ["--target", "local", "--home", project.home, "--settings", f"{folder}/settings.json", "--idle", idle]
    process = subprocess.Popen([sys.executable, "-m", "fairway.web", *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening on ")
    found = find_server(project.home)
    assert found is not None
    return process, found


def test_a_server_that_nobody_uses_ends(project: Project) -> None:
    process, server = serve(project, "3")
    assert process.wait(60) == 0
    assert find_server(project.home) is None
    assert server.pid == process.pid


def test_a_page_that_is_open_keeps_it(project: Project) -> None:
    process, server = serve(project, "3")
    link = http.client.HTTPConnection(server.url.rpartition("/")[2], timeout=60)
    link.request("GET", "/api/v1/events", headers={"Fairway-Token": server.token, "Accept": "text/event-stream"})
    page = link.getresponse()
    assert page.readline() == b": still here\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3.5)
    page.close()
    link.close()
    assert process.wait(60) == 0


def test_one_that_was_told_to_stay_stays(project: Project) -> None:
    save_private(make_folder(project.home), KEPT, "")
    process, server = serve(project, "0.1")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.4)
    stop_server(project.home)
    assert process.wait(60) == 0
    assert server.pid == process.pid


def test_it_runs_nothing_of_the_executor_and_no_blob_process_before_there_is_work(project: Project) -> None:
    process, _ = serve(project, "3600")
    assert psutil.Process(process.pid).children(recursive=True) == []
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_it_loads_nothing_that_only_a_cluster_needs(project: Project) -> None:
    names = [
        "lightkube",
        "obstore",
        "zstandard",
        "psycopg",
        "fairway.kube",
        "fairway.web.work",
        "fairway.web.blobserver",
        "fairway.executors.local",
    ]
    folder = make_folder(project.home)
    save_private(folder, "settings.json", render_settings(project))
    code = (
        "import sys, os\n"
        "from contextlib import AsyncExitStack\n"
        "import asyncio, json\n"
        "from fairway.web.options import read_options\n"
        "from fairway.web import server, own\n"
        "async def main():\n"
        "    options = read_options(sys.argv[1:], {})\n"
        "    own.OwnFolder(options.home)\n"
        "    async with AsyncExitStack() as stack:\n"
        "        await server.open_server(options, stack)\n"
        "        print(json.dumps(sorted(sys.modules)))\n"
        "asyncio.run(main())\n"
    )
    words = ["--target", "local", "--home", project.home, "--settings", f"{folder}/settings.json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(json.loads(done.stdout))
    assert loaded & {"fairway.web.app"}
    assert [name for name in names if name in loaded] == []


def test_two_servers_cannot_have_one_home(project: Project) -> None:
    first = OwnFolder(project.home)
    token = (Path(project.home) / "server" / "token").read_text()
    with pytest.raises(ConflictError, match="there is a local server"):
        OwnFolder(project.home)
    first.leave()
    second = OwnFolder(project.home)
    assert (Path(project.home) / "server" / "token").read_text() == token, "links and scripts of before still work"
    second.leave()


def test_templates_are_compiled_once_and_a_disk_that_keeps_nothing_is_no_matter(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "page.html").write_text("{{ 1 + 1 }}")
    folder = tmp_path / "kept"

    def render() -> str:
        made = Environment(loader=FileSystemLoader(tmp_path / "source"))
        keep_compiled(made, folder)
        return made.get_template("page.html").render()

    assert render() == "2"
    (kept,) = folder.iterdir()
    before = kept.stat().st_mtime_ns
    assert render() == "2"
    assert kept.stat().st_mtime_ns == before
    (tmp_path / "source" / "page.html").write_text("{{ 1 + 2 }}")
    assert render() == "3", "what has changed is compiled anew"
    kept.unlink()
    kept.mkdir()
    assert render() == "3"
    shutil.rmtree(folder)
    folder.write_text("")
    assert render() == "3"
