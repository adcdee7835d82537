"""Short-lived addresses of one artifact each, for what a browser is to run or draw without any rights of its own.

What a step wrote may be a page with scripts. It is never answered under an address that a session's cookie opens, nor with the rights of
one of our pages: `/content/GRANT/NAME` needs no cookie, says `sandbox`, and leads to this one artifact until its time is over.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import quote

import msgspec

from fairway.spec.artifact import ArtifactRef
from fairway.spec.record import Record, record
from fairway.spec.tokens import check_text, derive_key, sign_text
from fairway.web.identity import Identity

GRANT_S = 600.0
ROOT = "/content"
_REFS_KEPT = 512


@record
class Grant(Record):
    """May read the artifact `digest` that `run` names; of a folder all its files, of anything else the one called `name`."""

    run: str
    digest: str
    name: str
    user: str
    expires_at: float


class Grants:
    """Makes and checks them. References that are known when a grant is made are remembered for a while, so that its use need not look."""

    def __init__(self, signing_key: str, *, clock: Callable[[], float] = time.time) -> None:
        self._key, self._clock = derive_key(signing_key, "content"), clock
        self._refs: OrderedDict[tuple[str, str], ArtifactRef] = OrderedDict()

    def make(self, run: str, digest: str, path: str, identity: Identity, *, ref: ArtifactRef | None = None) -> str:
        """The address of the artifact, or of the file `path` in it: a path of this server, good for `GRANT_S`. The caller has made sure
        that `identity` may see the run."""
        if ref is not None:
            self.remember(run, ref)
        name = path or "content"
        said = [run, digest, name, identity.user, float(int(self._clock() + GRANT_S))]
        text = urlsafe_b64encode(msgspec.json.encode(said)).decode().rstrip("=")
        return f"{ROOT}/{sign_text(self._key, text)}/{quote(name)}"

    def check(self, grant: str) -> Grant | None:
        """What it grants; None if its time is over or it is none."""
        text = check_text(self._key, grant)
        if text is None:
            return None
        try:
            run, digest, name, user, expires_at = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (ValueError, NotBase64):
            return None
        return Grant(run, digest, name, user, expires_at) if self._clock() < expires_at else None

    def remember(self, run: str, ref: ArtifactRef) -> None:
        """Keep the reference at hand."""
        self._refs[run, ref.digest] = ref
        self._refs.move_to_end((run, ref.digest))
        while len(self._refs) > _REFS_KEPT:
            self._refs.popitem(last=False)

    def recall(self, run: str, digest: str) -> ArtifactRef | None:
        """The reference, if it is at hand."""
        return self._refs.get((run, digest))
