"""`fairway data schema`: found out, looked at, compared, frozen, and widened by what a validation found."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairway.cli.app import app
from fairway.errors import FairwayError

Ask = Callable[..., Result]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run(*words: str, code: int = 0, input: str | None = None) -> Result:
        done = CliRunner().invoke(app, ["data", *words], input=input)
        if code == 2:  # what the outermost command says of it is tested elsewhere
            assert isinstance(done.exception, FairwayError) and done.exception.exit_status == 2, done.output
            done.output_bytes = f"{done.exception}\n{done.exception.hint}".encode()
            return done
        assert done.exit_code == code, done.output
        return done

    cities = ("Oslo", "Bergen", "Kraków")
    rows = [f"{n},{20 + n * 7 % 50},{cities[n % 3]},{n * n % 17 % 2}" for n in range(300)]
    Path("train.csv").write_text("\n".join(["customer_id,age,city,churned", *rows, ""]), encoding="utf-8")
    bad = [row.replace("Oslo", "Gdańsk") if n % 7 == 0 else row for n, row in enumerate(rows)]
    Path("new.csv").write_text("\n".join(["customer_id,age,city,churned", *bad, ""]), encoding="utf-8")
    return run


def schema() -> dict[str, object]:
    return json.loads(Path("schema.json").read_text(encoding="utf-8"))


def test_found_out_written_and_never_over_what_is_there(ask: Ask) -> None:
    done = ask("schema", "infer", "train.csv", "--out", "schema.json")
    assert "4 columns of 300 rows" in done.stdout and "'churned' is taken for the label" in done.stderr
    assert schema()["x-fairway"]["label"] == "churned"  # type: ignore[index]
    text = Path("schema.json").read_text(encoding="utf-8")
    assert '    "customer_id": {"type": "integer", "minimum": 0, "x-fairway": {"unique": true}},\n' in text
    assert '"Bergen", "Kraków", "Oslo"' in text
    again = ask("schema", "infer", "train.csv", "--out", "schema.json", code=2)
    assert "--force" in again.output and Path("schema.json").read_text(encoding="utf-8") == text
    ask("schema", "infer", "train.csv", "--out", "schema.json", "--label", "age", "--force")
    assert schema()["x-fairway"]["label"] == "age"  # type: ignore[index]


def test_found_out_from_statistics_that_were_measured_before(ask: Ask) -> None:
    ask("stats", "train.csv", "--out", "stats.json")
    assert ask("schema", "infer", "stats.json").stdout == ask("schema", "infer", "train.csv").stdout
    assert "--by" in ask("schema", "infer", "stats.json", "--by", "city", code=2).output


def test_a_frozen_schema_has_a_version_and_is_not_written_over(ask: Ask) -> None:
    ask("schema", "infer", "train.csv", "--out", "schema.json")
    ask("stats", "train.csv", "--out", "stats.json")
    assert "version 1" in ask("schema", "freeze", "--statistics", "stats.json").stdout
    assert schema()["x-fairway"]["frozen"]["statistics"].startswith("sha256:")  # type: ignore[index]
    assert "frozen already" in ask("schema", "freeze").stdout
    assert "frozen" in ask("schema", "infer", "train.csv", "--out", "schema.json", "--force", code=2).output
    Path("schema.json").write_text(Path("schema.json").read_text(encoding="utf-8").replace('"Oslo"', '"Oslo", "Ås"'), encoding="utf-8")
    assert "changed since" in ask("schema", "show").stdout
    assert "version 2" in ask("schema", "freeze").stdout
    Path("schema.json").write_text(Path("schema.json").read_text(encoding="utf-8").replace('"Ås"', '"Å"'), encoding="utf-8")
    assert "holds no statistics" in ask("schema", "freeze", "--statistics", "train.csv", code=2).output


def test_compared_with_another_file_and_with_a_revision_of_git(ask: Ask) -> None:
    ask("schema", "infer", "train.csv", "--out", "schema.json")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "schema.json"], ["commit", "-qm", "schema"]):
        subprocess.run([*git, *words], check=True)
    assert "say the same" in ask("schema", "diff", "HEAD:schema.json", "schema.json", "--exit-code").stdout
    Path("schema.json").write_text(Path("schema.json").read_text(encoding="utf-8").replace('"Oslo"', '"Oslo", "Ås"'), encoding="utf-8")
    assert "city\n  wider  the values: 'Ås' came in" in ask("schema", "diff", "HEAD:schema.json", "schema.json").stdout
    [change] = json.loads(ask("schema", "diff", "HEAD:schema.json", "schema.json", "-o", "json", "--exit-code", code=1).stdout)
    assert (change["kind"], change["column"], change["path"]) == ("wider", "city", "/properties/city/enum")
    assert "HEAD:schema.json" in ask("schema", "diff", "HEAD:nowhere.json", "schema.json", code=2).output


def test_shown_as_a_table(ask: Ask) -> None:
    ask("schema", "infer", "train.csv", "--out", "schema.json")
    shown = ask("schema", "show").stdout
    assert "one of 'Bergen', 'Kraków', 'Oslo'" in shown and "label: churned" in shown and "unique" in shown
    assert "churned" not in ask("schema", "show", "--environment", "serving").stdout
    assert "'schema.json'" in ask("schema", "show", "shema.json", code=2).output


def test_what_a_validation_found_is_accepted_one_by_one(ask: Ask) -> None:
    ask("schema", "infer", "train.csv", "--out", "schema.json")
    before = Path("schema.json").read_text(encoding="utf-8")
    ask("validate", "new.csv", "--schema", "schema.json", "--format", "json", "--out", "found.json", code=1)
    assert "0 changes" in ask("schema", "accept", "found.json", input="n\n").stdout
    assert "0 changes" in ask("schema", "accept", "found.json", "--kind", "nulls", "--yes").stdout
    assert Path("schema.json").read_text(encoding="utf-8") == before
    done = ask("schema", "accept", "found.json", input="y\n")
    assert "Gdańsk" in done.stdout and "1 change." in done.stdout
    after = Path("schema.json").read_text(encoding="utf-8")
    changed = [line for line, was in zip(after.splitlines(), before.splitlines(), strict=True) if line != was]
    assert len(changed) == 1 and "Gdańsk" in changed[0]
    ask("validate", "new.csv", "--schema", "schema.json")
    assert "what a validation found" in ask("schema", "accept", "schema.json", code=2).output
