"""A project with a run in it: driven by the real driver over real stores, its steps played by a scripted executor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fairway.cli.app import app
from fairway.engine.driver import Driver
from fairway.engine.project import load_project
from fairway.engine.services import Services
from fairway.engine.workspace import Workspace
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import RunStarted
from fairway.spec.graph import Axis, Expr, Graph, Guard, Node, Param, Port, StepDef
from fairway.spec.ports import run_now
from fairway.store import open_journal
from fairway.testing.scripted import Call, ScriptedExecutor
from tests.apart import forget_settings
from tests.cli.project import Project

FIRST_RUN = "20261124-081503-x7kq3"
SECOND_RUN = "20261124-091500-m2abc"


def output(node: str, name: str = "result") -> Expr:
    return Expr("output", node, name)


def make_graph() -> Graph:
    """load -> train for each depth -> best -> publish if good, discard if not."""
    steps = [
        StepDef("load", inputs=(Port("path", "str"),)),
        StepDef("train", inputs=(Port("data"), Port("depth", "int"))),
        StepDef(
            "best", inputs=(Port("scores", "list[float]"),), outputs=(Port("winner", "int"), Port("auc", "float")), returns="namedtuple"
        ),
        StepDef("publish", inputs=(Port("auc", "float"),)),
        StepDef("discard", inputs=(Port("auc", "float"),)),
    ]
    good = Expr("op", ">", args=(output("best", "auc"), Expr("const", value=0.5)))
    nodes = (
        Node("load", "load", {"path": Expr("param", "path")}),
        Node("train", "train", {"data": output("load"), "depth": Expr("item", "depths")}, axes=("depths",)),
        Node("best", "best", {"scores": Expr("collect", args=(output("train"),))}),
        Node("publish", "publish", {"auc": output("best", "auc")}, guards=(Guard(good),)),
        Node("discard", "discard", {"auc": output("best", "auc")}, guards=(Guard(good, wanted=False),)),
    )
    params = (Param("path", "str", "data.csv", help="where the data is"), Param("depths", "list[int]", [1, 2, 3]))
    return Graph(
        "churn",
        params,
        {step.name: step for step in steps},
        nodes,
        {"depths": Axis("depths", (Expr("param", "depths"),))},
        {"winner": output("best", "winner"), "auc": output("best", "auc")},
        doc="Who leaves?",
    )


def compute(call: Call) -> Any:
    if call.step == "load":
        return [1, 2, 3]
    if call.step == "train":
        if call.inputs["depth"] < 0:
            raise ValueError(f"depth must be positive, not {call.inputs['depth']}")
        return call.inputs["depth"] / 4
    if call.step == "best":
        return {"winner": len(call.inputs["scores"]), "auc": max(call.inputs["scores"])}
    return None


class Shop:
    """A project folder, and the ways to run in it and to ask about it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workspace = Workspace(load_project(str(root), variables={}))
        Path(self.workspace.project.home).mkdir(parents=True)

    def run(self, run: str = FIRST_RUN, *, depths: list[int] | None = None, on_events: Any = None, **more: Any) -> Any:
        """Drive a run to its end; returns its state."""
        artifacts = self.workspace.artifacts
        executor = ScriptedExecutor(artifacts, more.pop("compute", compute))
        journal = open_journal(self.workspace.project.journal)
        services = Services(self.workspace.project.home, journal, artifacts, self.workspace.streams, executor)
        graph = more.pop("graph", None) or make_graph()
        params = {"path": inline("data.csv"), "depths": inline(depths or [1, 2, 3])}
        begin = [RunStarted(run, graph, params, "", executor.now, project="shop", **more)]
        driver = Driver(run, services, begin=begin, on_events=on_events, clock=executor.clock)
        state = run_now(driver.drive())
        run_now(journal.close())
        return state

    def ask(self, *words: str, input: str | None = None) -> Result:
        """`fairway -C ROOT WORDS` in this process."""
        return CliRunner().invoke(app, ["-C", str(self.root), *words], input=input)

    def ask_json(self, *words: str) -> Any:
        """The same with `-o json`, parsed."""
        result = self.ask(*words, "-o", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


def inline(value: Any) -> ArtifactRef:
    import hashlib

    text = json.dumps(value)
    return ArtifactRef(hashlib.sha256(text.encode()).hexdigest(), len(text), "json", type(value).__name__, inline=text)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    forget_settings(monkeypatch)
    root = tmp_path / "shop"
    root.mkdir()
    yield Shop(root)


@pytest.fixture
def shop_with_run(shop: Shop) -> Shop:
    shop.run(name="nightly", tags=("first",))
    return shop


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of real files, run by the real executor."""
    forget_settings(monkeypatch)
    return Project(tmp_path)


Runner = Callable[..., Result]
