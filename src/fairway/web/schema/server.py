"""The server itself."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from fairway.web.schema.words import ResourcesData


class Health(msgspec.Struct, kw_only=True):
    """`drivers`: how many runs are driven now; `driven`: which; `problems`: by run, why it does not get on. The last two for users only."""

    status: Literal["ok", "starting"]
    version: str
    drivers: int
    driven: list[str]
    problems: dict[str, str]


class Target(msgspec.Struct, kw_only=True):
    """`blobs_port`: where signed URLs lead, 0 if blobs go through the API alone. `capabilities` are the executor's."""

    name: str
    version: str
    user: str
    blobs_port: int
    capabilities: list[str]
    settings: dict[str, Any]


class SessionCode(msgspec.Struct, kw_only=True):
    """`code`: for the fragment of the address of the login page, `/login#code=CODE`."""

    code: str
    expires_in_s: float


class Cluster(msgspec.Struct, kw_only=True):
    """What the target has, what is free, the most that one attempt may ask for; `facts` and `more` as far as they are known."""

    total: ResourcesData  # type: ignore[valid-type]
    free: ResourcesData  # type: ignore[valid-type]
    largest: ResourcesData  # type: ignore[valid-type]
    facts: dict[str, Any]
    more: dict[str, Any]


class Secrets(msgspec.Struct, kw_only=True):
    """Names only: nothing here ever shows a value."""

    names: list[str]
