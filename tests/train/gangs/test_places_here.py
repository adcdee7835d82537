"""What a gang gets of this machine: cores and devices for all its replicas, or a refusal that says what to do."""

from __future__ import annotations

import pytest

import fairway as fw
from fairway.errors import UnsupportedError
from tests.semantics.rig import outputs
from tests.train.gangs.conftest import GangRig
from tests.train.gangs.test_running import words

WHO = """
import json, os
from pathlib import Path

@fw.step(gang=fw.gang({gang}){more})
def who(folder: str) -> int:
    place = fw.context().place
    told = {{name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "LOCAL_RANK")}}
    Path(folder, f"who-{{place.rank}}.json").write_text(json.dumps(told))
    return place.world_size

@fw.pipeline
def main(folder: str):
    return who(folder)
"""


def who(gang: str, more: str = "") -> str:
    return WHO.format(gang=gang, more=more)


def test_devices_are_split_among_replicas_and_no_two_share_one(rig: GangRig) -> None:
    import json

    rig.settings('[targets.local]\ncpu = 8\naccelerators = { "nvidia.com/gpu" = 5 }\n')
    run = rig.run(who('replicas=2, processes=2, per_replica="nvidia.com/gpu:2"'), {"folder": str(rig.root)})
    assert outputs(run) == {"result": 4}
    told = [json.loads((rig.root / f"who-{rank}.json").read_text()) for rank in range(4)]
    assert [(each["CUDA_VISIBLE_DEVICES"], each["LOCAL_RANK"]) for each in told] == [("0,1", "0"), ("0,1", "1"), ("2,3", "0"), ("2,3", "1")]


def test_more_than_the_machine_has_is_refused_before_anything_runs(rig: GangRig) -> None:
    with pytest.raises(UnsupportedError) as refused:
        rig.run(who("replicas=9"), {"folder": str(rig.root)})
    assert "asks for 9 cpu (this machine has 4) for 9 replicas" in str(refused.value)
    assert "min_replicas" in refused.value.hint
    assert "[targets.local]" in refused.value.hint
    with pytest.raises(UnsupportedError, match=r"2 nvidia\.com/gpu"):
        rig.run(who('replicas=2, per_replica="nvidia.com/gpu:1"'), {"folder": str(rig.root)})


def test_where_fewer_will_do_as_many_start_as_there_is_room_for(rig: GangRig) -> None:
    run = rig.run(who("replicas=9, min_replicas=2", ", cpu=1.5"), {"folder": str(rig.root)})
    assert outputs(run) == {"result": 2}
    assert words(run, "log") == ["fairway: starts with 2 of 9 replicas, which is what can be had (min_replicas=2)"]


def test_two_gangs_that_want_the_same_cores_take_turns(rig: GangRig) -> None:
    source = """
        import os
        from pathlib import Path

        @fw.step(gang=fw.gang(replicas=3))
        def train(n: int, folder: str) -> int:
            book = os.open(f"{folder}/book", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(book, f"+{n}\\n".encode())
            Path(folder, f"{n}-{fw.context().rank}").touch()
            while not all(Path(folder, f"{n}-{rank}").exists() for rank in range(3)):
                pass  # none goes on before all are there
            os.write(book, f"-{n}\\n".encode())
            return n

        @fw.pipeline
        def main(folder: str):
            return train(fw.each([1, 2, 3, 4]), folder)
    """
    assert outputs(rig.run(source, {"folder": str(rig.root)})) == {"result": [1, 2, 3, 4]}
    here: list[str] = []
    for line in (rig.root / "book").read_text().split():
        here = [*here, line[1:]] if line[0] == "+" else [n for i, n in enumerate(here) if i != here.index(line[1:])]
        assert len(set(here)) <= 1, "two gangs of three ran at once on four cores"


@pytest.mark.parametrize(
    ("gang", "more", "says", "hint"),
    [
        ('replicas=2, framework="troch"', "", "there is no framework 'troch'", "Did you mean `torch`?"),
        ('replicas=2, framework="tf"', "", "there is no framework 'tf'", 'Write framework="tensorflow"'),
        ("replicas=2, stal_timeout=3", "", "fw.gang has no option 'stal_timeout'", "Did you mean `stall_timeout`?"),
        ("replicas=2, speed=3", "", "fw.gang has no option 'speed'", "takes"),
        ("replicas=2", ", pool=fw.pool(2)", "is a gang, and workers of a pool", "leave pool= out"),
    ],
)
def test_what_cannot_be_a_gang_is_refused_with_the_way_out(rig: GangRig, gang: str, more: str, says: str, hint: str) -> None:
    with pytest.raises(fw.errors.DefinitionError) as refused:
        rig.run(who(gang, more), {"folder": str(rig.root)})
    assert says in refused.value.message
    assert hint in refused.value.hint
    assert "flow_" in refused.value.where


def test_who_lacks_devices_is_not_told_to_share_cores(rig: GangRig) -> None:
    with pytest.raises(fw.errors.UnsupportedError, match=r"asks for .* nvidia\.com/gpu") as refused:
        rig.run(who('replicas=2, per_replica="gpu:1"', ", cpu=0.5"), {"folder": str(rig.root)})
    assert refused.value.hint == (
        '`accelerators = { "nvidia.com/gpu" = 2 }` under [targets.local] in fairway.toml lets it start here without them, '
        "or run it on a target that has as much (--on)"
    )
    with pytest.raises(fw.errors.UnsupportedError) as refused:
        rig.run(who('replicas=2, per_replica="gpu:1"', ", cpu=4"), {"folder": str(rig.root)})
    assert refused.value.hint.startswith('`accelerators = { "nvidia.com/gpu" = 2 }` under [targets.local]')
    assert refused.value.hint.endswith("cpu=0.5 of the step asks for less, and `cpu = 8` there lets ranks share cores")
    with pytest.raises(fw.errors.UnsupportedError) as refused:
        rig.run(who("replicas=9999", ", cpu=1, memory='1Mi'"), {"folder": str(rig.root)})
    assert refused.value.hint.startswith("min_replicas=1 of fw.gang lets it start with fewer here, cpu=0.5")


def test_a_gang_takes_no_batches_and_is_no_dynamic_step(rig: GangRig) -> None:
    batched = who("replicas=2").replace("return who(folder)", "return who(fw.each([folder], batch=2))")
    with pytest.raises(fw.errors.DefinitionError, match="`who` is a gang and lies on the axis") as refused:
        rig.run(batched, {"folder": "x"})
    assert "without batch=2" in refused.value.hint
    dynamic = """
        @fw.step
        def one() -> int:
            return 1

        @fw.dynamic(gang=fw.gang(replicas=2))
        def grow() -> int:
            return one()

        @fw.pipeline
        def main():
            return grow()
    """
    with pytest.raises(fw.errors.DefinitionError, match="dynamic step `grow` cannot be a gang"):
        rig.run(dynamic)
