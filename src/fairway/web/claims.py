"""What an ID token says: who has signed it, whom it is for, who it is about, and what that person may do here. Pure.

Signatures are checked by `joserfc`, which is imported when the first one is.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable, Mapping
from typing import Any

from fairway.spec.target import ROLES, OidcSettings
from fairway.web.identity import Identity
from fairway.web.problem import Refused

ALGORITHMS = {"RS256": "RSA", "ES256": "EC"}
"""What a token may be signed by, and the type of key that does."""
LEEWAY_S = 60.0
_USER_LIMIT = 200


def read_header(token: str) -> dict[str, Any]:
    """The header as it stands there, unchecked; {} if there is none."""
    first = token.partition(".")[0]
    try:
        found = json.loads(urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (ValueError, NotBase64, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def verify(token: str, header: Mapping[str, Any], keys: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The claims, if one of the keys that the header can mean has signed them. `header["alg"]` is one of ALGORITHMS."""
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    for key in keys:
        fits = key.get("kty") == ALGORITHMS[header["alg"]] and key.get("use", "sig") == "sig"
        if not fits or ("kid" in header and key.get("kid") != header["kid"]):
            continue
        try:
            return dict(jwt.decode(token, import_key(dict(key)), algorithms=[header["alg"]]).claims)
        except (JoseError, ValueError, TypeError):
            continue
    return None


def find_fault(claims: Mapping[str, Any], settings: OidcSettings, nonce: str, now: float) -> str:
    """What is wrong with these claims; "" if they are of this provider, for us, of now, about somebody, and the answer to `nonce`."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    said = claims.get("nonce")
    if claims.get("iss") != settings.issuer:
        return "of another provider"
    if settings.client_id not in audiences or claims.get("azp", settings.client_id) != settings.client_id:
        return "for somebody else"
    if len(audiences) > 1 and "azp" not in claims:
        return "for several, and does not say who asked for it"
    if now - LEEWAY_S >= _time(claims.get("exp"), 0.0):
        return "too old"
    if max(_time(claims.get("iat"), float("inf")), _time(claims.get("nbf", 0), float("inf"))) > now + LEEWAY_S:
        return "of a time to come"
    if not isinstance(said, str) or not hmac.compare_digest(said.encode("utf-8", "surrogatepass"), nonce.encode()):
        return "the answer to another login"
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        return "about nobody"
    return ""


def identify(claims: Mapping[str, Any], settings: OidcSettings, provider: str) -> Identity:
    """Who it is, and what they may do. Raises 403 for who may nothing."""
    user = claims.get(settings.user_claim)
    if not isinstance(user, str) or not user or not user.isprintable() or len(user) > _USER_LIMIT:
        raise _refuse(f"{provider} does not say who you are", hint=f"whoever runs the server: there is no claim {settings.user_claim!r}")
    email = claims.get("email") if claims.get("email_verified") is True else None
    if settings.user_claim == "email" and email is None:
        raise _refuse(
            f"{provider} has not verified your e-mail address",
            hint='or users are named by another claim: user-claim = "preferred_username"',
        )
    domain = email.rpartition("@")[2].lower() if isinstance(email, str) else ""
    if settings.domains and domain not in settings.domains:
        raise _refuse("e-mail addresses of your domain are not let in", hint=f"these are: {', '.join(settings.domains)}")
    roles = [settings.roles[group] for group in ("*", *_texts(claims.get(settings.groups_claim))) if group in settings.roles]
    if not roles:
        raise _refuse(f"you are known as {user!r}, and have no role here", hint="ask whoever runs the server for one")
    return Identity(user, max(roles, key=ROLES.index), (), "oidc")


def _time(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def _texts(value: Any) -> list[str]:
    """Some providers spell a list of one as that one."""
    return [value] if isinstance(value, str) else [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _refuse(message: str, *, hint: str) -> Refused:
    return Refused(403, message, hint=hint, code="FW-FORBIDDEN")
