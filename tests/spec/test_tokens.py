"""Signed text says who may do what until when, and nothing else can be made of it."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from fairway.spec.tokens import blob_url, check_token, check_url, sign_token, sign_url, worker_id

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
