"""Sessions and codes: what a cookie is good for, how long, and when it is void."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.spec.record import replace
from fairway.web.identity import Account, Identity
from fairway.web.sessions import CODE_S, CODES_LIMIT, SESSION_S, Sessions

ANN = Identity("ann", "run", ("churn",))


class Accounts:
    """Tokens of users, as `TokenAuth` knows them."""

    signing_key = "ab" * 32

    def __init__(self) -> None:
        self.kept = {"ann": Account(ANN, "mark-1")}

    def find_account(self, user: str) -> Account | None:
        return self.kept.get(user)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(accounts: Accounts, clock: Clock, tmp_path: Path) -> Sessions:
    return Sessions(accounts, tmp_path / "server" / "ended.json", clock=clock)


def test_a_session_is_its_users_until_its_time_is_over(sessions: Sessions, clock: Clock) -> None:
    _, cookie = sessions.begin(ANN)
    found = sessions.find(cookie)
    assert found is not None and found.identity == Identity("ann", "run", ("churn",), "session")
    clock.now += SESSION_S - 1
    assert sessions.find(cookie) is not None
    clock.now += 1
    assert sessions.find(cookie) is None


def test_what_a_session_may_is_what_its_users_token_may_now(sessions: Sessions, accounts: Accounts) -> None:
    _, cookie = sessions.begin(ANN)
    accounts.kept["ann"] = Account(Identity("ann", "view"), "mark-1")
    found = sessions.find(cookie)
    assert found is not None and (found.identity.role, found.identity.projects) == ("view", ())


@pytest.mark.parametrize("now", [None, Account(ANN, "mark-2")])
def test_a_session_ends_with_the_token_that_it_was_begun_with(sessions: Sessions, accounts: Accounts, now: Account | None) -> None:
    _, cookie = sessions.begin(ANN)
    accounts.kept = {"ann": now} if now is not None else {}
    assert sessions.find(cookie) is None


def test_whom_a_provider_let_in_keeps_the_role_it_gave(sessions: Sessions, accounts: Accounts) -> None:
    accounts.kept = {}
    eve = Identity("eve@example.org", "view", (), "oidc")
    _, cookie = sessions.begin(eve)
    found = sessions.find(cookie)
    assert found is not None and found.identity == eve


def test_a_provider_cannot_pass_somebody_off_as_the_owner_of_a_token(sessions: Sessions, accounts: Accounts) -> None:
    accounts.kept["ann"] = Account(Identity("ann", "admin"), "mark-1")
    _, cookie = sessions.begin(Identity("ann", "view", (), "oidc"))
    found = sessions.find(cookie)
    assert found is not None and found.identity == Identity("ann", "view", (), "oidc")


def test_a_session_that_was_ended_is_void_on_the_next_server_too(
    sessions: Sessions, accounts: Accounts, clock: Clock, tmp_path: Path
) -> None:
    (one, cookie), (_, other) = sessions.begin(ANN), sessions.begin(ANN)
    sessions.end(one)
    assert sessions.find(cookie) is None and sessions.find(other) is not None
    again = Sessions(accounts, tmp_path / "server" / "ended.json", clock=clock)
    assert again.find(cookie) is None and again.find(other) is not None


def test_ended_sessions_are_forgotten_when_their_time_is_over(sessions: Sessions, clock: Clock, tmp_path: Path) -> None:
    one, _ = sessions.begin(ANN)
    sessions.end(one)
    clock.now += SESSION_S
    two, _ = sessions.begin(ANN)
    sessions.end(two)
    text = (tmp_path / "server" / "ended.json").read_text()
    assert one.id not in text and two.id in text


def test_a_list_of_ended_sessions_that_is_damaged_lets_the_others_in(sessions: Sessions, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "ended.json").write_text("{")
    assert sessions.find(sessions.begin(ANN)[1]) is not None


@given(st.text(), st.integers(0, 500))
def test_no_other_text_is_a_session(tmp_path_factory: pytest.TempPathFactory, junk: str, at: int) -> None:
    sessions = Sessions(Accounts(), Path("/nonexistent"))
    _, cookie = sessions.begin(ANN)
    changed = cookie[: at % len(cookie)] + junk + cookie[at % len(cookie) + len(junk) :]
    assert changed == cookie or sessions.find(changed) is None
    assert sessions.find(junk) is None


def test_a_session_of_another_server_is_none_here(accounts: Accounts, sessions: Sessions, tmp_path: Path) -> None:
    class Other(Accounts):
        signing_key = "cd" * 32

    other = Sessions(Other(), tmp_path / "other.json")
    assert sessions.find(other.begin(ANN)[1]) is None
    assert sessions.cookie != other.cookie, "servers on two ports of one machine share the browser's cookies"


def test_a_form_is_of_one_session(sessions: Sessions) -> None:
    (one, _), (two, _) = sessions.begin(ANN), sessions.begin(ANN)
    token = sessions.form_token(one)
    assert sessions.is_form_token(one, token)
    assert not sessions.is_form_token(two, token)
    assert not any(sessions.is_form_token(one, wrong) for wrong in ("", token[:-1], "\ud800", token.upper()))


def test_a_code_is_good_once(sessions: Sessions) -> None:
    code = sessions.make_code(ANN)
    assert sessions.take_code(code[:-1]) is None
    assert sessions.take_code(code) == ANN
    assert sessions.take_code(code) is None
    assert sessions.take_code("") is None


def test_a_code_is_good_for_a_minute(sessions: Sessions, clock: Clock) -> None:
    code, late = sessions.make_code(ANN), sessions.make_code(ANN)
    clock.now += CODE_S - 1
    assert sessions.take_code(code) == ANN
    clock.now += 1
    assert sessions.take_code(late) is None


def test_codes_that_nobody_takes_do_not_fill_the_memory(sessions: Sessions) -> None:
    first = sessions.make_code(ANN)
    codes = [sessions.make_code(replace(ANN, user=f"u{n}")) for n in range(CODES_LIMIT)]
    assert sessions.take_code(first) is None
    assert sessions.take_code(codes[0]) is not None and sessions.take_code(codes[-1]) is not None
