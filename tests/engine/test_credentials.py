"""The caller's token for a server: kept for its owner alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fairway.engine.credentials import cluster_key, default_user, find_token, forget_token, get_token, save_token, token_path
from fairway.errors import ConfigError
from fairway.spec.tokens import digest_token, make_user_token, user_of

SERVER = cluster_key("https://10.0.0.1:6443/", "team", "fairway")


def test_a_token_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    variables = {"FAIRWAY_CONFIG": str(tmp_path / "config")}
    token = make_user_token("ada")
    path = Path(save_token(SERVER, token, variables))
    assert find_token(SERVER, variables) == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_another_server_has_another_token(tmp_path: Path) -> None:
    variables = {"FAIRWAY_CONFIG": str(tmp_path)}
    save_token(SERVER, "one", variables)
    assert find_token(cluster_key("https://10.0.0.1:6443", "other", "fairway"), variables) == ""
    assert find_token(cluster_key("https://10.0.0.1:6443", "team", "fairway"), variables) == "one"


def test_the_file_does_not_name_the_token(tmp_path: Path) -> None:
    assert token_path("http://127.0.0.1:8080", {"FAIRWAY_CONFIG": str(tmp_path)}).startswith(f"{tmp_path}/tokens/127.0.0.1-8080-")


def test_a_variable_stands_for_what_is_kept(tmp_path: Path) -> None:
    variables = {"FAIRWAY_CONFIG": str(tmp_path), "FAIRWAY_TOKEN": "u1.bob." + "x" * 20}
    save_token(SERVER, "kept", variables)
    assert get_token(SERVER, "", variables) == variables["FAIRWAY_TOKEN"]


@pytest.mark.parametrize(("kept", "message"), [("", "you have no token"), ("gibberish", "what stands for your token is none")])
def test_a_missing_token_says_how_to_get_one(tmp_path: Path, kept: str, message: str) -> None:
    variables = {"FAIRWAY_CONFIG": str(tmp_path)}
    if kept:
        save_token(SERVER, kept, variables)
    with pytest.raises(ConfigError, match=message) as caught:
        get_token(SERVER, "fairway up --on campus", variables)
    assert "fairway up --on campus" in caught.value.hint


def test_a_token_is_forgotten_once(tmp_path: Path) -> None:
    variables = {"FAIRWAY_CONFIG": str(tmp_path)}
    save_token(SERVER, "kept", variables)
    assert (forget_token(SERVER, variables), forget_token(SERVER, variables)) == (True, False)
    assert find_token(SERVER, variables) == ""


def test_a_token_that_cannot_be_kept_or_read_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot keep your token") as caught:
        save_token(SERVER, "x", {"FAIRWAY_CONFIG": str(tmp_path / "file")})
    assert "FAIRWAY_CONFIG" in caught.value.hint
    folder = Path(token_path(SERVER, {"FAIRWAY_CONFIG": str(tmp_path)}))
    folder.mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot read the token"):
        find_token(SERVER, {"FAIRWAY_CONFIG": str(tmp_path)})


def test_no_two_tokens_are_alike_and_each_names_its_user() -> None:
    one, other = make_user_token("ada-1"), make_user_token("ada-1")
    assert one != other and digest_token(one) != digest_token(other)
    assert user_of(one) == "ada-1" and user_of("w1.a.1.b") == ""


@pytest.mark.parametrize("name", ["", "Ada", "a.b", "-a", "a b"])
def test_a_name_that_is_no_users_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a user's name"):
        make_user_token(name)


@pytest.mark.parametrize(("variables", "user"), [({"USER": "Ada L."}, "ada-l"), ({"FAIRWAY_USER": "bob"}, "bob"), ({}, "user")])
def test_a_name_is_taken_from_the_machine(variables: dict[str, str], user: str) -> None:
    assert default_user(variables) == user
    assert user_of(make_user_token(user)) == user
