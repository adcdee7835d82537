"""A monitor alarms on what changed, says so in words, clears when it has passed, and goes on after a restart."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from fairway.data.batch import Batch
from fairway.data.drift import Baseline, Hysteresis, Monitor
from fairway.data.drift.alarming import Signal
from fairway.errors import ConfigError


def rows(count: int, seed: int, shift: float = 0.0, red: float = 0.5) -> Batch:
    rng = np.random.default_rng(seed)
    colours = np.array(["red", "green", "blue"])[rng.choice(3, count, p=[red, 0.8 - red, 0.2])]
    return Batch.of({"height": rng.normal(170 + 10 * shift, 10, count), "colour": colours, "visits": rng.poisson(4, count)})


BASELINE = Baseline.make(rows(20_000, 1), window_rows=1_000)


def test_no_alarm_while_nothing_changes() -> None:
    monitor = Monitor(BASELINE)
    assert [alarm for seed in range(10, 30) for alarm in monitor.add(rows(5_000, seed))] == []
    assert monitor.windows == 100 and monitor.rows == 100_000


def test_a_shift_is_raised_once_told_in_words_and_cleared() -> None:
    monitor = Monitor(BASELINE)
    raised = monitor.add(rows(6_000, 3, shift=0.5))
    assert [(alarm.column, alarm.state) for alarm in raised] == [("height", "raised")]
    assert raised[0].message.startswith("`height` is higher: median 1")
    assert raised[0].value > raised[0].threshold
    assert monitor.active == ["height"]
    cleared = monitor.add(rows(6_000, 4))
    assert [(alarm.column, alarm.state, alarm.id) for alarm in cleared] == [("height", "cleared", raised[0].id)]
    assert monitor.active == []
    json.dumps([alarm.to_json() for alarm in raised])


def test_a_category_that_gains_is_named() -> None:
    [alarm] = Monitor(BASELINE).add(rows(6_000, 3, red=0.65))
    assert "'red' is more frequent: 50" in alarm.message


def test_batches_of_any_size_come_to_the_same() -> None:
    whole, pieces = Monitor(BASELINE), Monitor(BASELINE)
    batch = rows(7_300, 5, shift=0.3)
    found = whole.add(batch)
    cut = [0, 1, 900, 1_000, 1_001, 3_700, 7_300]
    found_in_pieces = [a for start, end in pairwise(cut) for a in pieces.add(batch.slice(start, end))]
    assert [(a.id, a.value) for a in found] == [(a.id, a.value) for a in found_in_pieces]
    assert whole.summary()["facets"] == pieces.summary()["facets"]


@pytest.mark.parametrize("panes", [1, 4])
def test_a_restart_goes_on(panes: int) -> None:
    first = Monitor(BASELINE, panes=panes)
    first.add(rows(2_350, 6, shift=0.5))
    second = Monitor(BASELINE, panes=panes)
    second.restore(json.loads(json.dumps(first.state())))
    rest = rows(3_000, 7, shift=0.5)
    assert [a.value for a in first.add(rest)] == [a.value for a in second.add(rest)]
    assert first.summary() == second.summary()


def test_a_state_of_another_baseline_is_refused() -> None:
    with pytest.raises(ConfigError, match="another baseline"):
        Monitor(BASELINE).restore(Monitor(BASELINE, window_rows=500).state())


def test_sliding_windows_look_at_each_pane() -> None:
    monitor = Monitor(BASELINE, panes=4)
    assert monitor.pane_rows == 250
    [alarm] = monitor.add(rows(2_000, 8, shift=1.0))
    assert alarm.column == "height"


def test_missing_and_changed_columns_alarm() -> None:
    rng = np.random.default_rng(9)
    found = Monitor(BASELINE).add(Batch.of({"height": [str(x) for x in rng.normal(170, 10, 3_000)], "visits": rng.poisson(4, 3_000)}))
    messages = {alarm.column: alarm.message for alarm in found}
    assert "more often no number: 0 % → 100 %" in messages["height"]
    assert "more often null: 0 % → 100 %" in messages["colour"]


def test_hysteresis_raises_on_two_of_three_and_clears_after_three() -> None:
    rule, signal = Hysteresis(), Signal()
    said = [
        rule.step(signal, over=over, far=False) for over in (True, False, False, True, False, True, False, False, True, False, False, False)
    ]
    assert said == ["", "", "", "", "", "raised", "", "", "", "", "", "cleared"]
    assert rule.step(Signal(), over=True, far=True) == "raised"


def test_a_monitor_needs_numpy_alone() -> None:
    code = (
        "import json, sys\nfrom fairway.data.drift import Baseline, Monitor\nfrom fairway.data.batch import Batch\n"
        "import numpy as np\nbase = Baseline.from_json(json.load(sys.stdin))\nmonitor = Monitor(base)\n"
        "monitor.add(Batch.of({'height': np.zeros(3000), 'colour': ['red'] * 3000, 'visits': np.zeros(3000, int)}))\n"
        "assert monitor.active, monitor.summary()\n"
        "print(sorted({'duckdb', 'nanoarrow', 'pyarrow', 'sklearn', 'scipy', 'pandas'} & set(sys.modules)))\n"
    )
    given = json.dumps(BASELINE.to_json())
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True, timeout=180)
    assert done.stdout.strip() == "[]"
