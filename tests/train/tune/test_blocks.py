"""Blocks of trials that have ended, for real: read once by the worker that answers suggestions, and kept while a search needs them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from fairway.dsl.search import make_search
from fairway.engine import library, trialhistory
from fairway.engine.library import StoreLibrary
from fairway.spec.artifact import blob_key
from fairway.spec.attempt import AttemptItem, AttemptSpec, Input, attempt_id
from fairway.spec.graph import Port, StepDef
from fairway.spec.record import to_plain
from fairway.spec.study import SAMPLER_STATE, SUGGESTION
from fairway.step.folder import FolderArtifactStore
from fairway.step.plainjson import render
from tests.executors.rig import RUN, Bench, bench
from tests.semantics.rig import Rig

__all__ = ["bench"]
SUGGEST = StepDef(
    "suggest",
    module="fairway.train.tune.suggesting",
    qualname="suggest",
    inputs=(Port("history"), Port("ended", "paths"), Port("search")),
    outputs=(Port("x"), Port(SUGGESTION), Port(SAMPLER_STATE)),
    returns="dict",
)


def block_of(first: int, count: int = 8) -> str:
    trials: list[dict[str, Any]] = [
        {"index": n, "status": "succeeded", "params": {"x": n / 64}, "values": [n / 64]} for n in range(first, first + count)
    ]
    return json.dumps(trials)


def test_a_worker_reads_a_block_for_the_first_suggestion_and_for_none_after_it(bench: Bench) -> None:
    made = StoreLibrary(bench.store)
    search = to_plain(make_search({"x": ("float", 0, 1)}, "loss", "min"))
    blocks = [made.kept(block_of(first), "list") for first in (0, 8)]
    given = {"history": made.constant({"trials": []}), "ended": made.collect(blocks), "search": made.constant(search)}
    item = AttemptItem("suggest[16]", {name: Input(ref=ref) for name, ref in given.items()})
    found: list[Any] = []
    for name in ("one", "two"):
        spec = AttemptSpec(attempt_id(RUN, name, 1), RUN, "suggest", 1, SUGGEST, "", (item,))
        bench.submit(spec)
        (outcome,) = bench.wait(spec).items
        assert outcome.status == "succeeded", outcome.error
        found.append(outcome.outputs["x"].inline)
        for block in blocks:
            file = str(bench.store.local_path(blob_key(block.digest)))
            os.chmod(file, 0o600)
            Path(file).write_text("damaged since")
    assert found[0] == found[1]


def test_a_block_that_is_asked_for_every_now_and_then_is_no_garbage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderArtifactStore(tmp_path)
    made = StoreLibrary(store)
    text = block_of(0)
    ref = made.kept(text, "list")
    assert store.get(blob_key(ref.digest)).decode() == text and ref.inline is None
    store.delete(blob_key(ref.digest))
    assert made.kept(text, "list") == ref
    assert store.stat(blob_key(ref.digest)) is None, "not each time: a store may be far away"
    monkeypatch.setattr(library, "PUT_AGAIN_S", -1.0)
    assert made.kept(text, "list") == ref
    assert store.stat(blob_key(ref.digest)) is not None


def test_what_a_suggestion_carries_does_not_grow_with_the_search(rig: Rig) -> None:
    """Of a real search: the trials in no block are few at its end, and each block is stored once."""
    trials = 2 * trialhistory.BLOCK + 3
    file = rig.write("""
    @fw.step
    def fit(x: float) -> float:
        return x
    """)
    said = rig.fairway("tune", file, "--metric", "result", "--vary", "x=float:0:1", "--trials", str(trials), "--sampler", "random")
    assert said.returncode == 0, said.stderr
    run = rig.last()
    state, made = run.workspace.state(run.id), StoreLibrary(run.workspace.artifacts)
    scope = state.scopes[""]
    inputs, at = scope.nodes["tune.suggest"].node.inputs, {scope.nodes["tune.suggest"].node.axes[-1]: trials - 1}
    assert {name: expr.output for name, expr in inputs.items() if expr.kind == "history"} == {"history": "rest", "ended": "ended"}
    whole = json.loads(trialhistory.history_text(state, scope, inputs["history"], at, made))["trials"]
    assert len(whole) == trials - 1
    rest = json.loads(trialhistory.rest_text(state, scope, inputs["history"], at, made))["trials"]
    assert rest == whole[2 * trialhistory.BLOCK :]
    for first in (0, trialhistory.BLOCK):
        text = render(whole[first : first + trialhistory.BLOCK])
        assert run.workspace.artifacts.get(blob_key(hashlib.sha256(text).hexdigest())) == text
