"""Hugging Face Accelerate: PyTorch's variables, and those by which `accelerate launch` says what `Accelerator()` is to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from fairway.spec.gang import Gang, Place
from fairway.train.frameworks.launchers import first_of_replica, runs_module, with_arguments
from fairway.train.frameworks.plain import Plain
from fairway.train.frameworks.torch import Torch


class Accelerate:
    """`accelerate.Accelerator()` needs no argument, on CPUs (which Accelerate alone does only by MPI) and on GPUs. A command that is itself
    `accelerate launch SCRIPT` is started once a replica and told the rest."""

    name = "accelerate"
    title = "Accelerate"
    style = "ranks"
    source = "https://huggingface.co/docs/accelerate/package_reference/cli#accelerate-launch"
    alone = Torch.alone
    options: Mapping[str, str] = {
        **Torch.options,
        "mixed_precision": '"no", "fp16", "bf16" or "fp8"; what the script says itself wins',
        "cpu": "True: on CPUs although there are GPUs; otherwise GPUs are used where the step asks for some",
    }

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank."""
        on_cpu = gang.options.get("cpu", place.devices == 0)
        variables = {**Torch().environment(place, gang), "ACCELERATE_USE_CPU": "true" if on_cpu else "false"}
        if "mixed_precision" in gang.options:
            variables["ACCELERATE_MIXED_PRECISION"] = str(gang.options["mixed_precision"])
        return variables

    def files(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """The hostfile that every row gives."""
        return Plain().files(place, gang)

    def command(self, place: Place, gang: Gang, argv: Sequence[str]) -> Sequence[str]:
        """Every rank runs it; of `accelerate launch` one in each replica, which starts the ranks."""
        wanted = {
            "--multi_gpu": "",  # which means: several processes, by torchrun; on CPUs too where ACCELERATE_USE_CPU says so
            "--num_machines": str(place.replicas),
            "--machine_rank": str(place.replica),
            "--num_processes": str(place.world_size),
            "--main_process_ip": place.hosts[0],
            "--main_process_port": str(place.ports[0][0]),
            "--mixed_precision": str(gang.options.get("mixed_precision", "no")),
            "--dynamo_backend": "no",
        }
        if len(argv) > 2 and argv[0].rpartition("/")[2] == "accelerate" and argv[1] == "launch":
            return first_of_replica(place, with_arguments(argv, 2, wanted))
        if runs_module(argv, "accelerate.commands.launch"):
            return first_of_replica(place, with_arguments(argv, 3, wanted))
        return Torch().command(place, gang, argv)

    def around(self, place: Place, gang: Gang) -> AbstractContextManager[None]:
        """As PyTorch."""
        return Torch().around(place, gang)

    def check(self, gang: Gang) -> str:
        """As PyTorch."""
        return Torch().check(gang)
