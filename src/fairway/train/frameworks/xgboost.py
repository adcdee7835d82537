"""XGBoost: a tracker beside rank 0, and every rank in its collective, so that `xgboost.train` sees the rows of all ranks."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module

from fairway.spec.gang import Gang, Place, Service
from fairway.train.beside.doors import wait_at
from fairway.train.frameworks.plain import Plain

_COME_S = 120.0


class XGBoost(Plain):
    """Every rank loads its own rows, `xgboost.train(...)` makes the same model in all of them."""

    name = "xgboost"
    title = "XGBoost"
    source = "https://xgboost.readthedocs.io/en/stable/python/python_api.html#module-xgboost.collective"

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank: where the tracker listens, and a task id that sorts by rank."""
        return {
            **super().environment(place, gang),
            "DMLC_TRACKER_URI": place.hosts[0],
            "DMLC_TRACKER_PORT": str(place.ports[0][0]),
            "DMLC_TASK_ID": task_id(place),
            "DMLC_NUM_WORKER": str(place.world_size),
        }

    def services(self, place: Place, gang: Gang) -> Sequence[Service]:
        """The tracker, beside rank 0."""
        if place.rank:
            return ()
        port, door = map(str, place.ports[0])
        argv = ("python", "-m", "fairway.train.beside.tracker", place.hosts[0], port, str(place.world_size), door)
        return (Service("XGBoost tracker", argv),)

    @contextmanager
    def around(self, place: Place, gang: Gang) -> Generator[None]:
        """The rank is a member of the collective while the user's function runs."""
        collective = import_module("xgboost.collective")  # takes about as long as it takes the tracker to come
        wait_at(place.hosts[0], place.ports[0][1], "XGBoost tracker", _COME_S)
        with collective.CommunicatorContext(
            dmlc_communicator="rabit",
            dmlc_tracker_uri=place.hosts[0],
            dmlc_tracker_port=place.ports[0][0],
            dmlc_task_id=task_id(place),
        ):
            yield


def task_id(place: Place) -> str:
    """The tracker sorts these as text."""
    return f"{place.rank:05d}"
