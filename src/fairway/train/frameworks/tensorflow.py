"""TensorFlow: TF_CONFIG, for MultiWorkerMirroredStrategy and for ParameterServerStrategy."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

from fairway.errors import TaskFailed
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

    @contextmanager
    def around(self, place: Place, gang: Gang) -> Generator[None]:
        """What Keras cannot do is said in words."""
        try:
            yield
        except Exception as error:
            if not is_fit_of_keras(error):
                raise
            raise TaskFailed(
                "Keras 3 cannot fit() a model under TensorFlow's MultiWorkerMirroredStrategy",
                hint='train with strategy.run(), as docs/guides/distributed-training.md does, or with framework="keras", backend="jax"',
            ) from error

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


def is_fit_of_keras(error: Exception) -> bool:
    """Whether it comes out of TensorFlow or Keras, from where Keras trains by itself on the workers of a gang. (Keras hides its own frames
    but for the one that hides them, which has the model among its arguments.)"""
    trace, fits, module = error.__traceback__, False, ""
    while trace is not None:
        module, names = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_frame.f_locals
        if module.startswith("keras."):
            for model in (names.get("self"), *names.get("args", ())[:1]):
                strategy = type(getattr(model, "distribute_strategy", None)).__name__
                fits = fits or "CollectiveAllReduce" in strategy or "MultiWorkerMirrored" in strategy
        trace = trace.tb_next
    return fits and module.partition(".")[0] in ("keras", "tensorflow")
