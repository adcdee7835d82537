"""What a request is once its path and body are read."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import yaml
from aiohttp import web

from tests.kube.emulator.failure import ApiError
from tests.kube.emulator.kinds import Kind


class Request(NamedTuple):
    """One request as it was counted. `kind` names a subresource too: "Pod/log"."""

    verb: str
    kind: str
    name: str
    code: int
    received: int
    agent: str


class Route(NamedTuple):
    kind: Kind
    namespace: str
    name: str
    sub: str
    verb: str

    @property
    def label(self) -> str:
        return f"{self.kind.kind}/{self.sub}" if self.sub else self.kind.kind


async def read_body(raw: web.BaseRequest) -> Any:
    try:
        text = await raw.text()
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(413, "Request entity too large: limit is 3145728") from None
    try:
        return yaml.safe_load(text) if "yaml" in raw.content_type and not text.startswith("{") else json.loads(text or "{}")
    except ValueError as error:
        raise ApiError(400, f"the object provided is unrecognized (must be of type {raw.path}): {error}") from None
