"""Signed text says who may do what until when, and nothing else can be made of it."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from fairway.spec.target import ROLES
from fairway.spec.tokens import (
    KeptToken,
    blob_url,
    check_text,
    check_token,
    check_url,
    derive_key,
    digest_token,
    make_user_token,
    parse_kept,
    render_kept,
    sign_text,
    sign_token,
    sign_url,
    worker_id,
)

KEY, OTHER = "5e" * 32, "00" * 32
NOW = 1_700_000_000.0
ids = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="-."), min_size=1).filter(lambda t: t.strip("."))
keys = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=80)


@given(ids, st.floats(1, 1e6))
def test_a_token_speaks_for_its_id_until_its_time_is_over(id: str, valid_s: float) -> None:
    token = sign_token(KEY, id, NOW + valid_s)
    assert check_token(KEY, token, NOW) == id == worker_id(token)
    assert check_token(KEY, token, NOW + valid_s + 1) is None
    assert check_token(OTHER, token, NOW) is None


@given(ids, st.integers(0, 200), st.characters(codec="ascii"))
def test_a_token_that_was_changed_anywhere_is_none(id: str, place: int, with_: str) -> None:
    token = sign_token(KEY, id, NOW + 60)
    place %= len(token)
    changed = token[:place] + with_ + token[place + 1 :]
    assert (check_token(KEY, changed, NOW) is None) == (changed != token)


@given(st.text(max_size=60))
def test_any_other_text_is_no_token(text: str) -> None:
    assert check_token(KEY, text, NOW) is None
    worker_id(text)


def test_a_users_token_is_no_workers() -> None:
    assert check_token(KEY, "u1.ann.secret", NOW) is None
    assert worker_id("u1.ann.123.secret") == ""


@given(keys, st.sampled_from(["GET", "PUT"]), st.integers(-1, 10**12))
def test_an_address_is_good_for_one_blob_and_one_purpose(key: str, method: str, size: int) -> None:
    query = sign_url(KEY, method, key, NOW + 60, size)
    assert check_url(KEY, method, key, query, NOW)
    assert check_url(KEY, method, key, dict(parse_qsl(query)), NOW)
    assert check_url(KEY, "HEAD", key, query, NOW) == (method == "GET")
    assert not check_url(KEY, method, key, query, NOW + 61)
    assert not check_url(OTHER, method, key, query, NOW)
    assert not check_url(KEY, method, key + "x", query, NOW)
    assert not check_url(KEY, "PUT" if method == "GET" else "GET", key, query, NOW)
    assert not check_url(KEY, method, key, query.replace("e=1", "e=2"), NOW)
    if size >= 0:
        assert f"n={size}" in query
        assert not check_url(KEY, method, key, query.replace(f"n={size}", f"n={size + 1}"), NOW)
        assert not check_url(KEY, method, key, query.replace(f"&n={size}", ""), NOW)


@given(st.text(max_size=60))
def test_any_other_query_is_refused(query: str) -> None:
    assert not check_url(KEY, "GET", "sha256/ab/cd", query, NOW)


@given(keys)
def test_a_blobs_address_holds_its_key(key: str) -> None:
    at = urlsplit(blob_url(key, "e=1&s=2"))
    assert unquote(at.path) == f"/b/{key}" and at.query == "e=1&s=2"


@given(st.sampled_from(ROLES), st.lists(st.text(min_size=1, max_size=20), max_size=4))
def test_what_a_token_may_is_kept_with_its_digest(role: str, projects: list[str]) -> None:
    kept = KeptToken(digest_token(make_user_token("ann")), role, tuple(projects))
    assert parse_kept(render_kept(kept)) == kept


def test_a_bare_digest_is_a_token_that_may_everything() -> None:
    digest = digest_token("u1.ann.0123456789abcdef")
    assert parse_kept(f" {digest}\n") == KeptToken(digest, "admin", ())
    assert render_kept(KeptToken(digest)) == digest


@given(st.text(max_size=80))
def test_what_cannot_be_read_lets_nobody_in(text: str) -> None:
    wrong = (
        "",
        "{",
        "{}",
        '{"digest": 1}',
        '{"digest": ""}',
        '{"digest": "d", "role": "owner"}',
        '{"digest": "d", "projects": "a"}',
        "{" + text,
    )
    assert [parse_kept(one) for one in wrong] == [None] * len(wrong)


def test_a_role_that_is_not_said_is_the_least() -> None:
    assert parse_kept('{"digest": "d"}') == KeptToken("d", "view", ())


@given(
    st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters="-._"), min_size=1),
    st.integers(0, 300),
    st.characters(codec="ascii"),
)
def test_signed_text_is_what_was_signed(text: str, place: int, with_: str) -> None:
    signed = sign_text(KEY, text)
    assert check_text(KEY, signed) == text
    assert check_text(derive_key(KEY, "other"), signed) is None
    place %= len(signed)
    changed = signed[:place] + with_ + signed[place + 1 :]
    assert (check_text(KEY, changed) is None) == (changed != signed)


def test_a_key_for_one_purpose_is_not_that_for_another() -> None:
    assert len({KEY, derive_key(KEY, "session"), derive_key(KEY, "content"), derive_key(OTHER, "session")}) == 4
