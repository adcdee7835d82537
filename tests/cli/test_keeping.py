"""Tags, notes, archive, cancel, gc, doctor, init."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from fairway.cli.app import app
from fairway.engine.client import Run
from fairway.errors import ConflictError
from fairway.spec.event import RunStarted
from fairway.spec.ports import run_now
from fairway.spec.summary import RunSummary
from fairway.store import open_journal
from fairway.store.live import LiveMark
from tests.cli.conftest import FIRST_RUN, SECOND_RUN, Shop, make_graph


def leave_running(shop: Shop, run: str = SECOND_RUN) -> None:
    """A run whose driver was killed just after it began."""
    journal = open_journal(shop.workspace.project.journal)
    begin = [RunStarted(run, make_graph(), {}, "", 1_700_000_000.0)]
    run_now(journal.append(run, 0, begin, "b", summary=RunSummary(run, "churn", started_at=1_700_000_000.0)))
    run_now(journal.close())


def test_tags_are_added_and_removed(shop_with_run: Shop) -> None:
    assert shop_with_run.ask("tag", "last", "keep", "exp7").exit_code == 0
    assert shop_with_run.ask_json("runs")[0]["tags"] == ["first", "keep", "exp7"]
    shop_with_run.ask("tag", "last", "-d", "keep", "first")
    assert shop_with_run.ask_json("runs")[0]["tags"] == ["exp7"]
    assert shop_with_run.workspace.state(FIRST_RUN).tags == ("exp7",)
    assert "not a tag" in str(shop_with_run.ask("tag", "last", "two words").exception)


def test_a_note_is_written_printed_and_removed(shop_with_run: Shop) -> None:
    shop_with_run.ask("note", "last", "first try")
    assert shop_with_run.ask("note", "last").stdout == "first try\n"
    shop_with_run.ask("note", "last", "")
    assert shop_with_run.ask("note", "last").stdout == "\n"


def test_archived_runs_leave_the_listing(shop_with_run: Shop) -> None:
    shop_with_run.run(SECOND_RUN)
    shop_with_run.ask("archive", FIRST_RUN)
    assert [row["run"] for row in shop_with_run.ask_json("runs")] == [SECOND_RUN]
    assert [row["run"] for row in shop_with_run.ask_json("runs", "--archived")] == [FIRST_RUN]
    shop_with_run.ask("archive", "--undo", FIRST_RUN)
    assert len(shop_with_run.ask_json("runs")) == 2


def test_labels_of_a_driven_run_go_to_its_inbox(shop: Shop) -> None:
    leave_running(shop)
    mark = LiveMark(Path(shop.workspace.project.home) / "locks", SECOND_RUN)
    try:
        shop.ask("tag", "last", "x")
        (command,) = run_now(shop.workspace.journal.inbox(SECOND_RUN))
        assert (command.kind, command.body["add_tags"]) == ("label", ["x"])
    finally:
        mark.close()


def test_cancel_puts_a_wish_into_the_inbox(shop: Shop) -> None:
    leave_running(shop)
    mark = LiveMark(Path(shop.workspace.project.home) / "locks", SECOND_RUN)
    try:
        assert shop.ask("cancel", "--wait", "0").exit_code == 0
        late = shop.ask("cancel", "--wait", "100ms")
        assert isinstance(late.exception, ConflictError) and "has not ended within 100ms" in late.exception.message
        assert [command.kind for command in run_now(shop.workspace.journal.inbox(SECOND_RUN))] == ["cancel", "cancel"]
    finally:
        mark.close()


def test_cancel_of_a_run_that_nobody_drives_says_so(shop: Shop) -> None:
    leave_running(shop)
    result = shop.ask("cancel")
    assert isinstance(result.exception, ConflictError)
    assert "fairway resume" in result.exception.hint


def test_a_run_that_was_left_is_told_from_one_that_runs(shop: Shop) -> None:
    leave_running(shop)
    workspace = shop.workspace
    mark = LiveMark(Path(workspace.project.home) / "locks", SECOND_RUN)
    try:
        assert not workspace.is_left(SECOND_RUN)
        assert shop.ask_json("runs")[0]["status"] == shop.ask_json("show")["status"] == "running"
    finally:
        mark.close()
    assert workspace.is_left(SECOND_RUN)
    assert shop.ask_json("runs")[0]["status"] == shop.ask_json("show")["status"] == "interrupted"
    run = Run(workspace, SECOND_RUN)
    assert run.status == run.wait() == "interrupted", "nobody waits for what will not come"
    shop.ask("archive", SECOND_RUN)
    assert shop.ask_json("gc", "--archived", "--dry-run")["runs"] == [SECOND_RUN]


def test_a_run_that_has_ended_was_not_left(shop_with_run: Shop) -> None:
    assert not shop_with_run.workspace.is_left(FIRST_RUN)
    assert not shop_with_run.workspace.is_left("no-such-run")


def test_cancel_of_a_run_that_has_ended_is_no_error(shop_with_run: Shop) -> None:
    result = shop_with_run.ask("cancel")
    assert result.exit_code == 0 and "has ended already: succeeded" in result.stderr


def test_gc_says_what_and_asks(shop_with_run: Shop) -> None:
    assert "nothing to delete" in shop_with_run.ask("gc").stderr
    dry = shop_with_run.ask("gc", "--run", "last", "--dry-run")
    assert dry.stdout.splitlines()[1].split()[:2] == ["runs", "1"]
    assert shop_with_run.ask("gc", "--run", "last", input="n\n").stderr.endswith("nothing deleted\n")
    assert len(shop_with_run.ask_json("runs")) == 1
    done = shop_with_run.ask("gc", "--run", "last", "--yes")
    assert "deleted 1 run" in done.stderr
    assert shop_with_run.ask_json("runs") == []


def test_gc_keeps_tagged_runs_and_the_newest(shop_with_run: Shop) -> None:
    shop_with_run.run(SECOND_RUN)
    plan = shop_with_run.ask_json("gc", "--older-than", "1d", "--dry-run")
    assert plan["runs"] == [SECOND_RUN]
    assert shop_with_run.ask_json("gc", "--older-than", "1d", "--keep-last", "1", "--dry-run")["runs"] == []


def test_doctor_finds_what_is_wrong(shop: Shop) -> None:
    assert shop.ask("doctor").exit_code == 0
    leave_running(shop)
    (shop.root / "fairway.toml").write_text(
        '[[hooks]]\nslack = "${NO_SUCH_VARIABLE_HERE}"\n[[hooks]]\ncommand = ["no-such-program-here"]\n'
    )
    findings = shop.ask_json("doctor")
    texts = {finding["what"] for finding in findings if finding["level"] == "warning"}
    assert any("left by a killed process" in text for text in texts)
    assert any("NO_SUCH_VARIABLE_HERE" in text for text in texts)
    assert any("no-such-program-here" in text for text in texts)
    (shop.root / "fairway.toml").write_text("nmae = 1\n")
    assert any(
        finding["level"] == "problem" and "nmae" in finding["what"] for finding in json.loads(shop.ask("doctor", "-o", "json").stdout)
    )


def test_init_makes_a_project_and_overwrites_nothing(tmp_path: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["init", str(tmp_path / "p")]).exit_code == 0
    assert {path.name for path in (tmp_path / "p").iterdir()} == {"pipeline.py", "fairway.toml", ".gitignore"}
    assert ".fairway/" in (tmp_path / "p" / ".gitignore").read_text()
    compile((tmp_path / "p" / "pipeline.py").read_text(), "pipeline.py", "exec")
    again = runner.invoke(app, ["init", str(tmp_path / "p")])
    assert "is there already" in str(again.exception)
    (tmp_path / "p" / ".gitignore").write_text("mine\n.fairway\n")
    assert runner.invoke(app, ["init", str(tmp_path / "p"), "--force"]).exit_code == 0
    assert (tmp_path / "p" / ".gitignore").read_text() == "mine\n.fairway\n.env\n__pycache__/\n"
