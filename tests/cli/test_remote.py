"""Every command against a real server in a process of its own: what runs there is prepared, watched, read and changed from here."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import fairway as fw
from fairway.engine.credentials import save_token
from fairway.engine.project import load_project
from fairway.engine.workspace import Workspace
from fairway.spec.event import RunStarted
from fairway.spec.graph import Graph, Node, StepDef
from fairway.spec.record import to_plain
from tests.cli.project import Project
from tests.web.process import ServerProcess

GATED = """
    import fairway as fw

    @fw.step
    def hold(folder: str) -> str:
        print("holding", flush=True)
        open(folder + "/begun", "w").close()
        return open(folder + "/gate").read()

    @fw.step
    def after(text: str) -> int:
        print("after", flush=True)
        return len(text)

    @fw.pipeline
    def gated(folder: str):
        return after(hold(folder))
    """


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    made = ServerProcess(tmp_path_factory.mktemp("server"), TOKEN="s3cret-value")
    made.start()
    yield made
    made.kill()


@pytest.fixture
def project(server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project whose runs go to the server where `--on campus` says so."""
    monkeypatch.setenv("FAIRWAY_TOKEN", server.token)
    made = Project(tmp_path / "project")
    made.write("fairway.toml", server.settings())
    yield made
    for row in server.api.get("/runs", status="running")["items"]:  # the next test needs the machine
        server.api.send("POST", f"/runs/{row['run']}/cancel", {})
        for gate in tmp_path.glob("*/gate"):
            with contextlib.suppress(OSError):
                os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        server.follow(row["run"], "RunEnded")


def last(project: Project) -> str:
    return project.ask("runs", "--on", "campus", "-n", "1", "-o", "json").data[0]["run"]


def fifo(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    os.mkfifo(folder / "begun")
    os.mkfifo(folder / "gate")
    return folder


def await_begun(folder: Path) -> None:
    """Return once the step behind the gate runs."""
    file = os.open(folder / "begun", os.O_RDONLY | os.O_NONBLOCK)
    poll = select.poll()
    poll.register(file, select.POLLHUP | select.POLLIN)
    assert poll.poll(20_000), "the step does not begin"
    os.close(file)


def client(project: Project, server: ServerProcess, *words: str) -> subprocess.Popen[str]:
    """`fairway WORDS` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "fairway", *words],
        cwd=project.root,
        env=server.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_pipeline_runs_there_as_it_does_here(project: Project) -> None:
    there = project.ask("run", "flow.py", "--count", "4", "--on", "campus")
    here = project.ask("run", "flow.py", "--count", "4")
    assert (there.status, there.out) == (0, 'result  "12"\n') == (here.status, here.out)
    assert "✓ total" in there.err
    assert "look: fairway --on campus show" in there.err


def test_both_targets_give_the_same_keys_and_the_same_artifacts(project: Project) -> None:
    project.ask("run", "flow.py", "--count", "3", "--on", "campus")
    project.ask("run", "flow.py", "--count", "3")
    found = []
    for target in ("local", "campus"):
        workspace = Workspace(load_project(str(project.root), overrides={"target": target}))
        state = workspace.state(workspace.get_run("last"))
        found.append({task: (item.key, item.outputs) for *place, item in state.tasks() for task in [tuple(place)]})
        workspace.close()
    assert found[0] == found[1]


def test_runs_there_are_not_runs_here(project: Project) -> None:
    project.ask("run", "flow.py", "--on", "campus")
    assert project.ask("runs").text.startswith("nothing has been run here yet")
    assert last(project)


def test_a_run_is_read_with_the_commands_of_the_laptop(project: Project) -> None:
    project.ask("run", "flow.py", "--count", "2", "--on", "campus", "--name", "mine", "--no-cache")
    run = last(project)
    for words, expected in (
        (("show", run), "✓  train"),
        (("show", run, "train[1]"), "✓ train[1]  succeeded"),
        (("params", run), "count  2"),
        (("artifacts", "ls", run), "report.result"),
        (("artifacts", "cat", run, "total"), "2"),
        (("why", run, "load"), "load ran"),
        (("graph", run, "-o", "mermaid"), "flowchart"),
        (("show", "mine", "-o", "json"), '"status": "succeeded"'),
    ):
        said = project.ask("--on", "campus", *words)
        assert said.status == 0, said.text
        assert expected in said.out, words


def test_logs_are_read_and_artifacts_fetched(project: Project) -> None:
    project.write(
        "talk.py",
        """
        import fairway as fw

        @fw.step
        def say(n: int) -> bytes:
            print("said", n)
            return b"x" * 300_000

        @fw.pipeline
        def talk():
            return say(fw.each([1, 2]))
        """,
    )
    project.ask("run", "talk.py", "--on", "campus")
    assert project.ask("logs", "--on", "campus").out == "say[0]  said 1\nsay[1]  said 2\n"
    assert project.ask("logs", "last", "say.1", "-f", "--on", "campus").out == "said 2\n"
    said = project.ask("artifacts", "get", "last", "say.0", "--to", "got.bin", "--on", "campus")
    assert said.status == 0, said.text
    assert (project.root / "got.bin").read_bytes() == b"x" * 300_000


def test_what_differs_between_two_runs_there_is_said_with_their_code(project: Project) -> None:
    project.ask("run", "flow.py", "--on", "campus")
    first = last(project)
    project.edit("helpers.py", "return x * SCALE", "return x * SCALE + 1")
    project.ask("run", "flow.py", "--on", "campus")
    import shutil

    shutil.rmtree(project.root / ".fairway" / "bundles")  # what is compared is the server's
    said = project.ask("diff", first, "last", "--on", "campus")
    assert "return x * SCALE + 1" in said.out, said.text
    assert "its code was edited" in project.ask("why", "last", "train.0", "--on", "campus").out
    assert "came from the cache" in project.ask("why", "last", "load", "--on", "campus").out


def test_labels_are_changed_there(project: Project) -> None:
    project.ask("run", "flow.py", "--on", "campus")
    run = last(project)
    assert project.ask("tag", run, "good", "--on", "campus").status == 0
    assert project.ask("note", run, "as expected", "--on", "campus").status == 0
    assert project.ask("note", run, "--on", "campus").out == "as expected\n"
    (row,) = [row for row in project.ask("runs", "--tag", "good", "-o", "json", "--on", "campus").data if row["run"] == run]
    assert (row["tags"], row["note"], row["created_by"], row["target"]) == (["good"], "as expected", "ann", "campus")
    assert project.ask("archive", run, "--on", "campus").status == 0
    assert run not in project.ask("runs", "--on", "campus").out


def test_a_task_is_done_again_here_with_what_it_read_there(project: Project) -> None:
    project.ask("run", "flow.py", "--on", "campus")
    import shutil

    shutil.rmtree(project.root / ".fairway")
    done = subprocess.run(
        [sys.executable, "-m", "fairway", "rerun", "last", "total", "--on", "campus"],
        cwd=project.root, env=dict(os.environ), capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the same as recorded" in done.stderr


def test_what_failed_there_is_resumed_with_edited_code(project: Project) -> None:
    project.write(
        "shaky.py",
        """
        import fairway as fw

        @fw.step
        def sure(x: int) -> int:
            return x

        @fw.step
        def shaky(x: int) -> int:
            raise ValueError("not yet")

        @fw.pipeline
        def shaky_flow(x: int = 5):
            return shaky(sure(x))
        """,
    )
    failed = project.ask("run", "shaky.py", "--on", "campus")
    assert failed.status == 3
    assert "ValueError: not yet" in failed.err
    assert "shaky.py" in failed.err, "the user's own file and line"
    project.edit("shaky.py", 'raise ValueError("not yet")', "return x + 1")
    resumed = project.ask("resume", "--on", "campus")
    assert (resumed.status, resumed.out) == (0, "result  6\n"), resumed.text
    assert project.ask("show", "--on", "campus", "-o", "json").data["status"] == "succeeded"
    assert project.ask("resume", "--on", "campus").status == 2


def test_a_detached_run_goes_on_and_is_cancelled_from_elsewhere(project: Project, tmp_path: Path) -> None:
    project.write("gated.py", GATED)
    folder = fifo(tmp_path / "held")
    said = project.ask("run", "gated.py", "--folder", str(folder), "--on", "campus", "--detach")
    run = said.out.strip()
    assert said.status == 0
    assert f"logs -f {run}" in said.err
    await_begun(folder)
    assert "is running" in project.ask("resume", run, "--on", "campus").err
    assert project.ask("cancel", run, "--on", "campus").status == 0
    assert project.ask("show", run, "--on", "campus", "-o", "json").data["status"] == "cancelled"


def test_only_a_run_elsewhere_can_be_detached(project: Project) -> None:
    said = project.ask("run", "flow.py", "--detach")
    assert said.status == 2
    assert "cannot be detached" in said.err


def test_lines_come_while_they_are_written_each_with_its_task(project: Project, server: ServerProcess, tmp_path: Path) -> None:
    project.write("gated.py", GATED)
    folder = fifo(tmp_path / "held")
    project.ask("run", "gated.py", "--folder", str(folder), "--on", "campus", "--detach")
    await_begun(folder)
    process = client(project, server, "logs", "-f", "--on", "campus")
    assert process.stdout is not None
    assert process.stdout.readline() == "hold  holding\n"
    (folder / "gate").write_text("open")
    assert process.stdout.readline() == "after  after\n"
    process.communicate(timeout=180)
    assert process.returncode == 0


def test_a_watch_survives_the_death_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ServerProcess(tmp_path / "server")
    server.start()
    project = Project(tmp_path / "project")
    project.write("fairway.toml", server.settings())
    project.write("gated.py", GATED)
    folder = fifo(tmp_path / "held")
    process = client(project, server, "run", "gated.py", "--folder", str(folder), "--on", "campus")
    await_begun(folder)
    server.kill()
    server.start()
    try:
        await_begun(folder)
        (folder / "gate").write_text("open")
        out, err = process.communicate(timeout=180)
        assert (process.returncode, out) == (0, "result  4\n"), err
        assert "Traceback" not in err
    finally:
        process.kill()
        server.kill()


def test_ctrl_c_once_cancels_the_run_there(project: Project, server: ServerProcess, tmp_path: Path) -> None:
    project.write("gated.py", GATED)
    folder = fifo(tmp_path / "held")
    process = client(project, server, "run", "gated.py", "--folder", str(folder), "--on", "campus")
    await_begun(folder)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert "Ctrl-C again stops watching" in err
    assert project.ask("show", "--on", "campus", "-o", "json").data["status"] == "cancelled"


STUBBORN = """
    import signal
    import fairway as fw

    @fw.step
    def stubborn(folder: str) -> str:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open(folder + "/begun", "w").close()
        return open(folder + "/gate").read()

    @fw.pipeline
    def stubborn_flow(folder: str):
        return stubborn(folder)
    """


def test_ctrl_c_twice_stops_watching_and_says_how_to_go_on(project: Project, server: ServerProcess, tmp_path: Path) -> None:
    project.write("stubborn.py", STUBBORN)
    folder = fifo(tmp_path / "held")
    process = client(project, server, "run", "stubborn.py", "--folder", str(folder), "--on", "campus")
    await_begun(folder)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    before = ""
    while "Ctrl-C again" not in before:
        before += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert "not watching any more" in err
    assert f"--on campus logs -f {last(project)}" in err


def test_a_terminal_that_is_closed_leaves_the_run_alone(project: Project, server: ServerProcess, tmp_path: Path) -> None:
    project.write("gated.py", GATED)
    folder = fifo(tmp_path / "held")
    process = client(project, server, "run", "gated.py", "--folder", str(folder), "--on", "campus")
    await_begun(folder)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=180)
    run = last(project)
    assert project.ask("show", run, "--on", "campus", "-o", "json").data["status"] == "running"
    (folder / "gate").write_text("open")
    assert server.follow(run, "RunEnded")[-1]["event"]["status"] == "succeeded"


def refused(project: Project, *words: str) -> str:
    """What a submit that cannot run is refused with; nothing has been started."""
    before = len(project.ask("runs", "--on", "campus", "-o", "json").data)
    said = project.ask("run", *words, "--on", "campus")
    assert said.status == 2, said.text
    assert len(project.ask("runs", "--on", "campus", "-o", "json").data) == before
    return said.err


def test_what_no_machine_there_can_give_is_refused_at_once(project: Project) -> None:
    project.write(
        "wide.py",
        "import fairway as fw\n\n@fw.step(cpu=4000)\ndef wide() -> int:\n    return 1\n\n@fw.pipeline\ndef flow():\n    return wide()\n",
    )
    said = refused(project, "wide.py")
    assert "step 'wide' asks for 4000 cpu" in said
    assert "wide.py:" in said


def test_a_secret_is_there_or_the_run_is_refused_at_once(project: Project) -> None:
    text = """
        import fairway as fw

        @fw.step
        def use(token: str) -> int:
            return len(token)

        @fw.pipeline
        def flow():
            return use(fw.secret("{name}"))
        """
    project.write("known.py", text.replace("{name}", "TOKEN"))
    said = project.ask("run", "known.py", "--on", "campus")
    assert (said.status, said.out) == (0, "result  12\n"), said.text
    project.write("unknown.py", text.replace("{name}", "NOBODYS"))
    words = refused(project, "unknown.py")
    assert "has no secret 'NOBODYS'" in words
    assert "fairway secret set NOBODYS --on campus" in words


def test_nothing_is_sent_without_a_token_and_a_wrong_one_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRWAY_CONFIG", str(project.root / "config"))
    monkeypatch.delenv("FAIRWAY_TOKEN")
    said = project.ask("runs", "--on", "campus")
    assert (said.status, "you have no token" in said.err) == (2, True)
    monkeypatch.setenv("FAIRWAY_TOKEN", "u1.ann." + "0" * 48)
    said = project.ask("runs", "--on", "campus")
    assert (said.status, "no valid token" in said.err) == (2, True), said.text


def test_a_kept_token_is_used(project: Project, server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRWAY_CONFIG", str(project.root / "config"))
    monkeypatch.delenv("FAIRWAY_TOKEN")
    path = Path(save_token(server.url, server.token))
    assert path.stat().st_mode & 0o777 == 0o600
    assert project.ask("runs", "--on", "campus").status == 0


def test_a_project_may_send_its_runs_elsewhere_without_being_asked(project: Project, server: ServerProcess) -> None:
    project.write("fairway.toml", 'target = "campus"\n\n' + server.settings())
    said = project.ask("run", "flow.py")
    assert said.status == 0, said.text
    assert "--on" not in said.err
    assert "✓ succeeded" in project.ask("show").out
    assert project.ask("runs", "--on", "local").text.startswith("nothing has been run here yet")


def test_the_target_may_stand_before_the_command(project: Project) -> None:
    said = project.ask("--on", "campus", "run", "flow.py", "--count", "6")
    assert (said.status, said.out) == (0, 'result  "30"\n'), said.text
    assert project.ask("--on", "campus", "runs", "-o", "json").data[0]["params"] == {"count": 6}
    assert "is no cluster" in project.ask("--on", "campus", "up").err
    assert project.ask("--on", "campus", "runs", "--on", "local").text.startswith("nothing has been run here yet")


def test_a_driver_that_does_not_get_on_says_why(project: Project, server: ServerProcess) -> None:
    digest, run = "ab" * 32, "20261124-081503-x7kq3"
    server.api.call("PUT", f"/blobs/bundle/{digest}", body=b"not a bundle at all")
    step = StepDef("load", module="flow", qualname="load", code="c0de")
    started = RunStarted(run, Graph("flow", steps={"load": step}, nodes=(Node("load", "load"),)), {}, digest, 1.0)
    server.api.send("POST", "/runs", {"started": to_plain(started)})
    while not server.api.get(f"/runs/{run}")["problem"]:
        server.api.call("GET", f"/runs/{run}/events", query={"after": 2**40, "wait": 1}, timeout_s=10)  # it rings when there is news
    said = project.ask("show", run, "--on", "campus")
    assert "the server has trouble with this run, and tries again: the bundle abababababab arrived damaged" in said.out, said.text
    assert b"the driver stopped" in Workspace(load_project(str(project.root), overrides={"target": "campus"})).streams.read(
        f"{run}/driver/log"
    )
    assert project.ask("cancel", run, "--on", "campus").status == 0


def test_a_target_that_is_not_there_is_named(project: Project) -> None:
    said = project.ask("show", "--on", "nowhere")
    assert said.status == 2
    assert "there is no target 'nowhere'" in said.err


def test_what_nobody_needs_is_deleted_there(project: Project) -> None:
    project.ask("run", "flow.py", "--on", "campus")
    run = last(project)
    plan = project.ask("gc", "--run", run, "--dry-run", "-o", "json", "--on", "campus").data
    assert plan["runs"] == [run]
    assert project.ask("show", run, "--on", "campus").status == 0, "a dry run deletes nothing"
    said = project.ask("gc", "--run", run, "--yes", "--on", "campus")
    assert "deleted 1 run" in said.err, said.text
    assert project.ask("show", run, "--on", "campus").status == 2


def test_the_python_client_runs_and_reads_there(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    monkeypatch.syspath_prepend(str(project.root))
    from importlib import import_module

    run = fw.run(import_module("flow").flow, count=5, on="campus")
    assert (run.status, run.outputs["result"].load()) == ("succeeded", "20")
    assert fw.runs.on("campus")[run.id].tasks["train[4]"].outputs["result"].load() == 8
    project.forget()


class Listener:
    """A web server that keeps what it is sent."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.arrived = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.bodies.append((self.path, json.loads(body)))
                self.send_response(204)
                self.end_headers()
                outer.arrived.set()

            def log_message(self, *_: Any) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_webhooks_are_the_servers_business_and_commands_are_the_clients(server: ServerProcess, project: Project) -> None:
    listener = Listener()
    url = f"http://127.0.0.1:{listener.server.server_address[1]}"
    with (server.folder / "dotenv").open("a") as file:
        file.write(f"HOOK_URL={url}/secret-path\n")
    project.write(
        "fairway.toml",
        server.settings()
        + '[[hooks]]\non = ["succeeded"]\nwebhook = "${HOOK_URL}"\n'
        + f'[[hooks]]\non = ["succeeded"]\ncommand = ["{sys.executable}", "-c", "open(\'told\', \'w\')"]\n',
    )
    said = project.ask("run", "flow.py", "--on", "campus", "--detach")
    assert listener.arrived.wait(60), "nobody told the webhook, though nobody watches"
    path, body = listener.bodies[0]
    assert (path, body["run"], body["status"]) == ("/secret-path", said.out.strip(), "succeeded")
    assert not (project.root / "told").exists(), "a command is for whoever watches"
    project.ask("run", "flow.py", "--on", "campus", "--count", "9")
    assert (project.root / "told").exists()
    assert len(listener.bodies) <= 2
    events = server.api.get(f"/runs/{body['run']}/events", limit=1)
    assert "secret-path" not in json.dumps(events), "a secret's place is not in events"
    listener.server.shutdown()
    listener.server.server_close()
