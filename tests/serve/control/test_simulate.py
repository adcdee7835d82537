from __future__ import annotations

import json
import random
import time
from array import array
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.cli.simulate import command
from fairway.errors import ConfigError, NotFoundError
from fairway.serve.control.recording import make_recording, read_recording
from fairway.serve.control.simulate import Recording, Setting, check_setting, simulate, thin, unfold
from fairway.serve.control.simulationplot import render_svg, render_table, render_text, spell_ms, spell_s
from fairway.spec.endpoint import Floor, Scaling

ONE = Scaling(minimum=1, maximum=1)
PATIENT = {"deadline_s": 1e9, "queue": 10**9}


def poisson(rate: float, count: int, seed: int = 1) -> Recording:
    chance, at = random.Random(seed), 0.0
    out = array("d")
    for _ in range(count):
        at += chance.expovariate(rate)
        out.append(at)
    return Recording(out)


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_waiting_for_one_replica_is_as_the_formula_says(busy: float) -> None:
    """M/D/1: requests by chance, equal service: the mean wait is service x busy / (2 x (1 - busy))."""
    found = simulate(poisson(busy, 15_000), Setting("", ONE, service_s=1.0, **PATIENT))
    assert found.wait_ms / 1000 == pytest.approx(busy / (2 * (1 - busy)), rel=0.1)
    assert found.mean_ms == pytest.approx(found.wait_ms + 1000)
    assert found.hours * 3600 == pytest.approx(15_000 / busy, rel=0.02) and found.starts == 1


def test_waiting_with_service_by_chance_is_as_the_formula_says() -> None:
    """M/M/1: the mean wait is service x busy / (1 - busy)."""
    chance = random.Random(4)
    load = poisson(0.5, 15_000)
    seconds = array("d", (chance.expovariate(1.0) for _ in load.arrivals))
    found = simulate(Recording(load.arrivals, seconds), Setting("", ONE, **PATIENT))
    assert found.wait_ms / 1000 == pytest.approx(1.0, rel=0.1)


def test_a_batch_answers_what_waits_at_once() -> None:
    load = Recording([0.0] + [0.5] * 9)
    alone = simulate(load, Setting("", ONE, service_s=1.0, **PATIENT))
    joined = simulate(load, Setting("", ONE, service_s=1.0, batch=32, batch_cost=0.1, **PATIENT))
    assert alone.max_ms == pytest.approx(9_500)
    assert joined.max_ms == pytest.approx((1.0 + 1.8 - 0.5) * 1000) and joined.p50_ms == joined.max_ms
    halves = simulate(load, Setting("", ONE, service_s=1.0, batch=5, batch_cost=0.0, **PATIENT))
    assert halves.max_ms == pytest.approx(2_500)


def test_the_first_request_after_idling_waits_for_a_start_and_is_answered() -> None:
    load = Recording([10.0, 10.2, 500.0])
    found = simulate(load, Setting("", Scaling(minimum=0, maximum=2, idle_s=60.0), service_s=0.1, start_s=3.0, price=3600.0))
    assert (found.refused, found.cold, found.starts) == (0, 3, 2)
    assert found.max_ms == pytest.approx(3100) and found.p50_ms == pytest.approx(3100)
    assert found.cost == found.hours * 3600 and 60 < found.cost < 75, "about a minute; the second ends with the recording"
    wanted = [moment.wanted for moment in found.moments]
    assert min(wanted) == 0 and max(wanted) == 1


def test_what_waits_too_long_or_finds_a_full_queue_is_refused() -> None:
    load = Recording([0.0] * 10)
    late = simulate(load, Setting("", ONE, service_s=1.0, deadline_s=3.5))
    assert (late.requests, late.refused) == (10, 6)
    full = simulate(load, Setting("", ONE, service_s=1.0, queue=2))
    assert full.refused == 7 and full.max_ms == pytest.approx(3000)
    never = simulate(load, Setting("", Scaling(minimum=0, maximum=1), service_s=1.0, start_s=100.0, deadline_s=5.0))
    assert never.refused == 10 and never.p50_ms == 0.0


def test_more_replicas_share_the_load() -> None:
    load = Recording([0.0] * 8)
    found = simulate(load, Setting("", Scaling(minimum=4, maximum=4), service_s=1.0))
    assert found.max_ms == pytest.approx(2000) and found.most == 4
    assert simulate(load, Setting("", ONE, service_s=1.0, slots=8)).max_ms == pytest.approx(1000)


def test_a_schedule_is_kept_in_the_recordings_own_time() -> None:
    load = Recording([0.0, 7200.0], zero=1_800_000_000.0)  # 08:00 UTC
    floor = Floor(3, "09:00", "09:30")
    found = simulate(load, Setting("", Scaling(minimum=1, maximum=4, floors=(floor,), shrink_delay_s=0.0)))
    high = [moment.at for moment in found.moments if moment.wanted > 1.1]
    assert 3570 <= min(high) <= 3650 and max(high) <= 3600 + 1800 + 60


@given(st.lists(st.floats(0, 300), min_size=1, max_size=120), st.integers(0, 2), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
@settings(deadline=None, max_examples=60)
def test_every_request_is_answered_or_refused(times: list[float], minimum: int, more: int, batch: int, slots: int) -> None:
    scaling = Scaling(minimum=minimum, maximum=minimum + more, target=2.0, idle_s=10.0, window_s=5.0, shrink_delay_s=5.0)
    setting = Setting("", scaling, service_s=2.0, start_s=4.0, batch=batch, slots=slots, queue=3, deadline_s=20.0)
    found = simulate(make_recording((at, None) for at in times), setting)
    assert found.most <= scaling.maximum and 0 <= found.refused <= found.requests == len(times)
    if found.refused < found.requests:
        assert 2000 - 1e-6 <= found.p50_ms <= found.max_ms <= 20_000 + 2_000 * (1 + 0.05 * batch) + 1e-6
    assert found == simulate(make_recording((at, None) for at in times), setting), "the same every time"


def test_a_million_requests_take_seconds() -> None:
    load = poisson(500, 100_000)
    began = time.process_time()
    found = simulate(load, Setting("", Scaling(minimum=1, maximum=20, target=8), service_s=0.02, batch=16))
    assert found.refused == 0 and time.process_time() - began < 30.0, "a tenth of a million"


def test_a_sample_is_unfolded_to_all_requests() -> None:
    sample = Recording(poisson(10, 2_000).arrivals, sampled=0.1)
    whole = unfold(sample)
    assert 19_000 <= len(whole.arrivals) <= 21_000 and list(whole.arrivals) == sorted(whole.arrivals)
    assert unfold(sample) == whole and unfold(whole) is whole
    assert whole.arrivals[-1] == pytest.approx(sample.arrivals[-1])


def test_recordings_of_every_form_are_one(tmp_path: Path) -> None:
    forms = {
        "plain.csv": "1800000002\n1800000000\n\n",
        "head.csv": "id,time\n7,2027-01-15T08:00:02+00:00\n8,2027-01-15T08:00:00+00:00\n",
        "list.json": "[1800000002, 1800000000]",
        "objects.json": '[{"at": 1800000002}, {"timestamp": "2027-01-15T08:00:00+00:00"}]',
        "lines.jsonl": '{"at": 1800000002}\n{"at": 1800000000}\n',
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        found = read_recording(str(tmp_path / name))
        assert (list(found.arrivals), list(found.seconds), found.zero) == ([0.0, 2.0], [], 1_800_000_000.0), name
    took = {
        "a.csv": "5,0.25\n0,0.5\n",
        "b.csv": "time,latency_ms\n5,250\n0,500\n",
        "c.json": "[[5, 0.25], [0, 0.5]]",
        "d.jsonl": '{"at": 5, "latency_ms": 250}\n{"at": 0, "seconds": 0.5}\n',
    }
    for name, text in took.items():
        (tmp_path / name).write_text(text)
        found = read_recording(str(tmp_path / name))
        assert (list(found.arrivals), list(found.seconds), found.zero) == ([0.0, 5.0], [0.5, 0.25], 0.0), name


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "1\nsoon\n", "line 2: 'soon'"),
        ("a.json", '[1, {"when": 2}]', "item 2"),
        ("a.json", "[true]", "item 1"),
        ("a.csv", "\n", "no request"),
        ("a.jsonl", "{", "cannot be read"),
    ],
)
def test_a_recording_that_cannot_be_read_names_the_line(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_recording(str(tmp_path / name))


def test_what_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no recording"):
        read_recording(str(tmp_path / "none.csv"))
    with pytest.raises(NotFoundError, match="without captured traffic"):
        read_recording(str(tmp_path))
    with pytest.raises(ConfigError, match="share of 2"):
        read_recording(str(tmp_path), sampled=2)
    with pytest.raises(ConfigError, match="no request"):
        simulate(Recording(()), Setting(""))
    for setting in (Setting("", service_s=0), Setting("", batch=0), Setting("", price=-1), Setting("", Scaling(minimum=2))):
        with pytest.raises(ConfigError):
            check_setting(setting)


def test_captured_traffic_is_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fairway as fw
    from fairway.serve.feedback.spool import Spool

    (tmp_path / "fairway.toml").touch()
    monkeypatch.chdir(tmp_path)
    spool = Spool(tmp_path / ".fairway/serve/spool")
    for n in range(20):
        spool.write("risk", {"id": str(n), "at": 1_800_000_000.0 + n, "status": 200, "latency_ms": 50.0})
    spool.close_now()
    found = read_recording(str(fw.traffic("risk")))
    assert list(found.arrivals) == [float(n) for n in range(20)] and set(found.seconds) == {0.05}
    done = CliRunner().invoke(command, ["risk", "--sampled", "0.5", "-o", "json", "--set", "max=2"], obj="", catch_exceptions=False)
    (row,) = json.loads(done.output)
    assert 30 <= row["requests"] <= 50 and row["p50_ms"] == pytest.approx(50, abs=1)


def test_settings_are_compared_in_one_table_and_one_picture(tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text("\n".join(f"{at:.3f}" for at in poisson(20, 4_000).arrivals))
    picture = tmp_path / "load.svg"
    tried = ["min=1,max=8,service=0.1,price=2", "min=0,max=2,service=0.1,price=2"]
    arguments = ["load.csv", *(part for one in tried for part in ("--set", one)), "--to", "load.svg"]
    done = CliRunner().invoke(command, arguments, obj=str(tmp_path), catch_exceptions=False)
    lines = done.output.splitlines()
    assert lines[0].startswith("4,000 requests in ") and lines[0].endswith("in all of them: service=0.1,price=2")
    assert any(line.split()[:1] == ["min=0,max=2"] and "█" in line for line in lines)
    table = [line for line in lines if line.startswith(("setting", "min="))]
    assert len(table) == 3 and table[0].split()[-1] == "cost" and table[1].startswith("min=1,max=8")
    root = ElementTree.parse(picture).getroot()
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"requests a second", "replicas", "p95 latency", "min=1,max=8", "min=0,max=2"} <= set(texts)
    assert "nan" not in picture.read_text()
    again = CliRunner().invoke(command, arguments, obj=str(tmp_path), catch_exceptions=False)
    assert again.output == done.output


def test_a_picture_of_one_request_and_of_names_with_signs() -> None:
    found = simulate(Recording([0.0]), Setting("<b> & co"))
    ElementTree.fromstring(render_svg([found]))
    assert "<b> & co" in render_text([found]) and "cost" not in render_table([found])
    assert len(thin(list(found.moments) * 1000)) <= 240


def test_figures_are_spelled_for_people() -> None:
    assert [spell_ms(value) for value in (0.25, 3, 45.4, 1400, 30_000, 250_000)] == ["0.2 ms", "3 ms", "45 ms", "1.4 s", "30 s", "250 s"]
    assert [spell_s(value) for value in (45, 720, 14_430, 200_000)] == ["45 s", "12 min", "4 h", "2.3 days"]


def test_settings_are_written_as_for_deploying(tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text("1\n2\n")
    texts = ["min=1,max=4,target=200ms,idle=5m,service=20ms,floor=3@00:00-24:00/mon-sun/Europe/Berlin", "min=2,start=0.5,target=3"]
    arguments = ["load.csv", "-o", "json", *(part for one in texts for part in ("--set", one))]
    done = CliRunner().invoke(command, arguments, obj=str(tmp_path), catch_exceptions=False)
    first, second = json.loads(done.output)
    assert (first["most"], first["p50_ms"], second["most"], second["p50_ms"]) == (3, 20.0, 2, 50.0)


@pytest.mark.parametrize("wrong", ["max", "maxx=3", "max=many", "floor=3", "target=", "idle=soon"])
def test_a_setting_that_is_not_understood_says_how_to_write_it(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "load.csv").write_text("1\n2\n")
    done = CliRunner().invoke(command, ["load.csv", "--set", wrong], obj=str(tmp_path))
    assert isinstance(done.exception, ConfigError) and done.exception.hint
