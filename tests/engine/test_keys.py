"""Cache keys: what they are made of, what they leave out, and that they are the same everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.engine.keys import StepKey, cache_key, code_name, fill_codes, packages_of
from fairway.spec.artifact import ArtifactRef
from fairway.spec.environment import Environment
from fairway.spec.gang import Gang
from fairway.spec.graph import Graph, Node, Port, StepDef
from fairway.spec.record import replace
from fairway.spec.resources import Resources, Retry

STEP = StepDef("train", module="flow", qualname="train", inputs=(Port("x", "int"), Port("y", "int")), code="c0de")
ONE = ArtifactRef("1" * 64, 1, "json", "int", inline="1")
TWO = ArtifactRef("2" * 64, 1, "json", "int", inline="2")


def key(step: StepDef = STEP, python: str = "3.12", packages: dict[str, str] | None = None, **inputs: ArtifactRef) -> str:
    return StepKey(step, python, packages or {}).key(inputs or {"x": ONE, "y": TWO})


COUNTS: list[tuple[str, dict[str, Any]]] = [
    ("reachable code", {"code": "other"}),
    ("function", {"qualname": "other"}),
    ("module", {"module": "other"}),
    ("outputs", {"outputs": (Port("result", "float"),)}),
    ("what it returns", {"returns": "dict"}),
    ("kind", {"kind": "dynamic"}),
    ("secrets", {"secrets": ("TOKEN",)}),
    ("image", {"environment": Environment(image="img@sha256:1")}),
    ("variables", {"environment": Environment(variables={"A": "1"})}),
    ("lock", {"environment": Environment(packages=("a",), lock="10c4")}),
    ("requirements", {"environment": Environment(packages=("a",))}),
    ("a gang", {"gang": Gang(2)}),
    ("a gang's size", {"gang": Gang(4)}),
    ("a gang's processes", {"gang": Gang(2, processes=2)}),
    ("a gang's framework", {"gang": Gang(2, "torch")}),
    ("a gang's roles", {"gang": Gang(2, roles={"chief": 1, "worker": 1})}),
    ("a gang's options", {"gang": Gang(2, options={"backend": "nccl"})}),
]
COUNTS_NOT: list[tuple[str, dict[str, Any]]] = [
    ("name", {"name": "fit"}),
    ("resources", {"resources": Resources(cpu=8, memory_bytes=1)}),
    ("retries", {"retry": Retry(attempts=5)}),
    ("timeout", {"timeout_s": 60.0}),
    ("documentation", {"doc": "Says more.", "where": "other.py:9"}),
    ("cache", {"cache": False}),
]


@pytest.mark.parametrize(("what", "changes"), COUNTS, ids=[what for what, _ in COUNTS])
def test_it_counts(what: str, changes: dict[str, Any]) -> None:
    assert key(replace(STEP, **changes)) != key()


@pytest.mark.parametrize(("what", "changes"), COUNTS_NOT, ids=[what for what, _ in COUNTS_NOT])
def test_it_does_not_count(what: str, changes: dict[str, Any]) -> None:
    assert key(replace(STEP, **changes)) == key()


def test_how_long_a_gang_waits_and_how_often_it_starts_again_does_not_count() -> None:
    patient = Gang(2, min_replicas=1, restarts=9, stall_timeout_s=5.0, start_timeout_s=1.0)
    assert key(replace(STEP, gang=patient)) == key(replace(STEP, gang=Gang(2)))


def test_every_part_of_the_key_is_distinct() -> None:
    keys = [key(replace(STEP, **changes)) for _, changes in COUNTS]
    assert len({*keys, key()}) == len(COUNTS) + 1


def test_python_counts_by_its_minor_version() -> None:
    assert key(python="3.12.4") == key(python="3.12.9") == key(python="3.12")
    assert key(python="3.13") != key(python="3.12")


def test_package_versions_count_unless_a_lock_pins_them() -> None:
    assert key(packages={"numpy": "2.1"}) != key(packages={"numpy": "2.2"})
    locked = replace(STEP, environment=Environment(packages=("numpy",), lock="10c4"))
    assert key(locked, packages={"numpy": "2.1"}) == key(locked, packages={"numpy": "2.2"})


def test_inputs_count_by_name_and_content() -> None:
    assert key(x=ONE, y=TWO) == key(y=TWO, x=ONE)
    assert len({key(x=ONE, y=TWO), key(x=TWO, y=ONE), key(x=ONE, y=ONE), key(x=ONE), key(x=ONE, z=TWO)}) == 5


def test_the_same_bytes_in_another_format_are_another_value() -> None:
    text = replace(ONE, format="text", type="str", inline=None)
    assert len({key(x=ONE), key(x=text), key(x=replace(text, format="bytes", type="bytes"))}) == 3


def test_what_a_reference_says_beside_its_content_does_not_count() -> None:
    assert key(x=replace(ONE, name="other", size_bytes=9, meta={"rows": 3}, inline=None)) == key(x=ONE)


def test_a_command_counts_with_its_words_and_exit_codes() -> None:
    command = StepDef("r", kind="command", argv=("Rscript", "train.R"), code="f11e")
    others = [replace(command, argv=("Rscript", "fit.R")), replace(command, exit_codes={"3": "skip"}), replace(command, code="other")]
    assert len({key(one) for one in (command, *others)}) == 4


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 9), max_size=4), st.randoms())
@settings(max_examples=50, deadline=None)
def test_no_order_of_anything_counts(named: dict[str, int], random: Any) -> None:
    names = list(named)
    random.shuffle(names)
    step = replace(STEP, environment=Environment(variables={n: str(named[n]) for n in named}), exit_codes={})
    other = replace(STEP, environment=Environment(variables={n: str(named[n]) for n in names}), exit_codes={})
    refs = {n: replace(ONE, digest=str(named[n])) for n in named}
    versions = {n: str(named[n]) for n in named}
    assert StepKey(step, "3.12", versions).key(refs) == StepKey(other, "3.12", {n: versions[n] for n in names}).key(
        {n: refs[n] for n in names}
    )


def test_the_parts_that_are_told_are_those_that_are_hashed() -> None:
    made, parts = cache_key(STEP, {"x": ONE}, "3.12", {"numpy": "2.1"})
    assert made == key(x=ONE, packages={"numpy": "2.1"})
    assert (parts["code"], parts["python"], parts["packages"], parts["inputs"]) == ("c0de", "3.12", {"numpy": "2.1"}, {"x": "1" * 64})


ELSEWHERE = """
import json, sys
from fairway.engine.keys import StepKey
from fairway.spec.record import from_plain
from fairway.spec.graph import StepDef
from fairway.spec.artifact import ArtifactRef
step, refs, packages = json.load(sys.stdin)
print(StepKey(from_plain(StepDef, step), "3.12", packages).key({n: from_plain(ArtifactRef, r) for n, r in refs.items()}))
"""


def test_the_key_is_the_same_in_another_process(tmp_path: Path) -> None:
    from fairway.spec.record import to_plain

    step = replace(STEP, environment=Environment(variables={"B": "2", "A": "1"}), secrets=("T", "S"))
    packages = {"scipy": "1", "numpy": "2"}
    wanted = key(step, packages=packages)
    given_ = json.dumps([to_plain(step), {"y": to_plain(TWO), "x": to_plain(ONE)}, dict(reversed(packages.items()))])
    for seed in ("0", "4711"):
        environ = {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        done = subprocess.run(
            [sys.executable, "-c", ELSEWHERE], input=given_, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == wanted


def test_steps_of_a_grown_graph_get_the_codes_that_were_foreseen_and_others_their_owners() -> None:
    grown = Graph(
        "tune",
        steps={
            "fit": StepDef("fit", module="flow", qualname="fit"),
            "made": StepDef("made", module="flow", qualname="make.<locals>.made"),
            "r": StepDef("r", kind="command", argv=("Rscript", "a.R")),
        },
        nodes=(Node("fit", "fit"),),
    )
    facts = {"codes": {"flow:fit": "f17", code_name("", "", ("Rscript", "a.R")): "5c21"}}
    filled = fill_codes(grown, facts, StepDef("tune", kind="dynamic", code="0w4e4"))
    assert {name: step.code for name, step in filled.steps.items()} == {"fit": "f17", "made": "0w4e4", "r": "5c21"}


def test_package_versions_are_found_by_step_and_in_grown_graphs_by_function() -> None:
    facts = {"packages": {"fit": {"numpy": "1"}, "flow:fit": {"numpy": "2"}}}
    step = StepDef("fit", module="flow", qualname="fit")
    assert packages_of(facts, "", "fit", step) == {"numpy": "1"}
    assert packages_of(facts, "tune", "fit-2", step) == {"numpy": "2"}
    assert packages_of({}, "", "fit", step) == {}
