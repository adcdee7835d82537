"""What the API needs of its surroundings: who drives runs, who may call, where blobs are fetched, what only the server's owner knows."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from fairway.engine.host import Host
from fairway.engine.library import StoreLibrary
from fairway.engine.project import Project
from fairway.engine.services import Services
from fairway.engine.workspace import Workspace
from fairway.serve.control.changes import Change, Deployed
from fairway.serve.control.view import Answered, Asked, EndpointView
from fairway.spec.endpoint import Endpoint, ServeSpec
from fairway.spec.record import Record, field, record
from fairway.spec.tokens import blob_url, sign_url
from fairway.web.audit import Audit
from fairway.web.grants import Grants
from fairway.web.identity import Account, Identity
from fairway.web.limits import LoginLimit
from fairway.web.metrics import CurveReader
from fairway.web.oidc import OidcLogin
from fairway.web.overviews import Overviews
from fairway.web.previews.looker import Looker
from fairway.web.previews.outputs import OutputReader
from fairway.web.remembered import Remembered
from fairway.web.sessions import Sessions
from fairway.web.sight import Sight
from fairway.web.storesize import StoreMeter
from fairway.web.versions import VersionReader


class Auth(Protocol):
    """Knows users' tokens. What the server signs is signed with `signing_key`, or with keys that are derived from it."""

    signing_key: str

    async def find_identity(self, header: str) -> Identity | None:
        """Whose token it is, None if it is nobody's. "" stands for no header."""
        ...

    def find_account(self, user: str) -> Account | None:
        """What the token of `user` stands for now, None if there is none (any more)."""
        ...


class Endpoints(Protocol):
    """The endpoints that this server keeps. Whenever a view has changed, the host's bus is told "endpoint:NAME" and "endpoints". What is
    asked of it and cannot be raises NotFoundError, ConfigError or UserError with a hint. `by`: who does it."""

    async def views(self) -> Sequence[EndpointView]:
        """All of them by name, without `schema`, `example`, `accuracy`."""
        ...

    async def view(self, name: str) -> EndpointView | None: ...
    def stand(self, name: str = "") -> int:
        """Counts up with every change of the view ("": of any)."""
        ...

    async def send(self, name: str, asked: Asked) -> Answered:
        """Send a request through the gateway, as its callers do; no key is needed."""
        ...

    async def set_traffic(self, name: str, traffic: Sequence[tuple[int, float]], *, by: str) -> None:
        """Weights that add up to 100. It ends a rollout."""
        ...

    async def set_shadow(self, name: str, revision: int, *, by: str) -> None:
        """0: none."""
        ...

    async def start_rollout(self, name: str, revision: int, *, by: str) -> None:
        """By the usual steps."""
        ...

    async def pause_rollout(self, name: str, paused: bool, *, by: str) -> None: ...
    async def promote(self, name: str, revision: int, *, by: str) -> None:
        """All traffic to it at once."""
        ...

    async def rollback(self, name: str, revision: int = 0, *, by: str) -> None:
        """To that revision; 0: to what served before."""
        ...

    async def pause(self, name: str, paused: bool, *, by: str) -> None:
        """Take no requests, or take them again."""
        ...

    async def add_key(self, name: str, key: str, rate: float, burst: int, *, by: str) -> str:
        """The key itself; it is shown once and kept nowhere."""
        ...

    async def remove_key(self, name: str, key: str, *, by: str) -> None: ...
    async def delete(self, name: str, *, by: str) -> None: ...
    async def deploy(
        self, name: str, spec: ServeSpec, change: Change, *, by: str, note: str = "", with_key: bool | None = None
    ) -> Deployed:
        """A revision of this spec, in a new endpoint if there is none of that name. `change`: what else changes with it; `with_key`: a new
        endpoint that is not open gets a first key."""
        ...

    async def change(self, name: str, change: Change, *, by: str) -> Endpoint:
        """The endpoint as `change` makes it. Raises what `change` raises, NotFoundError, ConflictError."""
        ...

    async def logs(self, name: str, *, revision: int = 0, replica: str = "", lines: int = 500) -> Sequence[str]:
        """The last lines, oldest first, each with its time and replica before it."""
        ...


class BlobSigner(Protocol):
    """Makes short-lived URLs for single blobs."""

    def sign(self, method: str, key: str, size: int = -1) -> str:
        """A URL for `method` ("GET" or "PUT") of the blob `key`: absolute, or a path on the blobs' port. `size`: bytes to be put."""
        ...


class KeySigner:
    """URLs on the blobs' port, signed with the server's key."""

    def __init__(self, key: str, *, valid_s: float = 900.0, clock: Callable[[], float] = time.time) -> None:
        self._key, self._valid_s, self._clock = key, valid_s, clock

    def sign(self, method: str, key: str, size: int = -1) -> str:
        """A path and query that are good for `valid_s`."""
        return blob_url(key, sign_url(self._key, method, key, self._clock() + self._valid_s, size))


@record
class ServerSettings(Record):
    """What a server knows of itself.

    `target`: settings of its target for users to see; no secrets among them. `secrets` lists the names of the users' secrets, `cluster`
    the inventory beyond what the executor says, `pods` counts pods by role and phase, `asked` the requests
    to the cluster's API ("create Pod" -> n). Without `signer` blobs go through the API alone. `hosts`: names under which browsers may
    ask for it; `address`: the URL that people know it by, "" where that is none; `oidc`: the
    identity provider that people may sign in at; `endpoints`: what keeps endpoints, None where nothing does.
    """

    target: dict[str, Any] = field(default_factory=dict)
    secrets: Callable[[], Awaitable[Sequence[str]]] | None = None
    cluster: Callable[[], Awaitable[Mapping[str, Any]]] | None = None
    pods: Callable[[], Mapping[tuple[str, str], int]] | None = None
    asked: Callable[[], Mapping[str, int]] | None = None
    signer: BlobSigner | None = None
    blobs_port: int = 8081
    heartbeat_s: float = 15.0
    hosts: tuple[str, ...] = ()
    address: str = ""
    oidc: OidcLogin | None = None
    endpoints: Endpoints | None = None


@record
class Site(Record):
    """All that the handler of a request may use."""

    services: Services
    host: Host
    settings: ServerSettings
    auth: Auth
    curves: CurveReader
    library: StoreLibrary
    sessions: Sessions
    grants: Grants
    audit: Audit
    logins: LoginLimit
    looker: Looker
    overviews: Overviews
    sight: Sight
    versions: VersionReader
    meter: StoreMeter
    outputs: OutputReader
    clock: Callable[[], float] = time.time
    remembered: Remembered = field(default_factory=Remembered)

    def driven(self, run: str) -> bool:
        """Does anybody drive the run now: this server, or on its machine another process?"""
        return self.host.is_driven(run)

    def workspace(self) -> Workspace:
        """The stores as the readers of `engine` want them; for a thread, as its calls may block."""
        services = self.services
        place = getattr(services.journal, "path", "server://")
        workspace = Workspace(Project(services.home, "", services.home, place))
        vars(workspace).update(journal=services.journal, artifacts=services.artifacts, streams=services.streams)
        return workspace
