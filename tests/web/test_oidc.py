"""Signing in at an OpenID Connect provider: a real one for the whole way; and tokens that we make, for all that can be wrong with one."""

from __future__ import annotations

import hmac
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from starlette.testclient import TestClient

from fairway.errors import InfraError
from fairway.spec.target import OidcSettings
from fairway.web.identity import Identity
from fairway.web.oidc import AWAY_S, FLOW_S, KNOWN_S, RENEW_S, OidcLogin
from fairway.web.problem import Refused
from fairway.web.providerlink import fetch
from tests.web.identityprovider import SECRET, provider
from tests.web.rig import Server

ADDRESS = "http://server"
ROLES = {"ml-admins": "admin", "ml": "run"}


@pytest.fixture(scope="module", params=[True, False], ids=["userinfo", "claims-in-token"])
def issuer(request: pytest.FixtureRequest) -> Iterator[str]:
    with provider(ADDRESS, conform=request.param) as found:
        yield found


def settings_of(issuer: str, **changes: Any) -> OidcSettings:
    given = {"client_id": "fairway", "client_secret": "secret:oidc/client", "roles": ROLES, "name": "Campus login", **changes}
    return OidcSettings(issuer=issuer, **given)


@contextmanager
def dashboard(folder: Path, settings: OidcSettings, secret: str = SECRET) -> Iterator[TestClient]:
    login = OidcLogin(settings, address=ADDRESS, secret=secret, signing_key="5a" * 32)
    with Server(folder, oidc=login, address=ADDRESS).client("") as client:
        client.headers["accept"] = "text/html"
        client.follow_redirects = False
        yield client


def visit_provider(url: str, name: str) -> str:
    """What a browser does at the provider: signs in as `name` and consents; returns the address that it is sent back to."""
    with httpx2.Client(timeout=60) as browser:
        for _ in range(20):
            answer = browser.get(url)
            while answer.status_code in (302, 303):
                url = urljoin(str(answer.request.url), answer.headers["location"])
                if url.startswith(ADDRESS):
                    return url
                answer = browser.get(url)
            assert answer.status_code == 200, answer.text
            action = re.search(r'action="([^"]+)"', answer.text)
            assert action is not None, answer.text
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            assert prompt is not None
            form = {"prompt": prompt[1], "login": name, "password": "any"}
            answer = browser.post(urljoin(url, action[1]), data=form)
            url = urljoin(str(answer.request.url), answer.headers["location"])
            if url.startswith(ADDRESS):
                return url
    raise AssertionError("the provider never sends the browser back")


def sign_in(client: TestClient, name: str, next: str = "/runs?q=mine") -> Any:
    """The answer to who comes back."""
    begun = client.get(f"{ADDRESS}/oidc/start", params={"next": next})
    assert begun.status_code == 303
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert (asked["response_type"], asked["code_challenge_method"]) == (["code"], ["S256"])
    return client.get(visit_provider(begun.headers["location"], name))


def test_the_whole_way(tmp_path: Path, issuer: str) -> None:
    with dashboard(tmp_path, settings_of(issuer)) as client:
        assert "Campus login" in client.get(f"{ADDRESS}/login").text
        answer = sign_in(client, "ann")
        assert answer.status_code == 200, answer.text
        assert 'content="0;url=/runs?q=mine"' in answer.text
        (cookie,) = [one for one in answer.headers.get_list("set-cookie") if one.startswith("fairway_session_")]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie
        told = client.get(f"{ADDRESS}/session").json()
        assert (told["user"], told["role"]) == ("ann@example.org", "admin")
        assert client.get(f"{ADDRESS}/system/audit").status_code == 200
        log = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
        assert [(one["user"], one["via"], one["did"], one["status"]) for one in log] == [("ann@example.org", "oidc", "login", 200)]


@pytest.mark.parametrize(("client_id", "secret"), [("elliptic", SECRET), ("public", "")])
def test_other_kinds_of_clients(tmp_path: Path, issuer: str, client_id: str, secret: str) -> None:
    """Tokens signed by elliptic curves, the secret in the body; and a client that has none."""
    with dashboard(tmp_path, settings_of(issuer, client_id=client_id), secret) as client:
        assert sign_in(client, "bob").status_code == 200
        assert client.get(f"{ADDRESS}/session").json()["role"] == "run"


def test_who_has_no_role_is_told_so_and_not_let_in(tmp_path: Path, issuer: str) -> None:
    with dashboard(tmp_path, settings_of(issuer)) as client:
        answer = sign_in(client, "eve")
        assert answer.status_code == 403 and "no role here" in answer.text
        assert client.get(f"{ADDRESS}/session").json()["user"] == ""
        log = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
        assert [(one["user"], one["did"], one["status"]) for one in log] == [("", "login", 403)]


def test_an_address_that_is_not_verified_names_nobody(tmp_path: Path, issuer: str) -> None:
    with dashboard(tmp_path, settings_of(issuer, roles={"*": "view"})) as client:
        answer = sign_in(client, "mal")
        assert answer.status_code == 403 and "has not verified your e-mail address" in answer.text


def test_a_code_is_good_for_the_browser_that_asked_for_it(tmp_path: Path, issuer: str) -> None:
    with dashboard(tmp_path, settings_of(issuer)) as client:
        begun = client.get(f"{ADDRESS}/oidc/start")
        back = visit_provider(begun.headers["location"], "ann")
        client.cookies.clear()
        answer = client.get(back)
        assert answer.status_code == 401 and "not begun here" in answer.text
        client.get(f"{ADDRESS}/oidc/start")  # another login of this browser
        assert client.get(back).status_code == 401


def test_a_client_secret_that_is_wrong_is_said(tmp_path: Path, issuer: str) -> None:
    with dashboard(tmp_path, settings_of(issuer), "another") as client:
        answer = sign_in(client, "ann")
        assert answer.status_code == 401 and "does not take this code" in answer.text


def test_a_provider_that_is_away_is_said(tmp_path: Path) -> None:
    with provider(ADDRESS) as issuer:
        pass
    with dashboard(tmp_path, settings_of(issuer)) as client:
        answer = client.get(f"{ADDRESS}/oidc/start")
        assert answer.status_code == 503 and "cannot be reached" in answer.text


# What a provider can get wrong, or somebody between us can make of it

ISSUER = "https://login.example.org"
RSA = RSAKey.generate_key(2048, {"kid": "r1", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "e1", "use": "sig"})


class Forger:
    """`providerlink.Fetch` of a provider whose answers can be changed."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.keys = [RSA, EC]
        self.signer: Any = RSA
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "r1"}
        self.claims: dict[str, Any] = {}
        self.change: Callable[[str], str] = lambda token: token
        self.document: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/auth",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/jwks",
            "userinfo_endpoint": f"{ISSUER}/me",
        }
        self.userinfo: dict[str, Any] = {}
        self.nonce = ""
        self.asked: list[str] = []
        self.login = OidcLogin(
            settings_of(ISSUER), address=ADDRESS, secret=SECRET, signing_key="ab" * 32, send=self.send, clock=lambda: self.now
        )

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
        self.asked.append(url)
        what = url.removeprefix(ISSUER)
        if what == "/.well-known/openid-configuration":
            return 200, json.dumps(self.document).encode()
        if what == "/jwks":
            return 200, json.dumps(KeySet(self.keys).as_dict(private=False)).encode()
        if what == "/me":
            assert headers["authorization"] == "Bearer access"
            return 200, json.dumps(self.userinfo).encode()
        assert what == "/token" and b"code_verifier=" in (body or b"")
        return 200, json.dumps({"id_token": self.change(self.token()), "access_token": "access"}).encode()

    def token(self) -> str:
        said = {
            "iss": ISSUER,
            "aud": "fairway",
            "sub": "7",
            "nonce": self.nonce,
            "iat": int(self.now),
            "exp": int(self.now) + 300,
            "email": "ann@example.org",
            "email_verified": True,
            "groups": ["ml"],
            **self.claims,
        }
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(self.header, said, self.signer, algorithms=[self.header["alg"]])

    async def sign_in(self, **answer: str) -> Identity:
        url, cookie = await self.login.begin("/runs")
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.nonce = asked["nonce"]
        identity, next = await self.login.finish({"state": asked["state"], "code": "c", **answer}, cookie)
        assert next == "/runs"
        return identity

    async def refused(self, **answer: str) -> str:
        with pytest.raises(Refused) as caught:
            await self.sign_in(**answer)
        return caught.value.message


@pytest.fixture
def forger() -> Forger:
    return Forger()


@pytest.mark.asyncio
async def test_a_token_that_is_in_order_lets_in(forger: Forger) -> None:
    assert await forger.sign_in() == Identity("ann@example.org", "run", (), "oidc")
    forger.signer, forger.header = EC, {"alg": "ES256", "kid": "e1"}
    assert (await forger.sign_in()).role == "run"
    forger.header = {"alg": "ES256"}
    assert (await forger.sign_in()).role == "run", "a key need not be named"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"nonce": "another"}, "the answer to another login"),
        ({"nonce": None}, "the answer to another login"),
        ({"aud": "elsewhere"}, "for somebody else"),
        ({"aud": ["elsewhere"]}, "for somebody else"),
        ({"aud": None}, "for somebody else"),
        ({"aud": ["fairway", "elsewhere"]}, "for several, and does not say who asked for it"),
        ({"aud": ["fairway", "elsewhere"], "azp": "elsewhere"}, "for somebody else"),
        ({"azp": "elsewhere"}, "for somebody else"),
        ({"iss": "https://evil.example"}, "of another provider"),
        ({"iss": f"{ISSUER}/"}, "of another provider"),
        ({"exp": 1_700_000_000 - 61}, "too old"),
        ({"exp": None}, "too old"),
        ({"exp": "never"}, "too old"),
        ({"exp": True}, "too old"),
        ({"iat": 1_700_000_000 + 3600, "exp": 1_700_000_000 + 7200}, "of a time to come"),
        ({"iat": None}, "of a time to come"),
        ({"nbf": 1_700_000_000 + 3600}, "of a time to come"),
        ({"sub": ""}, "about nobody"),
        ({"sub": None}, "about nobody"),
    ],
)
async def test_a_token_with_a_wrong_claim_lets_nobody_in(forger: Forger, claims: dict[str, Any], said: str) -> None:
    forger.claims = claims
    assert await forger.refused() == f"the token of Campus login is {said}"


@pytest.mark.asyncio
async def test_a_token_that_is_nearly_of_now_is_taken(forger: Forger) -> None:
    forger.claims = {"exp": int(forger.now) - 59, "iat": int(forger.now) + 59, "aud": ["fairway", "other"], "azp": "fairway"}
    assert (await forger.sign_in()).user == "ann@example.org"


def strip_signature(token: str) -> str:
    return token.rpartition(".")[0] + "."


def change_claims(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body[:20]}{'A' if body[20] != 'A' else 'B'}{body[21:]}.{signature}"


@pytest.mark.asyncio
@pytest.mark.parametrize("change", [strip_signature, change_claims, lambda token: "", lambda token: "a.b.c", lambda token: token[:-4]])
async def test_a_signature_that_is_wrong_lets_nobody_in(forger: Forger, change: Callable[[str], str]) -> None:
    forger.change = change
    message = await forger.refused()
    assert message == "the token is not signed by Campus login" or message.startswith("the token of Campus login is signed by")


@pytest.mark.asyncio
async def test_another_key_of_the_same_name_lets_nobody_in(forger: Forger) -> None:
    forger.signer = RSAKey.generate_key(2048, {"kid": "r1"})
    assert await forger.refused() == "the token is not signed by Campus login"


@pytest.mark.asyncio
async def test_what_is_not_signed_or_signed_with_a_shared_secret_lets_nobody_in(forger: Forger) -> None:
    """The public key taken for a shared secret, and no signature at all: the old tricks."""

    def sign_with_public_key(token: str) -> str:
        head = urlsafe_b64encode(b'{"alg":"HS256","kid":"r1"}').decode().rstrip("=")
        text = f"{head}.{token.split('.')[1]}"
        mac = hmac.digest(RSA.as_pem(private=False), text.encode(), "sha256")
        return f"{text}.{urlsafe_b64encode(mac).decode().rstrip('=')}"

    forger.change = sign_with_public_key
    assert await forger.refused() == "the token of Campus login is signed by 'HS256'"
    none = "eyJhbGciOiJub25lIn0"
    forger.change = lambda token: f"{none}.{token.split('.')[1]}."
    assert await forger.refused() == "the token of Campus login is signed by 'none'"


@pytest.mark.asyncio
async def test_a_key_for_encryption_signs_nothing(forger: Forger) -> None:
    forger.keys = [RSAKey.import_key({**RSA.as_dict(private=True), "use": "enc"})]
    assert await forger.refused() == "the token is not signed by Campus login"


@pytest.mark.asyncio
async def test_new_keys_are_fetched_when_a_token_has_one_but_not_all_the_time(forger: Forger) -> None:
    await forger.sign_in()
    new = RSAKey.generate_key(2048, {"kid": "r2", "use": "sig"})
    forger.keys, forger.signer, forger.header = [new], new, {"alg": "RS256", "kid": "r2"}
    assert await forger.refused() == "the token is not signed by Campus login", "read a moment ago"
    forger.now += RENEW_S
    assert (await forger.sign_in()).user == "ann@example.org"
    asked = forger.asked.count(f"{ISSUER}/jwks")
    forger.signer = RSA
    for _ in range(5):
        await forger.refused()
    assert forger.asked.count(f"{ISSUER}/jwks") == asked
    forger.signer = new
    forger.now += KNOWN_S
    await forger.sign_in()
    assert forger.asked.count(f"{ISSUER}/jwks") == asked + 1


@pytest.mark.asyncio
async def test_a_login_takes_no_longer_than_some_minutes(forger: Forger) -> None:
    url, cookie = await forger.login.begin("/runs")
    state = parse_qs(urlsplit(url).query)["state"][0]
    forger.now += FLOW_S
    with pytest.raises(Refused, match="too long ago"):
        await forger.login.finish({"state": state, "code": "c"}, cookie)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"state": "another"}, "this login was not begun here, or too long ago"),
        ({"state": "\ud800"}, "this login was not begun here, or too long ago"),
        ({"iss": "https://evil.example"}, "this answer comes from another provider"),
        ({"error": "access_denied"}, "Campus login did not let you in: access_denied"),
        ({"error": "x", "error_description": "not on Sundays"}, "Campus login did not let you in: not on Sundays"),
        ({"code": ""}, "Campus login sent no code"),
    ],
)
async def test_an_answer_that_is_no_code_for_this_login(forger: Forger, answer: dict[str, str], said: str) -> None:
    assert await forger.refused(**answer) == said


@pytest.mark.asyncio
async def test_userinfo_of_somebody_else_is_not_believed(forger: Forger) -> None:
    forger.claims = {"groups": None}
    forger.userinfo = {"sub": "8", "groups": ["ml-admins"]}
    assert "no role here" in await forger.refused()
    forger.userinfo = {"sub": "7", "groups": ["ml-admins"], "email": "root@example.org"}
    assert await forger.sign_in() == Identity("ann@example.org", "admin", (), "oidc"), "what is signed comes first"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changes", "claims", "role"),
    [
        ({"roles": {"*": "view", "ml": "run"}}, {}, "run"),
        ({"roles": {"*": "view"}}, {"groups": None}, "view"),
        ({"roles": {"ml": "run"}}, {"groups": "ml"}, "run"),
        ({"roles": {"ml": "run"}}, {"groups": [{"name": "ml"}, 7]}, ""),
        ({"groups_claim": "wids", "roles": {"7": "admin"}}, {"wids": ["7"]}, "admin"),
        ({"domains": ("example.org",)}, {}, "run"),
        ({"domains": ("example.org",)}, {"email": "ann@EXAMPLE.org"}, "run"),
        ({"domains": ("example.org",)}, {"email": "ann@example.org.evil.example"}, ""),
        ({"domains": ("example.org",), "user_claim": "sub"}, {"email_verified": False}, ""),
        ({"user_claim": "sub"}, {"email_verified": False}, "run"),
        ({}, {"email_verified": "true"}, ""),
        ({}, {"email": "a\nb@example.org"}, ""),
        ({}, {"email": ["ann@example.org"]}, ""),
        ({}, {"email": "x" * 300}, ""),
    ],
)
async def test_who_may_what(forger: Forger, changes: dict[str, Any], claims: dict[str, Any], role: str) -> None:
    forger.login = OidcLogin(
        settings_of(ISSUER, **changes), address=ADDRESS, secret=SECRET, signing_key="ab" * 32, send=forger.send, clock=lambda: forger.now
    )
    forger.claims = claims
    if role:
        assert (await forger.sign_in()).role == role
    else:
        await forger.refused()


@pytest.mark.asyncio
async def test_a_provider_that_is_not_the_one_that_was_named_is_refused(forger: Forger) -> None:
    forger.document["issuer"] = "https://evil.example"
    with pytest.raises(InfraError, match=r"calls itself 'https://evil\.example'"):
        await forger.login.begin("/runs")


@pytest.mark.asyncio
async def test_a_provider_that_is_away_is_not_asked_by_everybody_who_comes(forger: Forger) -> None:
    document = forger.document
    forger.document = {}
    for _ in range(5):
        with pytest.raises(InfraError):
            await forger.login.begin("/runs")
    assert len(forger.asked) == 1
    forger.document = document
    forger.now += AWAY_S
    assert (await forger.sign_in()).user == "ann@example.org"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "url", ["http://login.example.org/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "https:///x", "http://127.0.0.1.evil.example/"]
)
async def test_providers_are_asked_by_https_only(url: str) -> None:
    with pytest.raises(InfraError, match="not encrypted"):
        await fetch("GET", url, {}, None)
