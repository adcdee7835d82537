"""matplotlib, Plotly and Altair figures."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pd = import_module("pandas")

from serializer_rig import Rig  # noqa: E402

from fairway.step.types import Figure  # noqa: E402


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_matplotlib_is_drawn_the_same_every_time(rig: Rig, tmp_path: Path) -> None:
    mpl = import_module("matplotlib")
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    def draw(points: int = 3):
        figure, axes = plt.subplots()
        axes.scatter(range(points), range(points))
        axes.set_title("ROC")
        plt.close(figure)
        return figure

    back = rig.keep(Figure(draw(), title="Curve"))
    assert (back.kind, back.title) == ("svg", "Curve") and b"<svg" in back.data
    assert rig.save(draw()).digest == rig.save(draw()).digest
    assert isinstance(rig.keep(draw()), Figure) and rig.keep(draw().axes[0], declared="fairway.Figure").kind == "svg"
    assert rig.keep(draw(60_000)).kind == "png"
    back.save(tmp_path / "roc.svg")
    assert (tmp_path / "roc.svg").read_bytes() == back.data


def test_plotly_comes_back_live(rig: Rig) -> None:
    import_module("plotly")
    import plotly.graph_objects as go

    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))
    assert rig.keep(figure).to_dict() == figure.to_dict()
    wrapped = rig.keep(Figure(figure))
    assert wrapped.kind == "plotly" and wrapped.value.to_dict() == figure.to_dict()
    assert "application/vnd.plotly.v1+json" in wrapped._repr_mimebundle_()


def test_altair_comes_back_live(rig: Rig) -> None:
    altair = import_module("altair")
    chart = altair.Chart(pd.DataFrame({"a": [1, 2]})).mark_point().encode(x="a:Q")
    for made in (chart, chart + chart, chart | chart):
        back = rig.keep(made)
        assert type(back) is type(made) and back.to_dict() == made.to_dict()
    assert rig.keep(Figure(chart)).kind == "vega-lite" and rig.keep(chart, declared="fairway.Figure").kind == "vega-lite"
