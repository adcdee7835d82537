"""Dask: a scheduler and a worker for every rank, for the length of the step; rank 0 has a client, `Client()` finds it without arguments."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from fairway.spec.gang import Gang, Place, Service
from fairway.train.beside.certificate import make_certificate
from fairway.train.frameworks.plain import Plain

_JOIN_S = 60
CERTIFICATE, SECRET = "gang.crt", "gang.key"
_NOWHERE = "127.0.0.1:0"  # Dask serves what it knows of itself over HTTP even where its page is off, and on all addresses if not told


class Dask(Plain):
    """Rank 0 runs the step; what it computes with Dask is computed by the workers of all ranks. They speak TLS, with a certificate that is
    made of the gang's key: nobody else can."""

    name = "dask"
    title = "Dask"
    style = "client"
    source = "https://distributed.dask.org/en/stable/"
    options: Mapping[str, str] = {"dashboard": 'where Dask shows its own page ("127.0.0.1:8787"); without it, nowhere'}

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank: where the scheduler is, and what to show it."""
        return {**super().environment(place, gang), "DASK_SCHEDULER_ADDRESS": address(place), **_show(place)}

    def files(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """The gang's certificate, which is its authority as well, and the key to it."""
        certificate, secret = make_certificate(place.key)
        return {**super().files(place, gang), CERTIFICATE: certificate, SECRET: secret}

    def services(self, place: Place, gang: Gang) -> Sequence[Service]:
        """The scheduler beside rank 0, and a worker with as many threads as cores beside every rank."""
        scheduler = place.endpoint()
        page = str(gang.options.get("dashboard", ""))
        shown = ("--dashboard", "--dashboard-address", page) if page else ("--no-dashboard", "--dashboard-address", _NOWHERE)
        found: list[Service] = []
        if place.rank == 0:
            argv = (
                "python",
                "-m",
                "distributed.cli.dask_scheduler",
                "--protocol",
                "tls",
                "--host",
                place.hosts[0],
                "--port",
                str(place.ports[0][0]),
                *shown,
            )
            found.append(Service("Dask scheduler", argv, _QUIET, ready=scheduler))
        argv = (
            "python", "-m", "distributed.cli.dask_worker", address(place), "--protocol", "tls", "--host", place.hosts[place.rank],
            "--worker-port", str(place.ports[place.rank][1]), "--nthreads", str(place.cpus), "--name", f"rank-{place.rank}",
            "--no-nanny", "--no-dashboard", "--dashboard-address", _NOWHERE, "--death-timeout", str(_JOIN_S),
            *(("--local-directory", place.folder) if place.folder else ()),
        )  # fmt: skip
        return (*found, Service("Dask worker", argv, _QUIET, after=scheduler))

    @contextmanager
    def around(self, place: Place, gang: Gang) -> Generator[None]:
        """A client is the current one, and every worker has come."""
        settings: Any = import_module("dask.config")
        settings.update(settings.config, settings.collect_env(), priority="new")  # Dask may have been imported before we were told
        client = import_module("distributed").Client(address(place))
        try:
            client.wait_for_workers(place.world_size, timeout=_JOIN_S)
            yield
        finally:
            client.close()


_QUIET = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "warning"}
_TLS = "DASK_DISTRIBUTED__COMM__TLS__"


def _show(place: Place) -> dict[str, str]:
    certificate, secret = f"{place.folder}/{CERTIFICATE}", f"{place.folder}/{SECRET}"
    found = {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True", f"{_TLS}CA_FILE": certificate}
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        found |= {f"{_TLS}{role}__CERT": certificate, f"{_TLS}{role}__KEY": secret}
    return found


def address(place: Place) -> str:
    """Where the scheduler listens."""
    return f"tls://{place.endpoint()}"
