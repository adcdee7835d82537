"""Commands that start ranks themselves: once a replica, and told what their author left out."""

from __future__ import annotations

import pytest

from fairway.spec.gang import Gang, World, places_of
from fairway.train.frameworks import get_framework

HOSTS = ("10.0.0.1", "10.0.0.2")


def commands(framework: str, words: list[str]) -> list[list[str]]:
    gang = Gang(2, framework, processes=2)
    places = places_of(gang, World(HOSTS, ((1, 2, 3, 4), (1, 2, 3, 4))), "a", folder="/given")
    found = [list(get_framework(framework).command(place, gang, tuple(words))) for place in places]
    assert found == [list(get_framework(framework).command(place, gang, words)) for place in places]
    return found


@pytest.mark.parametrize("framework", ["torch", "deepspeed", "accelerate", "keras", "tensorflow", "jax"])
def test_a_program_is_started_for_every_rank(framework: str) -> None:
    assert commands(framework, ["python", "train.py", "--epochs", "3"]) == [["python", "train.py", "--epochs", "3"]] * 4


@pytest.mark.parametrize("argv", [["torchrun", "t.py"], ["/opt/bin/torchrun", "t.py"], ["python3", "-m", "torch.distributed.run", "t.py"]])
@pytest.mark.parametrize("framework", ["torch", "deepspeed", "accelerate", "keras"])
def test_torchrun_is_started_once_a_replica_and_finds_its_arguments_in_variables(framework: str, argv: list[str]) -> None:
    assert commands(framework, argv) == [argv, [], argv, []]


def test_deepspeed_is_told_how_many_and_where_and_needs_no_ssh() -> None:
    first, second, third, fourth = commands("deepspeed", ["deepspeed", "train.py", "--deepspeed", "ds.json"])
    assert (second, fourth) == ([], [])
    assert first[-3:] == ["train.py", "--deepspeed", "ds.json"]
    assert first[:-3] == [
        *("deepspeed", "--no_ssh", "--hostfile", "/given/deepspeed-hosts", "--node_rank", "0"),
        *("--master_addr", "10.0.0.1", "--master_port", "1"),
    ]
    assert third[third.index("--node_rank") + 1] == "1"


@pytest.mark.parametrize("argv", [["accelerate", "launch"], ["python", "-m", "accelerate.commands.launch"]])
def test_accelerate_launch_is_told_the_rest(argv: list[str]) -> None:
    first, _, third, _ = commands("accelerate", [*argv, "train.py", "--lr", "0.1"])
    assert first[: len(argv)] == argv
    assert first[-3:] == ["train.py", "--lr", "0.1"]
    options = dict(zip(first[len(argv) + 1 : -3 : 2], first[len(argv) + 2 : -3 : 2], strict=True))
    assert first[len(argv)] == "--multi_gpu"
    assert options["--num_processes"] == "4"
    assert options["--main_process_ip"] == "10.0.0.1"
    assert third[third.index("--machine_rank") + 1] == "1"


def test_what_the_author_has_written_is_left_alone() -> None:
    first = commands(
        "accelerate", ["accelerate", "launch", "--mixed-precision=bf16", "--num_processes", "8", "train.py", "--dynamo-backend=x"]
    )[0]
    assert first.count("--num_processes") == 1
    assert "--mixed_precision" not in first
    assert first[first.index("--num_processes") + 1] == "8"
    assert "--dynamo_backend" in first, "what the script takes is none of the launcher's"


def test_another_program_of_accelerate_is_no_launcher() -> None:
    assert commands("accelerate", ["accelerate", "env"]) == [["accelerate", "env"]] * 4
