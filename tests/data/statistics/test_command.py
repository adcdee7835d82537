"""`fairway data stats`: a table a person reads, figures a program reads, shards added up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairway.cli.datastats import command
from fairway.data.statistics import TableStatistics
from fairway.errors import ConfigError, FairwayError, NotFoundError

ROWS = "at,site,value,note\n" + "".join(
    f"2024-01-01 00:{n // 12:02}:{n % 12 * 5:02},s{n % 3},{n * 1000},{'ok' if n % 4 else ''}\n" for n in range(600)
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lines = ROWS.splitlines(keepends=True)
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "one.csv").write_text("".join(lines[:301]))
    (tmp_path / "two.csv").write_text(lines[0] + "".join(lines[301:]))
    return tmp_path


def run(*words: str) -> Result:
    done = CliRunner().invoke(command, words)
    if isinstance(done.exception, FairwayError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def test_people_see_types_nulls_ranges_shapes_and_the_rhythm(folder: Path) -> None:
    said = run("rows.csv").stdout
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert said.startswith("600 rows, 4 columns\n")
    assert lines["value"].split()[1:6] == ["int64", "600", "0", "299,500", "599,000"]
    assert "█" in lines["value"]
    assert "25.0%" in lines["note"]
    assert "s0 33%, s1 33%, s2 33%" in lines["site"]
    assert lines["at:"] == "at: every 5 s (100% within 10%), no gaps"


def test_a_rhythm_within_groups_is_told_as_such(folder: Path) -> None:
    assert "at within 3 groups of site: every 15 s" in run("rows.csv", "--time", "at", "--by", "site").stdout


def test_programs_read_figures(folder: Path) -> None:
    said = json.loads(run("rows.csv", "-o", "json", "--columns", "value,site", "--time", "at").stdout)
    assert said["rows"] == 600
    assert [one["name"] for one in said["columns"]] == ["value", "site", "at"]
    assert said["columns"][0]["quantiles"]["0.5"] == 299_000
    assert said["columns"][1]["top"][0] == {"value": "s0", "count": 200, "error": 0}
    assert said["cadences"][0]["period_s"] == 5.0


def test_shards_add_up_to_the_whole(folder: Path) -> None:
    for name in ("rows", "one", "two"):
        run(f"{name}.csv", "--time", "at", "--out", f"{name}.json")
    whole = json.loads(run("--merge", "rows.json", "-o", "json").stdout)
    parts = json.loads(run("--merge", "one.json", "two.json", "-o", "json", "--out", "both.json").stdout)
    for unlike in ("uri", "measured_at"):
        del whole[unlike], parts[unlike]
    assert parts["cadences"] == whole["cadences"]
    assert parts["duplicate_rows"] == whole["duplicate_rows"]
    for mine, theirs in zip(parts["columns"], whole["columns"], strict=True):
        assert mine["top"] == theirs["top"]
        assert mine["distinct"] == theirs["distinct"]
    assert TableStatistics.from_json((folder / "both.json").read_text()).rows == 600


def test_the_sample_of_rows_stays_at_home_when_asked(folder: Path) -> None:
    run("rows.csv", "--out", "full.json")
    run("rows.csv", "--out", "bare.json", "--no-sample")
    assert TableStatistics.from_json((folder / "full.json").read_text()).sample.rows == 600
    assert TableStatistics.from_json((folder / "bare.json").read_text()).sample.rows == 0


def test_damage_is_pointed_out(folder: Path) -> None:
    (folder / "bad.ndjson").write_text('{"a": "12", "b": "cafÃ©"}\n{"a": "13", "b": "x"}\n')
    said = run("bad.ndjson").stdout
    assert "a: numbers that came as text" in said
    assert "b: 1 with a damaged encoding" in said


def test_misuse_is_refused(folder: Path) -> None:
    (folder / "no.json").write_text("{}")
    with pytest.raises(NotFoundError, match=r"there is no file gone\.json"):
        run("--merge", "gone.json")
    with pytest.raises(ConfigError, match=r"no\.json: this is no file of statistics"):
        run("--merge", "no.json")
    with pytest.raises(ConfigError, match="takes no other option"):
        run("--merge", "no.json", "--time", "at")
    with pytest.raises(ConfigError, match="no column 'when'"):
        run("rows.csv", "--time", "when")
    with pytest.raises(ConfigError, match="is a folder"):
        run("rows.csv", "--out", ".")
