"""The commands as such: all there, each with examples, none loaded before it is needed."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from fairway.cli import COMPLETION_VARIABLE, main
from fairway.cli.app import app
from fairway.cli.commands import ENTRIES, render_help
from fairway.cli.meant import SAME
from tests.cli.conftest import FIRST_RUN, Shop

NAMES = set(
    "init run ui runs show logs cancel resume rerun why diff graph artifacts params tag note archive gc doctor "
    "up down export cluster image token secret serve deploy endpoints test rollout rollback traffic simulate data train tune".split()
)


def test_all_commands_are_there() -> None:
    assert set(ENTRIES) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_command_has_examples_and_says_the_same_as_the_table(name: str) -> None:
    command: click.Command = import_module(f"fairway.cli.{ENTRIES[name].module}").command
    assert command.name == name
    commands = [command, *command.commands.values()] if isinstance(command, click.Group) else [command]
    for one in commands:
        assert "Examples:" in (one.help or "")
        assert f"fairway {name}" in (one.help or "")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_help_of_every_command_fits_a_screen_and_has_examples(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"], terminal_width=80)
    assert result.exit_code == 0
    assert "Examples:" in result.output
    lines = result.output.splitlines()
    assert len(lines) <= 24, result.output
    assert max(map(len, lines)) <= 80


def test_help_fits_a_screen_and_needs_no_click() -> None:
    text = render_help()
    assert len(text.splitlines()) < 24
    assert max(len(line) for line in text.splitlines()) <= 80
    loaded = modules_after(["--help"])
    assert loaded.isdisjoint({"click", "rich", "pathlib", "asyncio", "inspect"})
    assert len(loaded) < 80 and sum(name.startswith("fairway") for name in loaded) < 9, "what is imported is what it costs"


def test_click_shows_the_same_help() -> None:
    assert CliRunner().invoke(app, ["--help"]).output == render_help()


def modules_after(words: list[str]) -> set[str]:
    """Modules that are loaded after `fairway WORDS` has run in a process of its own."""
    code = f"import sys\nfrom fairway.cli import main\nmain({words!r})\nprint('@', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.rpartition("@")[2].split())


def test_who_asks_for_the_dashboard_is_told_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard"]) == 2
    assert capsys.readouterr().err.startswith("error: there is no command 'dashboard'; did you mean 'ui'?\n")


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shwo"]) == 2
    assert capsys.readouterr().err == "error: there is no command 'shwo'; did you mean 'show'?\n  see: fairway --help\n"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("list", "'runs'"),
        ("ls", "'runs'"),
        ("start", "'run'"),
        ("status", "'show' or 'runs'"),
        ("kill", "'cancel'"),
        ("stop", "'cancel'"),
        ("rm", "'archive' or 'gc'"),
        ("Delete", "'archive' or 'gc'"),
        ("help", "'--help'"),
        ("token ls", "'list'"),
        ("token rm", "'remove'"),
        ("secret add", "'set'"),
        ("artifacts list", "'ls'"),
        ("data describe", "'stats'"),
        ("data schema fereze", "'freeze'"),
    ],
)
def test_what_other_programs_call_it_names_the_command(typed: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    *group, word = typed.split()
    assert main(typed.split()) == 2
    told = f"error: there is no command {word!r}; did you mean {meant}?\n  see: {' '.join(['fairway', *group])} --help\n"
    assert capsys.readouterr().err == told


def test_all_that_is_meant_is_there_somewhere() -> None:
    known = {"--help", "--version"}

    def walk(group: click.Group) -> None:
        for name in group.list_commands(click.Context(group)):
            known.add(name)
            found = group.get_command(click.Context(group), name)
            if isinstance(found, click.Group):
                walk(found)

    walk(app)
    assert {name for _, ours in SAME for name in ours} <= known


def test_a_word_like_nothing_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zzzzz"]) == 2
    assert capsys.readouterr().err == "error: there is no command 'zzzzz'\n  see: fairway --help\n"


def test_a_wrong_option_is_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--stauts", "failed"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: No such option '--stauts'")
    assert err.endswith("see: fairway runs --help\n")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("fairway ")


@pytest.mark.parametrize("module", ["fairway", "fairway.cli"])
def test_python_m_is_the_command_line(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "shwo"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no command 'shwo'; did you mean 'show'?\n  see: fairway --help\n"


def completed(words: list[str], start: str) -> list[str]:
    """What the shell offers after `fairway WORDS` for a word that begins with `start`."""
    return [item.value for item in BashComplete(app, {}, "fairway", COMPLETION_VARIABLE).get_completions(words, start)]


def test_runs_tasks_and_parameters_are_completed(shop_with_run: Shop) -> None:
    root = ["-C", str(shop_with_run.root)]
    assert completed([*root, "show"], FIRST_RUN[:5]) == [FIRST_RUN]
    assert completed([*root, "show"], "1999") == []
    assert completed([*root, "logs", FIRST_RUN], "tr") == ["train"]
    file = shop_with_run.root / "p.py"
    file.write_text("import fairway as fw\n\n\n@fw.pipeline\ndef p(depths: list[int] = [1], path: str = ''):\n    return None\n")
    assert completed(["run", str(file)], "--dep") == ["--depths"]
    assert completed(["run", str(shop_with_run.root / "nowhere.py")], "--dep") == []
    assert set(completed(["artifacts"], "")) == {"ls", "get", "cat"}


def test_words_are_completed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from fairway.cli import main; main()"],
        env={"_FAIRWAY_COMPLETE": "bash_complete", "COMP_WORDS": "fairway ru", "COMP_CWORD": "1", "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["plain,run", "plain,runs"]
