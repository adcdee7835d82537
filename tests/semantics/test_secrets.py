"""Secrets: found by name, given to the step that asks, and left nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

import fairway as fw
from fairway.errors import DefinitionError
from tests.semantics.rig import Rig, error_of, outputs

VALUE = "tr0ub4dor-and-3/"

SOURCE = """
import sys

@fw.step
def call(token: str) -> int:
    print("token is", token, file=sys.stdout)
    print(f"<{token}>", file=sys.stderr)
    fw.log(said=token)
    return len(token)

@fw.step
def fail(token: str) -> int:
    raise ValueError(f"the server refused {token}")

@fw.step
def leave(token: str) -> int:
    fw.skip(f"nothing for {token}")

@fw.pipeline
def main():
    return call(fw.secret("API_TOKEN"))

@fw.pipeline
def failing():
    return fail(fw.secret("API_TOKEN"))

@fw.pipeline
def skipping():
    return leave(fw.secret("API_TOKEN"))
"""


@pytest.fixture(autouse=True)
def no_secret_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_TOKEN", raising=False)


def files_with(folder: Path, text: str) -> list[str]:
    """Files below `folder` that hold the text, whatever they are."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_from_the_environment(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", VALUE)
    assert outputs(rig.run(SOURCE + "\nmain.name = 'main'\ndel failing, skipping\n")) == {"result": len(VALUE)}


@pytest.mark.parametrize(
    "line", ["API_TOKEN={}", "export API_TOKEN='{}'", '# a comment\nAPI_TOKEN="{}"  ', "OTHER=1\nAPI_TOKEN = {} # mine"]
)
def test_from_a_dotenv_file_at_the_projects_root(rig: Rig, line: str) -> None:
    (rig.root / ".env").write_text(line.format(VALUE) + "\n")
    assert outputs(rig.run(SOURCE + "\ndel failing, skipping\n")) == {"result": len(VALUE)}


def test_the_environment_beats_the_file(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    (rig.root / ".env").write_text("API_TOKEN=four")
    monkeypatch.setenv("API_TOKEN", "three")
    assert outputs(rig.run(SOURCE + "\ndel failing, skipping\n")) == {"result": 5}


def test_from_the_keyring(rig: Rig) -> None:
    place = rig.root / "ring"
    place.mkdir()
    (place / "keyring.py").write_text(
        f"def get_password(service, name):\n    return {VALUE!r} if (service, name) == ('fairway', 'API_TOKEN') else None\n"
    )
    path = rig.write(SOURCE)
    done = rig.fairway("run", f"{path}:main", "-o", "json", PYTHONPATH=str(place))
    assert done.returncode == 0, done.stderr
    assert f'"inline": "{len(VALUE)}"' in done.stdout or f'"inline":"{len(VALUE)}"' in done.stdout


def test_one_that_nobody_has_is_refused_before_anything_runs(rig: Rig) -> None:
    with pytest.raises(fw.FairwayError, match="there is no secret 'API_TOKEN'") as caught:
        fw.run(rig.load(SOURCE, "main"))
    assert "set the variable API_TOKEN" in caught.value.hint
    assert rig.count_runs() == 0


def test_all_that_nobody_has_are_named_at_once(rig: Rig) -> None:
    source = """
        @fw.step(secrets=["API_TOKEN", "OTHER_TOKEN"])
        def ask() -> int:
            return 1

        @fw.pipeline
        def main():
            return ask()
    """
    with pytest.raises(fw.FairwayError, match="there are no secrets 'API_TOKEN', 'OTHER_TOKEN'") as caught:
        fw.run(rig.load(source))
    assert "add lines to .env (API_TOKEN=… OTHER_TOKEN=…)" in caught.value.hint
    assert rig.count_runs() == 0


@pytest.mark.parametrize("name", ["main", "failing", "skipping"])
def test_its_value_is_masked_in_logs_and_errors_and_stands_in_no_file(rig: Rig, name: str) -> None:
    path = rig.write(SOURCE)
    done = rig.fairway("run", f"{path}:{name}", API_TOKEN=VALUE)
    run = rig.last()
    assert run.status == ("failed" if name == "failing" else "succeeded")
    assert VALUE not in done.stdout + done.stderr
    assert files_with(rig.root, VALUE) == []
    if name == "main":
        assert run.logs("call").splitlines() == ["call  token is ***", "call  <***>"]
    elif name == "failing":
        assert error_of(run).message == "the server refused ***"
        assert VALUE not in error_of(run).traceback
    else:
        assert run.tasks["leave"].reason == "nothing for ***"


def test_a_new_value_runs_nothing_again(rig: Rig) -> None:
    path = rig.write(SOURCE)
    rig.fairway("run", f"{path}:main", API_TOKEN=VALUE)
    rig.fairway("run", f"{path}:main", API_TOKEN="another")
    assert rig.last().tasks["call"].status == "cached"


def test_a_dotenv_file_does_not_travel_with_the_code(rig: Rig) -> None:
    (rig.root / ".env").write_text(f"API_TOKEN={VALUE}\n")
    (rig.root / "fairway.toml").write_text('include = ["*", ".env*"]\n')
    path = rig.write(SOURCE)
    done = rig.fairway("run", f"{path}:main")
    assert done.returncode == 0, done.stderr
    assert files_with(rig.root / ".fairway", VALUE) == []


WRONG = {
    'fw.secret("A B")': "not a secret's name",
    'return fw.secret("A")': "a secret cannot be an output",
    'fw.secret("A") == "x"': "a secret cannot be compared",
    'take([fw.secret("A"), 1])': "combines a secret with something",
    "take(f\"Bearer {fw.secret('A')}\")": "f-string",
    'with fw.when(fw.secret("A")): take(1)': "a secret cannot be a condition",
    'take(fw.each(fw.secret("A")))': "",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_secret_can_only_be_passed_to_steps(rig: Rig, line: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        rig.run(f"@fw.step\ndef take(x): ...\n\n@fw.pipeline\ndef main():\n    {line}\n")
    assert WRONG[line] in caught.value.message
    assert caught.value.hint


def test_outside_a_pipeline_it_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", VALUE)
    assert fw.secret("API_TOKEN") == VALUE


DECLARED = """
import os

@fw.step(secrets=["API_TOKEN"])
def own() -> int:
    return len(fw.secret("API_TOKEN")) + len(os.environ["API_TOKEN"])

@fw.step
def other() -> bool:
    return "API_TOKEN" in os.environ

@fw.step
def curious() -> int:
    return len(fw.secret("API_TOKEN"))

program = fw.command(["sh", "-c", "echo $API_TOKEN; printf ${#API_TOKEN} > $0", fw.Out("n", int)], secrets=["API_TOKEN"], name="program")

@fw.pipeline
def main():
    return {"own": own(), "other": other(), "program": program().n}

@fw.pipeline
def nosy():
    own()
    curious()
"""


def test_a_step_that_names_a_secret_finds_it_in_its_environment_and_no_other_step_does(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", VALUE)
    run = fw.run(rig.load(DECLARED, "main"))
    assert outputs(run) == {"own": 2 * len(VALUE), "other": False, "program": len(VALUE)}
    assert run.tasks["program"].logs() == "***\n"
    assert files_with(rig.root, VALUE) == []


def test_a_step_that_was_not_given_a_secret_is_told_how_to_ask(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", VALUE)
    run = fw.run(rig.load(DECLARED, "nosy"), check=False)
    assert error_of(run).message == "this step was not given the secret API_TOKEN"
    assert 'secrets=["API_TOKEN"]' in error_of(run).hint


HELD = [
    "return token",
    'return {"headers": [f"Bearer {token}"]}',
    'return token + "x" * 5000',
]


@pytest.mark.parametrize("line", HELD)
def test_an_output_that_holds_a_secret_is_refused_and_not_stored(rig: Rig, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setenv("API_TOKEN", VALUE)
    run = rig.run(f"@fw.step\ndef leak(token: str):\n    {line}\n\n@fw.pipeline\ndef main():\n    return leak(fw.secret('API_TOKEN'))\n")
    assert run.status == "failed"
    assert error_of(run).message == "the output 'result' holds the value of the secret API_TOKEN"
    assert files_with(rig.root, VALUE) == []


def test_a_command_that_fails_does_not_tell_the_secret_in_its_words(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", VALUE)
    run = rig.run("""
        call = fw.command(["sh", "-c", "exit 9", fw.In("token", str)], name="call")

        @fw.pipeline
        def main():
            call(token=fw.secret("API_TOKEN"))
    """)
    assert "exit 9 ***" in error_of(run).message
    assert files_with(rig.root, VALUE) == []
