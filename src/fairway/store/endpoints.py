"""How the document of an endpoint is written in a database; its version is counted beside it."""

from __future__ import annotations

from fairway.errors import JournalConflict
from fairway.spec.endpoint import Endpoint
from fairway.spec.record import from_plain, replace, to_plain
from fairway.store.wire import parse_json, render_json


def render_endpoint(endpoint: Endpoint) -> str:
    """The text of its document, without its version."""
    return render_json(to_plain(replace(endpoint, version=0)))


def parse_endpoint(text: str, version: int) -> Endpoint:
    """The inverse of `render_endpoint`."""
    return replace(from_plain(Endpoint, parse_json(text)), version=version)


def changed_meanwhile(name: str, version: int) -> JournalConflict:
    """The error for a document that is not the one which was read. `version`: of the one that is there, 0 if there is none."""
    if not version:
        return JournalConflict(f"there is no endpoint {name!r} any more", hint="it was deleted; deploy it again")
    return JournalConflict(f"somebody else has changed the endpoint {name!r} meanwhile", hint="look at it again, and try again")
