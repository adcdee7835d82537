"""Items of long lists are those that the engine makes, one at a time."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.engine.library import StoreLibrary
from fairway.errors import FairwayError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.testing.memory import MemoryArtifactStore
from fairway.web import lists
from fairway.web.lists import LeanLibrary

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
PLAIN = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


def stored(value: Any, store: MemoryArtifactStore) -> ArtifactRef:
    data = json.dumps(value).encode()
    ref = ArtifactRef("ab" * 32, len(data), "json", "list")
    store.put(blob_key(ref.digest), data)
    return ref


@given(st.lists(PLAIN, max_size=6))
def test_items_are_those_of_the_engine(value: list[Any]) -> None:
    store = MemoryArtifactStore()
    ref = stored(value, store)
    wanted = list(StoreLibrary(store).split(ref))
    found = LeanLibrary(store).split(ref)
    assert (list(found), len(found), list(found[1:3])) == (wanted, len(wanted), wanted[1:3])


def test_items_of_a_manifest_keep_what_they_are() -> None:
    store = MemoryArtifactStore()
    model = ArtifactRef("cd" * 32, 12, "pickle", "Model", "", None, {"size": 3})
    whole = StoreLibrary(store).collect([model, model])
    assert list(LeanLibrary(store).split(whole)) == list(StoreLibrary(store).split(whole))


def test_what_is_no_list_or_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryArtifactStore()
    with pytest.raises(FairwayError):
        LeanLibrary(store).split(ArtifactRef("ab" * 32, 2, "json", "dict", inline="{}"))
    monkeypatch.setattr(lists, "LIST_LIMIT_BYTES", 3)
    with pytest.raises(FairwayError, match="not taken apart"):
        LeanLibrary(store).split(stored([1, 2, 3], store))


def test_a_long_list_is_gone_with_its_library() -> None:
    store = MemoryArtifactStore()
    gc.disable()
    try:
        library = LeanLibrary(store)
        items = weakref.ref(library.split(stored(list(range(1000)), store)))
        del library
        assert items() is None
    finally:
        gc.enable()
