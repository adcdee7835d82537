"""`fairway data watch`, as users start it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.data.batch import Batch
from fairway.data.drift import Baseline
from tests.data.sensors import Readings, readings, then, with_gap, zone_shifted
from tests.data.test_notify import Receiver
from tests.data.test_watch import DOCUMENT

CALM = readings(600, seed=21)
ENVIRONMENT = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "schema.json").write_text(json.dumps(DOCUMENT))
    return tmp_path


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def _words(*words: str) -> list[str]:
    return [sys.executable, "-m", "fairway", "data", "watch", *words]


def _run(folder: Path, *words: str, told: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(_words(*words), cwd=folder, input=told, capture_output=True, env=ENVIRONMENT, timeout=120, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def _trouble() -> Readings:
    slow = readings(300, seed=22, begin_s=CALM.end_s, period_s=10)
    calm = with_gap(readings(900, seed=23, begin_s=slow.end_s), 300, 60)
    return then(CALM, slow, calm, zone_shifted(readings(900, seed=24, begin_s=calm.end_s), -1.0, first=300))


def test_the_sensors_of_the_talk(folder: Path) -> None:
    (folder / "d.ndjson").write_bytes(_trouble().ndjson())
    status, out, err = _run(folder, "d.ndjson", "--schema", "schema.json", "--once", "--window", "100")
    assert status == 1, err
    alarms = [line for line in out.splitlines() if "  alarm  " in line]
    assert len([line for line in alarms if "now comes every 10 s" in line]) == 1
    assert len([line for line in alarms if "gap of more than 30 s" in line]) == 1
    assert len([line for line in alarms if "jumps back by 60 min" in line]) == 1
    assert len(alarms) <= 4
    assert "nothing is wrong at the end" in out


def test_calm_ends_with_0_and_one_line(folder: Path) -> None:
    (folder / "d.ndjson").write_bytes(CALM.ndjson())
    status, out, _ = _run(folder, "d.ndjson", "--schema", "schema.json", "--once")
    assert status == 0
    assert len(out.splitlines()) == 1
    assert "600 rows" in out


def test_lines_of_json_from_standard_input(folder: Path) -> None:
    status, out, err = _run(folder, "-", "--schema", "schema.json", "-o", "json", "--window", "500", told=_trouble().ndjson() + b"poison\n")
    assert status in (0, 1), err
    told = [json.loads(line) for line in out.splitlines()]
    assert {one["event"] for one in told} == {"alarm", "window", "end"}
    assert sum(one["rows"] for one in told if one["event"] == "window") == len(_trouble())
    assert any(one["event"] == "alarm" and one["kind"] == "rows-rejected" for one in told)
    assert told[-1]["event"] == "end"


def test_poison_is_kept_aside(folder: Path) -> None:
    _run(folder, "-", "--schema", "schema.json", "--rejects", "bad.ndjson", told=CALM.ndjson() + b"{poison\n")
    assert json.loads((folder / "bad.ndjson").read_text())["text"] == "{poison"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("d.ndjson",), "nothing to hold the stream to"),
        (("d.ndjson", "--schema", "none.json"), "none.json"),
        (("d.ndjson", "--schema", "schema.json", "--once"), "there is no file d.ndjson"),
        (("ftp://x", "--schema", "schema.json"), "ftp:// is no stream"),
        (("-", "--schema", "schema.json", "--window", "soon"), "'soon' does not say"),
        (("-", "--schema", "schema.json", "--notify", "pigeon"), "cannot be sent to pigeon"),
        (("-", "--schema", "schema.json", "--set", "spam=1"), "no option 'spam'"),
    ],
)
def test_misuse_ends_with_2(folder: Path, words: tuple[str, ...], problem: str) -> None:
    status, out, err = _run(folder, *words)
    assert status == 2
    assert problem in err
    assert out == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_cleanly_and_the_next_watch_goes_on(folder: Path, receiver: Receiver, number: int) -> None:
    data = folder / "d.ndjson"
    data.write_bytes(_trouble().take(slice(0, 900)).ndjson())
    words = ["d.ndjson", "--schema", "schema.json", "--group", "g", "--start", "oldest", "--window", "100", "-o", "json"]
    words += ["--notify", receiver.url, "--name", "sensors"]
    process = subprocess.Popen(_words(*words), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert process.stdout is not None
    assert process.stderr is not None
    rows = 0
    while rows < 900:
        rows += json.loads(process.stdout.readline()).get("rows", 0)
    process.send_signal(number)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 1, err  # half the rate is still wrong
    assert json.loads(out.splitlines()[-1])["event"] == "end"
    assert err == b""
    bodies: list[Any] = receiver.wait(1)
    assert [one["kind"] for body in bodies for one in body["alarms"] if "every 10 s" in one["message"]]
    assert bodies[0]["source"] == "sensors"
    with data.open("ab") as file:
        file.write(readings(400, seed=30, begin_s=_trouble().take(slice(0, 900)).end_s).ndjson())
    status, text, _ = _run(folder, *words[:-4], "--once")
    told = [json.loads(line) for line in text.splitlines()]
    assert status == 0, "what the first watch raised has cleared"
    assert [one["offsets"] for one in told if one["event"] == "window"] == [{"first": n, "last": n + 99} for n in range(900, 1300, 100)]
    assert ("cadence-changed", "cleared") in [(one["kind"], one["state"]) for one in told if one["event"] == "alarm"]


def test_a_schema_names_its_baseline(folder: Path) -> None:
    schema = {"type": "object", "properties": {"temperature": {"type": "number"}}, "x-fairway": {"baseline": "baseline.json"}}
    (folder / "in" / "here").mkdir(parents=True)
    (folder / "in" / "here" / "schema.json").write_text(json.dumps(schema))
    (folder / "d.ndjson").write_bytes(b"".join(b'{"temperature": 90.5}\n' for _ in range(500)))
    words = ["d.ndjson", "--schema", "in/here/schema.json", "--once", "-o", "json"]
    status, _, err = _run(folder, *words)
    assert status == 2 and "in/here/baseline.json" in err
    Baseline.make(Batch.of({"temperature": CALM.temperature}), window_rows=100).save(folder / "in" / "here" / "baseline.json")
    status, out, err = _run(folder, *words)
    told = [json.loads(line) for line in out.splitlines()]
    assert status == 1, err
    assert [(one["kind"], one["column"]) for one in told if one["event"] == "alarm"] == [("drift", "temperature")]


def test_a_hook_that_hangs_does_not_hold_up_the_stream_and_what_it_missed_is_sent_by_the_next_watch(
    folder: Path, receiver: Receiver
) -> None:
    (folder / "d.ndjson").write_bytes(_trouble().take(slice(0, 2600)).ndjson())
    receiver.hold.clear()
    words = ["d.ndjson", "--schema", "schema.json", "--window", "100", "--notify", receiver.url, "-o", "json"]
    process = subprocess.Popen(
        _words(*words, "--start", "oldest"), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT
    )
    assert process.stdout is not None
    rows = 0
    while rows < 2600:
        rows += json.loads(process.stdout.readline()).get("rows", 0)
    with receiver.arrived:
        assert receiver.arrived.wait_for(lambda: receiver.bodies, 60)
    assert len(receiver.bodies) == 1  # one is held, the others wait
    process.kill()
    process.communicate()
    receiver.hold.set()
    status, _, _ = _run(folder, *words, "--once", "--start", "new")
    assert status == 0
    told = [one["message"] for body in receiver.bodies for one in body["alarms"]]
    assert any("every 10 s" in one for one in told)
    assert any("jumps back" in one for one in told)


def test_a_terminal_shows_what_is_wrong_now(folder: Path) -> None:
    (folder / "d.ndjson").write_bytes(_trouble().take(slice(0, 900)).ndjson())
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        words = _words("d.ndjson", "--schema", "schema.json", "--once", "--window", "100", "--notify", "command:false", "--name", "sensors")
        os.execve(words[0], words, {**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"})
    shown = b""
    try:
        while piece := os.read(terminal, 65_536):
            shown += piece
    except OSError:  # its end, on Linux
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 1
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    last = text[text.rindex("sensors  ■ ended") :]
    assert "900 rows" in last
    assert "✗ at now comes every 10 s" in last
    assert "→ false  0 sent" in last
    assert "not delivered" in text


def test_memory_stays_within_50_mb(folder: Path) -> None:
    (folder / "d.ndjson").write_bytes(readings(60_000, seed=40).ndjson())
    code = (
        "import sys\n"
        "from fairway.cli import main\n"
        "status = main(['data', 'watch', 'd.ndjson', '--schema', 'schema.json', '--once'])\n"
        "unwanted = sorted({'duckdb', 'pyarrow', 'pandas', 'nanoarrow', 'ssl'} & set(sys.modules))\n"
        "told = open('/proc/self/status').read()\n"
        "print(int(told.partition('VmHWM:')[2].split()[0]) // 1024, unwanted)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    size, unwanted = done.stdout.splitlines()[-1].split(" ", 1)
    assert unwanted == "[]"
    assert int(size) <= 50
