"""TensorFlow: TF_CONFIG, for MultiWorkerMirroredStrategy and for ParameterServerStrategy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from fairway.spec.gang import Gang, Place
from fairway.train.frameworks.plain import Plain

ROLES = ("chief", "worker", "ps", "evaluator")


class TensorFlow:
    """`tf.distribute.cluster_resolver.TFConfigClusterResolver()` finds all it needs. Without roles all are workers, the first of them the
    chief. With a chief, parameter servers and the workers that they have end when the chief has."""

    name = "tensorflow"
    title = "TensorFlow"
    style = "ranks"
    source = "https://www.tensorflow.org/guide/distributed_training#TF_CONFIG"
    options: Mapping[str, str] = {}

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank."""
        variables = {
            **Plain().environment(place, gang),
            "TF_CONFIG": render_config(place),
            "TF_NUM_INTRAOP_THREADS": str(place.cpus),
        }
        if "ps" in place.roles:
            variables["GRPC_FAIL_FAST"] = "use_caller"  # the coordinator hears of a lost worker at once, as TensorFlow's guide has it
        return variables

    def files(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """The hostfile that every row gives."""
        return Plain().files(place, gang)

    def command(self, place: Place, gang: Gang, argv: Sequence[str]) -> Sequence[str]:
        """As it is: every rank runs it."""
        return argv

    def serves(self, place: Place, gang: Gang) -> bool:
        """Those that wait for the coordinator in `Server.join()`, or evaluate what it leaves: they never end by themselves."""
        if place.role in ("ps", "evaluator"):
            return True
        return place.role == "worker" and {"ps", "chief"} <= set(place.roles)

    def check(self, gang: Gang) -> str:
        """What is wrong with the roles, "" if nothing is."""
        if unknown := [role for role in gang.roles if role not in ROLES]:
            return f"TensorFlow has no role {unknown[0]!r}; its roles are {', '.join(ROLES)}"
        if gang.roles and next(iter(gang.roles)) not in ("chief", "worker"):
            return "the first role must be chief (or worker): the result of rank 0 is the step's"
        if gang.roles.get("chief", 0) > 1:
            return "there is one chief"
        if gang.roles.get("chief") and gang.processes > 1:
            return "there is one chief, so replicas with roles run one process each"
        return ""


def render_config(place: Place) -> str:
    """TF_CONFIG of one rank. Its cluster is the same for all; an evaluator is no member of it."""
    cluster: dict[str, list[str]] = {}
    for rank in range(place.world_size):
        role = _role(place, rank)
        if role != "evaluator":
            cluster.setdefault(role, []).append(place.endpoint(rank))
    before = [_role(place, rank) for rank in range(place.rank)]
    mine = _role(place, place.rank)
    return json.dumps({"cluster": cluster, "task": {"type": mine, "index": before.count(mine)}})


def _role(place: Place, rank: int) -> str:
    return (place.roles[rank] if place.roles else "") or "worker"
