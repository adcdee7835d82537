"""Signing in at an OpenID Connect provider: the authorization code flow with PKCE, state and nonce.

What the browser carries between here and there is in a signed cookie of its own: nothing is kept in memory, and nobody can fill it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import time
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from fairway.errors import InfraError
from fairway.spec.record import Record, record
from fairway.spec.target import OidcSettings
from fairway.spec.tokens import check_text, derive_key, sign_text
from fairway.web.claims import ALGORITHMS, find_fault, identify, read_header, verify
from fairway.web.identity import Identity
from fairway.web.problem import Refused
from fairway.web.providerlink import Fetch, fetch

FLOW_S = 600.0
KNOWN_S = 3600.0
RENEW_S = 10.0
AWAY_S = 3.0
"""So long nobody is sent to look whether a provider that was away is back: whoever comes need not be known."""
CALLBACK = "/oidc/callback"


@record
class _Flow(Record):
    """What one browser's login needs until it comes back."""

    state: str
    nonce: str
    verifier: str
    next: str
    expires_at: float


@record
class _Provider(Record):
    """The provider as its discovery document says, and its keys."""

    found: dict[str, Any]
    keys: tuple[dict[str, Any], ...]
    read_at: float


class OidcLogin:
    """Sends browsers to the provider, and finds out who comes back. `address`: the URL that browsers know this server by."""

    def __init__(
        self,
        settings: OidcSettings,
        *,
        address: str,
        secret: str,
        signing_key: str,
        send: Fetch = fetch,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._secret, self._send, self._clock = settings, secret, send, clock
        self._key = derive_key(signing_key, "oidc")
        self._redirect = address.rstrip("/") + CALLBACK
        self._provider: _Provider | None = None
        self._failure: tuple[float, InfraError] | None = None
        self._turn = asyncio.Lock()
        self.name = settings.name or (urlsplit(settings.issuer).hostname or settings.issuer)
        self.cookie = f"fairway_oidc_{hashlib.sha256(self._key.encode()).hexdigest()[:8]}"

    async def begin(self, next: str) -> tuple[str, str]:
        """(the provider's address to go to, the value of the cookie to come back with)."""
        provider = await self._know()
        flow = _Flow(_random(), _random(), _random(), next[:500], float(int(self._clock() + FLOW_S)))
        challenge = urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).decode().rstrip("=")
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._redirect,
            "scope": " ".join(self._settings.scopes),
            "state": flow.state,
            "nonce": flow.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        where = str(provider.found["authorization_endpoint"])
        said = json.dumps([flow.state, flow.nonce, flow.verifier, flow.next, flow.expires_at])
        cookie = sign_text(self._key, urlsafe_b64encode(said.encode()).decode().rstrip("="))
        return where + ("&" if "?" in where else "?") + urlencode(asked), cookie

    async def finish(self, answer: Mapping[str, str], cookie: str) -> tuple[Identity, str]:
        """(who has come back, where they wanted to go), by the query of the callback and the cookie. Raises Refused, InfraError."""
        flow = self._read_cookie(cookie)
        if flow is None or not hmac.compare_digest(flow.state.encode(), answer.get("state", "").encode("utf-8", "surrogatepass")):
            raise _refuse("this login was not begun here, or too long ago", hint="begin again, in the same browser")
        if answer.get("iss", self._settings.issuer) != self._settings.issuer:
            raise _refuse("this answer comes from another provider")
        if answer.get("error"):
            told = answer.get("error_description", "") or answer["error"]
            raise _refuse(f"{self.name} did not let you in: {told[:200]}")
        code = answer.get("code", "")
        if not code:
            raise _refuse(f"{self.name} sent no code")
        provider = await self._know()
        tokens = await self._redeem(provider, code, flow.verifier)
        claims = await self._check_token(str(tokens.get("id_token", "")), flow.nonce)
        if any(name not in claims for name in (self._settings.user_claim, self._settings.groups_claim, "email")):
            claims = {**await self._ask_userinfo(provider, tokens, claims), **claims}
        return identify(claims, self._settings, self.name), flow.next

    async def _redeem(self, provider: _Provider, code: str, verifier: str) -> dict[str, Any]:
        """The tokens for the code."""
        settings = self._settings
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._redirect, "code_verifier": verifier}
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        methods = provider.found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if self._secret and "client_secret_basic" in methods:
            pair = f"{quote_plus(settings.client_id)}:{quote_plus(self._secret)}"
            headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": settings.client_id, **({"client_secret": self._secret} if self._secret else {})}
        status, data = await self._call("POST", str(provider.found["token_endpoint"]), headers, urlencode(form).encode())
        if status != 200:
            told = str(data.get("error_description") or data.get("error") or f"status {status}")
            raise _refuse(f"{self.name} does not take this code: {told[:200]}", hint="begin again")
        return data

    async def _check_token(self, token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token that is the provider's, for us, of now, and the answer to what we asked."""
        claims = await self._check_signature(token)
        fault = find_fault(claims, self._settings, nonce, self._clock())
        if fault:
            raise _refuse(f"the token of {self.name} is {fault}", hint="begin again")
        return claims

    async def _check_signature(self, token: str) -> dict[str, Any]:
        """The claims, if one of the provider's keys has signed them. Keys change: with one that is not known they are read anew."""
        provider = await self._know()
        header = read_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise _refuse(f"the token of {self.name} is signed by {str(header.get('alg'))[:20]!r}", hint=f"known: {', '.join(ALGORITHMS)}")
        claims = verify(token, header, provider.keys)
        if claims is None and self._clock() - provider.read_at >= RENEW_S:
            provider = await self._know(renew=True)
            claims = verify(token, header, provider.keys)
        if claims is None:
            raise _refuse(f"the token is not signed by {self.name}", hint="begin again")
        return claims

    async def _ask_userinfo(self, provider: _Provider, tokens: Mapping[str, Any], claims: Mapping[str, Any]) -> dict[str, Any]:
        """More claims about the same user; none where the provider has no more to say."""
        where, access = provider.found.get("userinfo_endpoint"), tokens.get("access_token")
        if not isinstance(where, str) or not isinstance(access, str):
            return {}
        status, data = await self._call("GET", where, {"authorization": f"Bearer {access}", "accept": "application/json"}, None)
        return data if status == 200 and data.get("sub") == claims["sub"] else {}

    async def _know(self, *, renew: bool = False) -> _Provider:
        """The provider's operations and keys."""
        async with self._turn:
            known, now = self._provider, self._clock()
            age = now - known.read_at if known is not None else 0.0
            if known is not None and age < (RENEW_S if renew else KNOWN_S):
                return known
            if self._failure is not None and now < self._failure[0]:
                raise self._failure[1]
            try:
                self._provider = await self._read_provider(now)
            except InfraError as error:
                self._failure = now + AWAY_S, error
                raise
            return self._provider

    async def _read_provider(self, now: float) -> _Provider:
        found = await self._get_json(self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if found.get("issuer") != self._settings.issuer:
            raise InfraError(f"{self.name} calls itself {str(found.get('issuer'))[:200]!r}", hint="write just this as its issuer")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not isinstance(found.get(name), str):
                raise InfraError(f"{self.name} does not say its {name}", hint="is it an OpenID Connect provider?")
        keys = (await self._get_json(found["jwks_uri"])).get("keys")
        usable = tuple(key for key in keys if isinstance(key, dict)) if isinstance(keys, list) else ()
        return _Provider(found, usable, now)

    async def _get_json(self, url: str) -> dict[str, Any]:
        status, data = await self._call("GET", url, {"accept": "application/json"}, None)
        if status != 200:
            raise InfraError(f"{self.name} answers {status} at {url}", hint="is the issuer right?")
        return data

    async def _call(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, dict[str, Any]]:
        status, data = await self._send(method, url, headers, body)
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = None
        return status, found if isinstance(found, dict) else {}

    def _read_cookie(self, cookie: str) -> _Flow | None:
        text = check_text(self._key, cookie)
        if text is None:
            return None
        try:
            flow = _Flow(*json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4))))
        except (ValueError, TypeError, NotBase64):
            return None
        return flow if self._clock() < flow.expires_at else None


def _random() -> str:
    return urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


def _refuse(message: str, *, status: int = 401, hint: str = "") -> Refused:
    return Refused(status, message, hint=hint, code="FW-FORBIDDEN")
