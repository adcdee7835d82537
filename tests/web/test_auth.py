"""Users' tokens: as mounted, as renewed, and as made a moment ago."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from fairway.errors import ConfigError, InfraError
from fairway.spec.tokens import KeptToken, digest_token, make_user_token, render_kept
from fairway.web.auth import LOOK_EVERY_S, TokenAuth
from fairway.web.identity import Identity

ANN, BEN = make_user_token("ann"), make_user_token("ben")


def mount(folder: Path, **values: str) -> TokenAuth:
    for name, value in {"signing-key": "ab" * 32, **values}.items():
        (folder / name).write_text(value)
    return TokenAuth(str(folder))


def test_a_user_is_who_has_the_token_whose_digest_is_kept(tmp_path: Path) -> None:
    auth = mount(tmp_path, **{"token.ann": digest_token(ANN)})
    assert auth.check(ANN) == Identity("ann", "admin")
    assert [auth.check(wrong) for wrong in ("", BEN, ANN[:-1] + "x", "u1.ann.", "w1.a.1.b", make_user_token("ann"))] == [None] * 6


def test_another_users_token_under_this_name_is_nobodys(tmp_path: Path) -> None:
    auth = mount(tmp_path, **{"token.ann": digest_token(BEN)})
    assert auth.check(BEN) is None


def test_a_renewed_folder_is_read_again(tmp_path: Path) -> None:
    auth = mount(tmp_path, **{"token.ann": digest_token(ANN)})
    assert auth.check(BEN) is None
    (tmp_path / "token.ben").write_text(digest_token(BEN))
    (tmp_path / "token.ann").unlink()
    assert (auth.check(BEN), auth.check(ANN)) == (Identity("ben", "admin"), None)


def test_a_token_made_a_moment_ago_is_looked_up_once_and_then_known(tmp_path: Path) -> None:
    auth = mount(tmp_path)
    asked: list[int] = []

    async def find_secret() -> Mapping[str, str]:
        asked.append(1)
        return {"token.ben": digest_token(BEN), "signing-key": "ab" * 32}

    auth.find_secret = find_secret
    assert auth.check(BEN) is None
    assert asyncio.run(auth.find_identity(BEN)) == Identity("ben", "admin")
    assert auth.check(BEN) == Identity("ben", "admin")
    assert asyncio.run(auth.find_identity(BEN)) == Identity("ben", "admin")
    assert asyncio.run(auth.find_identity("w1.a-1.99.ff")) is None
    assert len(asked) == 1


def test_strangers_cannot_make_the_server_ask_the_cluster_all_the_time(tmp_path: Path) -> None:
    (tmp_path / "signing-key").write_text("ab" * 32)
    now = [100.0]
    auth = TokenAuth(str(tmp_path), clock=lambda: now[0])
    asked: list[int] = []

    async def find_secret() -> Mapping[str, str]:
        asked.append(1)
        return {}

    auth.find_secret = find_secret
    for _ in range(50):
        assert asyncio.run(auth.find_identity(make_user_token("eve"))) is None
    assert len(asked) == 1
    now[0] += 3
    assert asyncio.run(auth.find_identity(make_user_token("eve"))) is None
    assert len(asked) == 2


def test_a_cluster_that_does_not_answer_lets_nobody_in_and_nobody_fall(tmp_path: Path) -> None:
    auth = mount(tmp_path, **{"token.ann": digest_token(ANN)})

    async def find_secret() -> Mapping[str, str]:
        raise InfraError("no answer")

    auth.find_secret = find_secret
    assert asyncio.run(auth.find_identity(BEN)) is None
    assert asyncio.run(auth.find_identity(ANN)) == Identity("ann", "admin")


def test_a_server_without_a_key_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="signing-key"):
        TokenAuth(str(tmp_path))


def test_what_is_written_into_a_file_that_is_there_is_seen_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("fairway.web.auth.time.monotonic", lambda: now[0])
    auth = mount(tmp_path, **{"token.ann": digest_token(ANN)})
    assert auth.check(ANN) is not None
    (tmp_path / "token.ann").write_text(digest_token(BEN))
    now[0] += LOOK_EVERY_S
    assert auth.check(ANN) is None


def test_a_role_and_projects_are_those_that_are_kept(tmp_path: Path) -> None:
    auth = mount(tmp_path, **{"token.ann": render_kept(KeptToken(digest_token(ANN), "view", ("churn",))), "token.ben": "{"})
    assert auth.check(ANN) == Identity("ann", "view", ("churn",))
    account = auth.find_account("ann")
    assert account is not None and account.identity == auth.check(ANN) and account.mark in digest_token(ANN)
    assert (auth.check(BEN), auth.find_account("ben"), auth.find_account("eve")) == (None, None, None)
