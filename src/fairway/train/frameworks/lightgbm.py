"""LightGBM: the list of machines. `lightgbm.train(params | fairway.train.lightgbm.network(), data)` trains over the rows of all ranks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fairway.spec.gang import Gang, Place
from fairway.train.frameworks.plain import Plain, endpoints

VARIABLE = "FAIRWAY_LIGHTGBM"
MACHINES, CONFIG = "machines.txt", "lightgbm.conf"


class LightGBM(Plain):
    """Every rank loads its own rows; the parameters that join it with the others are `fairway.train.lightgbm.network()`."""

    name = "lightgbm"
    title = "LightGBM"
    source = "https://lightgbm.readthedocs.io/en/stable/Parallel-Learning-Guide.html"
    options: Mapping[str, str] = {"tree_learner": '"data" (as it is where it is not given), "feature" or "voting"'}

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank: LightGBM reads none, so its parameters are in one of ours, as JSON."""
        return {**super().environment(place, gang), VARIABLE: json.dumps(parameters(place, gang))}

    def files(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """For the program `lightgbm`: the machine list, and a rank's own part of its configuration."""
        listed = "".join(f"{host} {ports[0]}\n" for host, ports in zip(place.hosts, place.ports, strict=True))
        mine = "".join(
            f"{name}={str(value).lower() if isinstance(value, bool) else value}\n"
            for name, value in {**parameters(place, gang), "machine_list_filename": f"{place.folder}/{MACHINES}"}.items()
            if name != "machines"
        )
        return {**super().files(place, gang), MACHINES: listed, f"{place.rank}-{CONFIG}": mine}


def parameters(place: Place, gang: Gang) -> dict[str, Any]:
    """What every rank passes to LightGBM beside its own. The option `tree_learner` is "data" where it is not given."""
    if place.world_size == 1:
        return {}
    return {
        "machines": ",".join(endpoints(place)),
        "local_listen_port": place.ports[place.rank][0],
        "num_machines": place.world_size,
        "tree_learner": str(gang.options.get("tree_learner", "data")),
        "pre_partition": True,
    }
