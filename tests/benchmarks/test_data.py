"""What the data benchmarks make, keep, ask others, and count as found."""

import json
import sys

import numpy as np
import pytest

from benchmarks.data import contenders, reported, tables, validators, xmlread
from benchmarks.data.contenders import CONTENDERS, Contender, absent, present, run_json, run_lines
from benchmarks.peers import Peers
from benchmarks.process import CommandError
from benchmarks.session import open_session
from benchmarks.suite.data_damages import judge_flags, write
from benchmarks.suite.data_validate import AGAINST


def said(*flags, error=""):
    return {"flags": list(flags), "error": error}


def test_a_damage_is_found_by_what_is_not_said_of_the_undamaged_table():
    answers = {"base": said("range a"), "damage-nulls": said("range a", "null b"), "damage-unit": said("range a"), "resample-1": said()}
    answers |= {"damage-missing": said(error="KeyError: 'b'"), "resample-2": said("range a")}
    assert judge_flags(answers, ["nulls", "unit", "missing"]) == (["unit", "missing (fails: KeyError: 'b')"], 1)


def test_others_are_shown_the_same_values_with_nan_for_nothing(tmp_path):
    import pandas

    columns = {"n": np.arange(3), "f": [1.5, None, 2.5], "t": ["ö", "b", "c"], "at": np.array(["2026-01-01"] * 3, "datetime64[us]")}
    write(tmp_path / "one.npz", columns)
    frame = validators.load(str(tmp_path / "one.npz"))
    assert frame["t"].tolist() == ["ö", "b", "c"]
    assert frame["f"].isna().tolist() == [False, True, False]
    assert (frame["n"].dtype.kind, frame["at"].dtype.kind) == ("i", "M")
    assert frame["at"][0] == pandas.Timestamp("2026-01-01")


def test_everybody_has_a_way_to_learn_and_an_environment_and_nearly_all_a_bar():
    assert {one.name for one in CONTENDERS} == set(validators.LEARNERS)
    assert {one.folder for one in CONTENDERS} == {"data-tfdv", "data-gx", "data-pandera", "data-evidently"}
    assert set(AGAINST) == {"tfdv", "gx", "pandera", "evidently"}
    assert Contender("x", "x[y]").words == ("x[y]", "pyarrow")
    assert CONTENDERS[0].words[1].endswith("tfdv.txt")


def test_who_is_not_installed_is_absent_and_who_shares_an_environment_can_be_asked_once(tmp_path, monkeypatch):
    monkeypatch.setattr(contenders, "label", lambda name, _python, _distribution: name)
    python = tmp_path / "data-evidently/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    peers = Peers(environments=tmp_path, wanted=["tfdv", "data-evidently"])
    assert [one.label for one in present(peers)] == ["evidently", "evidently, both presets"]
    assert [one.label for one in present(peers, each_once=True)] == ["evidently"]
    assert [one.name for one in absent(peers)] == ["tfdv"]


def test_what_a_program_prints_is_read_and_its_failure_is_one_line():
    assert run_json([sys.executable, "-c", "print('talk'); print('{\"n\": 1}')"]) == {"n": 1}
    with pytest.raises(CommandError, match="exit status 3: it is wrong"):
        run_lines([sys.executable, "-c", "import sys; print('it is wrong', file=sys.stderr); sys.exit(3)"])


def test_a_table_is_made_once_and_again_when_its_program_has_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "KEPT", tmp_path / "kept")
    program = tmp_path / "program.py"
    program.write_text("one")
    made = []

    def make(folder):
        made.append(folder.name)
        (folder / "file").write_text(str(len(made)))

    first = tables._kept("rows-1", str(program), make)
    assert tables._kept("rows-1", str(program), make) == first
    program.write_text("two")
    second = tables._kept("rows-1", str(program), make)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [second.name]
    assert (second / "file").read_text() == "2"


def test_a_table_that_could_not_be_made_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "KEPT", tmp_path)

    def fail(_folder):
        raise CommandError("no room")

    with pytest.raises(CommandError):
        tables._kept("rows-1", __file__, fail)
    assert tables._kept("rows-1", __file__, lambda folder: None).is_dir()


def test_the_rows_are_cut_from_the_whole_table(tmp_path, monkeypatch):
    import duckdb

    monkeypatch.setattr(tables, "KEPT", tmp_path)
    with open_session() as session:
        file = tables.part(session, 200, 100, of=1_000)
    assert duckdb.sql(f"select count(*), min(ts)::varchar from '{file}'").fetchall() == [(100, "2024-01-01 00:16:40")]


def test_the_xml_is_as_large_as_it_was_asked_for_and_is_read_to_its_end(tmp_path):
    path = tmp_path / "catalogue.xml"
    xmlread.make(str(path), 1)
    assert 1_000_000 <= path.stat().st_size < 2_100_000
    assert xmlread.read(str(path)) == path.read_bytes().count(b"</book>")


@pytest.mark.parametrize(
    ("page", "count"),
    [
        ('<a href="#top"></a><img src="data:image/png;base64,AA"><svg xmlns="http://www.w3.org/2000/svg"></svg>', 0),
        ('<script src="https://example.org/a.js"></script><link href=style.css>', 2),
        ("<style>@import 'a.css'; body{background:url(b.png)} i{background:url(#grad)}</style>", 2),
    ],
)
def test_addresses_that_a_page_would_fetch_are_counted(page, count):
    assert len(reported.addresses(page)) == count


def test_a_report_is_made_of_a_table_in_which_columns_have_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(reported, "ROWS", 400)
    found = reported.main(str(tmp_path / "report.html"), 20)
    assert found["anomalies"] > 0
    assert found["addresses"] == 0
    assert found["bytes"] == (tmp_path / "report.html").stat().st_size
    assert json.dumps(found)
