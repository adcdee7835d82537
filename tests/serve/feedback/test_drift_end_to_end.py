"""A model of credit risk, served on this machine: its traffic changes, an alarm comes and goes. Everything is real but the wait."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fairway as fw
from fairway.data.schema.infer import infer
from fairway.engine.localserver import find_server, stop_server
from fairway.serve.feedback import gather
from fairway.serve.feedback.gather import Gatherer
from fairway.spec.endpoint import Endpoint
from fairway.spec.record import from_plain, replace
from fairway.step.types import Model
from tests.cli.test_serving_endpoints import Place
from tests.data.damages import credit

pd = import_module("pandas")
import_module("skops")
import_module("pyarrow")
from sklearn.compose import ColumnTransformer  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import OneHotEncoder, StandardScaler  # noqa: E402

NUMBERS = ["LIMIT_BAL", "SEX", "AGE", "PAY_0", "BILL_AMT1", "PAY_AMT1"]
INPUTS = [*NUMBERS, "EDUCATION"]
SCHOOLS = ["Université", "Gymnasium Zürich", "Högskola"]
LABEL = "default"
WINDOW = 250
EACH = 50


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in ("FAIRWAY_HOME", "FAIRWAY_TARGET", "FAIRWAY_JOURNAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gather, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(gather, "_WATCHED_PATIENCE_S", 0.0)
    made = Place(tmp_path, capsys)
    yield made
    home = str(tmp_path / ".fairway")
    if find_server(home) is not None:
        made.run("endpoints", "risk", "--delete", "--yes")
        stop_server(home)


@pytest.fixture
def table() -> Any:
    found = pd.DataFrame(credit(seed=0))
    found[LABEL] = (found.PAY_0 > 1).astype(int)
    return found[[*INPUTS, LABEL]]


class Caller:
    """Sends rows, and has what was kept of them looked at at once."""

    def __init__(self, place: Place, url: str, table: Any) -> None:
        self.place, self.url, self.table = place, url, table
        self.home = place.root / ".fairway"
        self.random = np.random.default_rng(1)
        self.kept = 0

    def send(self, count: int, *, factor: int = 1, weights: tuple[float, ...] = ()) -> set[int]:
        """The statuses of the answers."""
        rows = self.table.sample(count, random_state=int(self.random.integers(1 << 30)))[INPUTS].copy()
        rows["LIMIT_BAL"] *= factor
        if weights:
            rows["EDUCATION"] = self.random.choice(SCHOOLS, count, p=weights)
        plain = json.loads(rows.to_json(orient="records"))
        statuses: set[int] = set()
        for at in range(0, count, EACH):
            body = json.dumps({"inputs": plain[at : at + EACH]}).encode()
            request = urllib.request.Request(f"{self.url}/predict", body, {"content-type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    statuses.add(answer.status)
            except urllib.error.HTTPError as error:
                statuses.add(error.code)
        self.kept += count
        return statuses

    def look(self) -> Any:
        """What is known of the traffic once all that was sent is in it."""
        plain = self.place.json("endpoints", "risk")["endpoint"]
        endpoint = replace(from_plain(Endpoint, plain), notify=tuple(plain["notify"]))
        gatherer = Gatherer(self.home / "serve" / "spool", self.home / "blobs", is_local=True)
        until = time.monotonic() + 60
        while True:
            asyncio.run(gatherer.gather([endpoint]))
            drift = gatherer.found["risk"].drift
            assert not drift.error and not gatherer.found["risk"].error
            if drift.revisions and drift.revisions[0].rows == self.kept and not drift.waiting:
                return drift
            assert time.monotonic() < until, (drift, self.kept)


def test_an_alarm_comes_with_the_change_and_goes_with_it(place: Place, table: Any) -> None:
    columns = ColumnTransformer([("n", StandardScaler(), NUMBERS), ("k", OneHotEncoder(handle_unknown="ignore"), ["EDUCATION"])])
    estimator = make_pipeline(columns, LogisticRegression()).fit(table[INPUTS], table[LABEL])
    schema = infer(fw.measure(table), label=LABEL)
    model = Model(estimator, example=table[INPUTS].head(), baseline=fw.baseline(table, window_rows=WINDOW), schema=schema)
    model.save(place.root / "model")
    told = place.root / "told.ndjson"
    hook = place.root / "hook.py"
    hook.write_text(f"import sys\nwith open({str(told)!r}, 'a') as file:\n    print(sys.stdin.read(), file=file)\n")
    notify = f"command:{sys.executable} {hook}"
    url = place.run("deploy", str(place.root / "model"), "--name", "risk", "--capture", "1", "--notify", notify).strip()
    caller = Caller(place, url, table)

    assert caller.send(6 * WINDOW) == {200}
    drift = caller.look()
    assert drift.alarms == () and not told.exists()
    # a rest that is too small to be judged waits for more; how large it is depends on when files of traffic were closed
    assert drift.revisions[0].windows in (5, 6) and not any(one.active for one in drift.revisions[0].facets)

    assert caller.send(3 * WINDOW, factor=1000, weights=(0.7, 0.2, 0.1)) == {422}, "the schema of the data refuses what is beyond it"
    assert caller.send(3 * WINDOW, weights=(0.7, 0.2, 0.1)) == {200}
    drift = caller.look()
    raised = {(one.kind, one.column) for one in drift.alarms if one.state == "raised"}
    assert {("drift", "LIMIT_BAL"), ("drift", "EDUCATION"), ("too-large", "LIMIT_BAL")} <= raised
    alarms = [one for line in told.read_text().splitlines() for one in json.loads(line)["alarms"]]
    assert {(one["kind"], one["column"]) for one in alarms if one["state"] == "raised"} == raised
    assert "EDUCATION" in {one.column for one in drift.revisions[0].active}

    assert caller.send(8 * WINDOW) == {200}
    drift = caller.look()
    assert drift.revisions[0].active == ()
    alarms = [one for line in told.read_text().splitlines() for one in json.loads(line)["alarms"]]
    assert {(one["kind"], one["column"]) for one in alarms if one["state"] == "cleared"} == raised
    assert b"EDUCATION" in (place.root / ".fairway" / "blobs" / "watch" / "risk.1.html").read_bytes()
