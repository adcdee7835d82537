"""What serving pods need of a cluster's server: their runtime, the libraries of serving, and where truth about answers is kept.

The pods come with tokens as workers do. A revision's token reads artifacts; the gateway's may also hand in what it was told.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from fairway.envs.runtime import SERVING_PARTS, build_runtime_zip
from fairway.errors import FairwayError
from fairway.kube.serving_boot import SERVING_LIBRARIES, SERVING_RUNTIME, SPOOL
from fairway.kube.serving_gateway import GATEWAY_ID
from fairway.spec.layout import CACHE
from fairway.spec.tokens import HEADER, sign_token
from fairway.web.auth import TokenAuth
from fairway.web.options import API_PORT, BLOBS_PORT
from fairway.web.problem import Refused, render_problem

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient
    from fairway.kube.target import ClusterSettings
    from fairway.serve.control.fleet import Fleet
    from fairway.serve.control.gatewaylink import Gateways
    from fairway.serve.control.kubefleet import KubeFleet
    from fairway.serve.control.kubegateways import KubeGateways
    from fairway.serve.feedback.remote import Received
    from fairway.web.keeping import MakeFleet

_FOREVER = 253_402_300_799  # a token in a Deployment has to stay the same, or its pods would all be started anew
_ASKED = ("python", "machine", "libc")
_BODY_BYTES = 64 << 20

Handler = Callable[[Request, str], Awaitable[Response]]


class ServingSide:
    """The routes of serving pods, and the fleet and gateway of the namespace."""

    def __init__(self, auth: TokenAuth, home: str) -> None:
        self._auth, self._home = auth, home
        self.spool = str(Path(home, "serve", "spool"))
        self._received: Received | None = None
        self._runtime: tuple[bytes, str] | None = None

    @property
    def runtime(self) -> tuple[bytes, str]:
        """The zip that serving pods fetch, and its digest; made when it is first needed."""
        if self._runtime is None:
            self._runtime = build_runtime_zip(SERVING_PARTS, is_compiled=True)
        return self._runtime

    def routes(self) -> list[Route]:
        table: tuple[tuple[str, str, Handler], ...] = (
            ("GET", SERVING_RUNTIME, self._get_runtime),
            ("GET", SERVING_LIBRARIES, self._get_libraries),
            ("POST", f"{SPOOL}/{{endpoint}}/{{kind}}", self._take_records),
        )
        return [Route(path, self._guarded(handle), methods=[method]) for method, path, handle in table]

    def sign(self, id: str) -> str:
        """The token of a revision's pods, or of the gateway's: the same every time."""
        return sign_token(self._auth.signing_key, id, _FOREVER)

    def make_fleet(self, client: KubeClient, settings: ClusterSettings) -> MakeFleet:
        """What runs the namespace's endpoints, for their keeper."""

        async def make() -> tuple[Fleet, Gateways, str]:
            fleet, gateways = await self.open(client, settings)
            return fleet, gateways, gateways.table_path

        return make

    async def open(self, client: KubeClient, settings: ClusterSettings) -> tuple[KubeFleet, KubeGateways]:
        """The fleet, started, and the gateways, which its keeper starts. Raises FairwayError where the cluster does not let us."""
        from fairway.kube.manifests import Link
        from fairway.kube.serving_gateway import gateway_token
        from fairway.serve.control.kubefleet import KubeFleet
        from fairway.serve.control.kubegateways import KubeGateways

        service = await client.get("Service", settings.target.app)
        address = service["spec"]["clusterIP"]
        at = f"http://[{address}]" if ":" in address else f"http://{address}"
        link = Link(f"{at}:{API_PORT}", f"{at}:{BLOBS_PORT}", (await asyncio.to_thread(lambda: self.runtime))[1])
        token = gateway_token(self._auth.signing_key)
        fleet = KubeFleet(client, settings, link=link, sign=self.sign)
        table = str(Path(self._home, "serve", "table.json"))
        gateways = KubeGateways(client, settings, link=link, sign=self.sign, token=token, table_path=table, spool=self.spool)
        await fleet.start()
        return fleet, gateways

    def _guarded(self, handle: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def operation(request: Request) -> Response:
            try:
                speaks_for = self._auth.find_worker(request.headers.get(HEADER, ""))
                if speaks_for is None:
                    raise Refused(401, f"the header {HEADER} has no worker's token that is valid", code="FW-FORBIDDEN")
                return await handle(request, speaks_for)
            except FairwayError as error:
                return render_problem(error)
            except ClientDisconnect:
                return Response(status_code=400)

        return operation

    async def _get_runtime(self, request: Request, id: str) -> Response:
        data, digest = self.runtime
        return Response(data, headers={"etag": f'"{digest}"'}, media_type="application/zip")

    async def _get_libraries(self, request: Request, id: str) -> Response:
        from fairway.engine.release import Machine
        from fairway.engine.servinglibraries import collect_serving

        given: dict[str, Any] = {name: request.query_params.get(name, "") for name in _ASKED}
        path = await asyncio.to_thread(collect_serving, Machine(**given), str(Path(self._home, CACHE, "serving")))
        return FileResponse(path, media_type="application/zip")

    async def _take_records(self, request: Request, id: str) -> Response:
        """What a gateway was told or has seen. Answered when it is kept: for feedback, when it is on the disk."""
        if id != GATEWAY_ID:
            raise Refused(403, "only the gateway's token hands in records", code="FW-FORBIDDEN")
        data = await _read_body(request)
        if self._received is None:
            from fairway.serve.feedback.remote import Received

            self._received = Received(self.spool)
        try:
            await asyncio.to_thread(self._received.take, request.path_params["endpoint"], request.path_params["kind"], data)
        except ValueError as error:
            raise Refused(422, str(error)) from None
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise Refused(507 if full else 503, f"cannot keep it: {error.strerror or error}", code="FW-STORE-UNAVAILABLE") from error
        return Response(status_code=200)


async def _read_body(request: Request) -> bytes:
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > _BODY_BYTES:
            raise Refused(413, f"more than {_BODY_BYTES:,} bytes at once", code="FW-USER")
    return bytes(data)
