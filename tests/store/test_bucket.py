"""Artifacts in a real S3 server (SeaweedFS), and the addresses by which workers reach them without a credential."""

from __future__ import annotations

import itertools
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.errors import ConfigError, NotFoundError, StoreUnavailable
from fairway.store.bucket import BucketArtifactStore, BucketSigner
from fairway.testing.contracts.artifacts import ArtifactStoreContract
from tests.store.seaweed import serve_s3

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve_s3(tmp_path_factory.mktemp("weed")) as url:
        yield url


@pytest.fixture
def store(server: str, tmp_path: Path) -> BucketArtifactStore:
    """An empty one: a prefix of its own."""
    options = {"endpoint": server, "region": "us-east-1", "access_key_id": "AK", "secret_access_key": "SK"}
    made = BucketArtifactStore(f"s3://tests/t{next(_numbers)}", tmp_path / "rest", options=options)
    made._opened_at = 0.0  # it has been open for ever: see `test_nothing_is_deleted_that_was_asked_for…`
    return made


class TestContract(ArtifactStoreContract):
    pass


def test_outcomes_stay_beside_the_journal(store: BucketArtifactStore, tmp_path: Path) -> None:
    store.put("outcome/r/a-1", b"{}")
    store.put("sha256/ab/cd", b"{}")
    assert (tmp_path / "rest/outcome/r/a-1").read_bytes() == b"{}"
    assert not (tmp_path / "rest/sha256").exists()


def test_a_signed_address_needs_no_credential_and_serves_one_blob(store: BucketArtifactStore) -> None:
    signer = BucketSigner(store)
    put = urllib.request.Request(signer.sign("PUT", "sha256/aa/bb", 5), data=b"hello", method="PUT")
    with urllib.request.urlopen(put, timeout=60) as reply:
        assert reply.status == 200
    assert store.get("sha256/aa/bb") == b"hello"
    address = signer.sign("GET", "sha256/aa/bb")
    assert urllib.request.urlopen(address, timeout=60).read() == b"hello"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(address.replace("aa/bb", "aa/bc"), timeout=60)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(address.partition("?")[0], timeout=60)


def test_what_one_request_cannot_carry_is_refused_before_it_is_sent(store: BucketArtifactStore) -> None:
    with pytest.raises(ConfigError, match=r"6\.0 GB") as refused:
        BucketSigner(store).sign("PUT", "sha256/aa/bb", 6_000_000_000)
    assert "fw.Directory" in refused.value.hint


def test_nothing_is_deleted_that_was_asked_for_or_may_have_been(store: BucketArtifactStore) -> None:
    """Whoever is told that a blob is there does not send it again."""
    store.put("sha256/ab/cd", b"x")
    soon = time.time() + 3600
    assert store.delete("sha256/ab/zz", unused_since=soon)
    store._opened_at = soon + 1
    assert not store.delete("sha256/ab/cd", unused_since=soon), "another process may have asked before this one began"
    store._opened_at = 0.0
    store._asked["sha256/ab/cd"] = soon + 1
    assert not store.delete("sha256/ab/cd", unused_since=soon)
    del store._asked["sha256/ab/cd"]
    assert store.delete("sha256/ab/cd", unused_since=soon)
    assert store.stat("sha256/ab/cd") is None


def test_a_large_blob_is_read_as_it_comes_and_from_its_middle(store: BucketArtifactStore, tmp_path: Path) -> None:
    data = bytes(range(256)) * 80_000
    (tmp_path / "big").write_bytes(data)
    store.put("sha256/ab/big", tmp_path / "big")
    with store.open("sha256/ab/big") as file:
        assert file.read(1000) == data[:1000]
        file.seek(20_000_000)
        assert file.read() == data[20_000_000:]


@pytest.mark.parametrize("url", ["s3://", "ftp://bucket", "bucket"])
def test_what_is_no_object_store_is_said_at_once(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not an object store"):
        BucketArtifactStore(url, tmp_path)


def test_a_store_that_does_not_answer_or_refuses_is_an_error_with_its_name(server: str, tmp_path: Path) -> None:
    options = {"endpoint": server, "region": "us-east-1", "access_key_id": "AK", "secret_access_key": "wrong"}
    with pytest.raises(StoreUnavailable, match="s3://tests/x") as refused:
        BucketArtifactStore("s3://tests/x", tmp_path, options=options).get("sha256/ab/cd")
    assert "credentials" in refused.value.hint
    assert "\n" not in refused.value.message


def test_an_absent_blob_is_not_found(store: BucketArtifactStore) -> None:
    with pytest.raises(NotFoundError, match="sha256/ab/cd"):
        store.open("sha256/ab/cd")
