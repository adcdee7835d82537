"""scikit-learn, or whatever else is parallel by joblib: rank 0 runs the step, its `n_jobs` are the processes of all ranks."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

from fairway.spec.gang import Gang, Place, Service
from fairway.train.frameworks.plain import Plain, endpoints

VARIABLE = "FAIRWAY_JOBLIB"


class ScikitLearn(Plain):
    """Rank 0 runs the step; workers run beside all ranks. Who knows the gang's key may talk to them, and nobody else."""

    name = "sklearn"
    title = "scikit-learn"
    style = "client"
    source = "https://joblib.readthedocs.io/en/stable/custom_parallel_backend.html"

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank: where the workers are."""
        return {**super().environment(place, gang), VARIABLE: ",".join(endpoints(place))}

    def services(self, place: Place, gang: Gang) -> Sequence[Service]:
        """A worker beside every rank."""
        host, port = place.hosts[place.rank], place.ports[place.rank][0]
        argv = ("python", "-m", "fairway.train.beside.jobworker", host, str(port), str(place.cpus))
        return (Service("joblib worker", argv, {"FAIRWAY_GANG_KEY": place.key, "FAIRWAY_RANK": str(place.rank)}),)

    @contextmanager
    def around(self, place: Place, gang: Gang) -> Generator[None]:
        """joblib's backend is the gang, and where an estimator says nothing of `n_jobs` it uses all of it."""
        from fairway.train.beside.jobs import gang_backend

        with gang_backend(endpoints(place), place.key):
            yield
