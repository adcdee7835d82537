"""What the commands for clusters say before any cluster is asked."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
import yaml
from click.shell_completion import ShellComplete

from fairway.cli import main
from fairway.cli.app import app
from fairway.cli.train import find_gang
from fairway.engine.credentials import find_token
from fairway.engine.gangexport import render_objects
from fairway.engine.project import load_project
from fairway.engine.targets import get_cluster
from fairway.spec.record import replace
from fairway.spec.tokens import make_user_token

TARGETS = """
[targets.campus]
kind = "kubernetes"
namespace = "team"
kubeconfig = "missing"
[targets.cloud]
kind = "kubernetes"
[targets.lab]
kind = "server"
url = "http://127.0.0.1:1"
"""

PIPELINE = """
import fairway as fw


@fw.step
def a() -> int:
    return 1


@fw.pipeline
def p():
    return a()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("FAIRWAY_TARGET", "FAIRWAY_TOKEN", "KUBECONFIG", "FAIRWAY_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FAIRWAY_CONFIG", str(tmp_path / "config"))
    (tmp_path / "fairway.toml").write_text(TARGETS)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], project: Path, *words: str) -> tuple[int, str]:
    status = main(["-C", str(project), *words])
    return status, capsys.readouterr().err


@pytest.mark.parametrize("command", [["up"], ["down"], ["token", "list"], ["secret", "list"], ["export", "x.py"]])
def test_which_cluster_is_meant_is_asked_and_never_guessed(project: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    hint = "say which: --on campus (there are: campus, cloud)"
    assert said(capsys, project, *command) == (2, f"error: no cluster is named\n  {hint}\n")


@pytest.mark.parametrize("command", [["up"], ["down"], ["secret", "list"]])
def test_a_server_that_runs_elsewhere_is_no_cluster_to_set_up(
    project: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    status, error = said(capsys, project, *command, "--on", "lab")
    assert status == 2 and error.startswith("error: the target 'lab' is no cluster, its kind is server\n")


def test_a_kubeconfig_that_is_not_there_is_named_with_its_path(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, error = said(capsys, project, "up", "--on", "campus")
    assert (status, error) == (2, f"error: the kubeconfig {project / 'missing'} does not exist\n")


def test_a_wrong_time_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, error = said(capsys, project, "up", "--on", "campus", "--timeout", "soon")
    assert status == 2 and error.startswith("error: --timeout: not a duration: 'soon'\n")


def test_a_token_for_a_server_elsewhere_is_kept_under_its_url(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = make_user_token("bob")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{token}\n"))
    assert said(capsys, project, "token", "use", "--on", "lab") == (0, "you are 'bob' on lab\n")
    assert find_token("http://127.0.0.1:1") == token


def test_a_secrets_value_cannot_be_an_argument(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, error = said(capsys, project, "secret", "set", "DB", "hunter2", "--on", "campus")
    assert status == 2 and "unexpected extra argument" in error


def test_doctor_says_that_a_server_elsewhere_is_not_reached(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["-C", str(project), "doctor", "--on", "lab"]) == 2
    assert capsys.readouterr().out.startswith("✗ you have no token for this server\n    FAIRWAY_TOKEN gives one; ")


def test_doctor_compares_a_pipeline_with_a_target_only(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, error = said(capsys, project, "doctor", "x.py")
    assert (status, error) == (2, "error: a pipeline is compared with a target\n  say which: fairway doctor x.py --on TARGET\n")


def test_clusters_are_completed(project: Path) -> None:
    shell = ShellComplete(app, {}, "fairway", "_FAIRWAY_COMPLETE")
    words = ["-C", str(project), "up", "--on"]
    assert [item.value for item in shell.get_completions(words, "")] == ["campus", "cloud"]
    assert [item.value for item in shell.get_completions(words, "ca")] == ["campus"]


def test_a_dry_run_needs_no_cluster_where_the_namespace_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-C", str(project), "up", "--on", "campus", "--dry-run"]) == 0
    assert "namespace: team\n" in capsys.readouterr().out


def test_an_export_shows_what_the_server_makes_for_gangs_as_comments(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "p.py").write_text(
        "import fairway as fw\n\n@fw.step(gang=fw.gang(replicas=3, framework='torch'))\ndef fit() -> int:\n    return 1\n\n"
        "@fw.pipeline\ndef p():\n    return fit()\n"
    )
    (project / "fairway.toml").write_text(TARGETS.replace('kubeconfig = "missing"', 'server-image = "ours:1"'))
    assert main(["-C", str(project), "export", str(project / "p.py"), "--on", "campus", "-n", "lab"]) == 0
    told = capsys.readouterr()
    assert "the server makes the objects of gangs (fit)" in told.err
    applied = list(yaml.safe_load_all(told.out))
    assert [one["metadata"]["name"] for one in applied if one["kind"] == "Job"] != ["attempt"], "applied they would run without their run"
    shown = told.out.partition("# What the server makes for the gang fit")[2].partition("\n")[2]
    fence, job = yaml.safe_load_all("".join(line.removeprefix("#").removeprefix(" ") for line in shown.splitlines(keepends=True)))
    run = job["metadata"]["labels"]["fairway.dev/run"]
    assert any(run.lower() in one["metadata"]["name"] for one in applied), "the run that the YAML starts"
    assert (fence["kind"], job["kind"], job["metadata"]["namespace"], job["spec"]["completions"]) == ("NetworkPolicy", "Job", "lab", 3)
    graph, _, _ = find_gang(str(project / "p.py"))
    target = get_cluster(load_project(str(project)), "campus")
    assert [fence, job] == render_objects(graph.steps["fit"], replace(target, namespace="lab"), run)


def test_an_export_cannot_be_written_where_nobody_may(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "p.py").write_text(
        "import fairway as fw\n\n@fw.step\ndef a() -> int:\n    return 1\n\n@fw.pipeline\ndef p():\n    return a()\n"
    )
    (project / "fairway.toml").write_text(TARGETS.replace('kubeconfig = "missing"', 'server-image = "ours:1"'))
    target = project / "none" / "out.yaml"
    status, error = said(capsys, project, "export", str(project / "p.py"), "--on", "campus", "--to", str(target))
    assert (status, error) == (2, f"error: cannot write {target}: No such file or directory\n  name another --to\n")
    assert os.listdir(project / ".fairway")  # nothing but the code that was looked at
