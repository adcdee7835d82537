"""Values to artifacts and back: the short way, lists, structures, refusals."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import shapes

from fairway.errors import DefinitionError, NotFoundError, StoreUnavailable, UnsupportedError
from fairway.spec.artifact import INLINE_LIMIT_BYTES, ArtifactRef, blob_key
from fairway.spec.record import from_plain, to_plain
from fairway.step import artifacts, refusals
from fairway.step import types as fw
from fairway.step.folder import FolderArtifactStore

Keep = Callable[..., Any]


def blobs(store: FolderArtifactStore) -> int:
    return len(list(store.list("sha256/")))


def test_a_small_value_lives_in_its_reference(store: FolderArtifactStore, scratch: Path) -> None:
    ref = artifacts.save({"depth": 4}, store, scratch, name="result")
    assert ref == ArtifactRef(hashlib.sha256(b'{"depth":4}').hexdigest(), 11, "json", "dict", "result", '{"depth":4}')
    assert blobs(store) == 0 and not scratch.exists()
    assert artifacts.load(from_plain(ArtifactRef, json.loads(json.dumps(to_plain(ref)))), store, scratch) == {"depth": 4}


def test_the_limit_of_what_is_inline(store: FolderArtifactStore, scratch: Path) -> None:
    at = artifacts.save("x" * (INLINE_LIMIT_BYTES - 2), store, scratch)
    above = artifacts.save(["x" * (INLINE_LIMIT_BYTES - 3)], store, scratch)
    assert at.inline is not None and above.inline is None
    assert artifacts.load(above, store, scratch) == ["x" * (INLINE_LIMIT_BYTES - 3)]
    assert store.get(blob_key(above.digest)).startswith(b'["x')


def test_a_long_text_is_kept_as_text(store: FolderArtifactStore, scratch: Path) -> None:
    text = "long\n" * 1000 + "\ud800"
    ref = artifacts.save(text, store, scratch)
    assert (ref.format, ref.type) == ("text", "str")
    assert store.get(blob_key(ref.digest)).startswith(b"long\nlong\n")
    assert artifacts.load(ref, store, scratch) == text


@pytest.mark.parametrize("value", [b"", b"abc", bytearray(b"x" * 5000), None, True, (1, 2), {3}, shapes.Point(1, 2)])
def test_values_come_back(keep: Keep, value: Any) -> None:
    back = keep(value)
    assert back == value and type(back) is type(value)


def test_a_list_is_the_same_artifact_saved_or_collected(store: FolderArtifactStore, scratch: Path) -> None:
    values: list[Any] = [1, "zwei", None, (3,), {"a": 4.5}]
    whole = artifacts.save(values, store, scratch)
    collected = artifacts.collect([artifacts.save(v, store, scratch) for v in values], store)
    assert (whole.digest, whole.inline) == (collected.digest, collected.inline)
    parts = artifacts.split(whole, store)
    assert [artifacts.load(p, store, scratch) for p in parts] == values
    assert [p.digest for p in parts] == [artifacts.save(v, store, scratch).digest for v in values]


def test_a_collected_list_tells_the_type_of_its_items(store: FolderArtifactStore, scratch: Path) -> None:
    refs = [artifacts.save(n, store, scratch) for n in range(3)]
    assert artifacts.collect(refs, store).type == "list[int]"
    assert artifacts.collect([*refs, artifacts.save("x", store, scratch)], store).type == "list"
    assert artifacts.load(artifacts.collect([], store), store, scratch) == []


def test_a_list_of_large_values_is_a_manifest(store: FolderArtifactStore, scratch: Path) -> None:
    values = [b"a" * 2000, 7, b"b" * 3000]
    refs = [artifacts.save(v, store, scratch, name=f"n{i}") for i, v in enumerate(values)]
    ref = artifacts.collect(refs, store)
    assert ref.format == "list" and ref.digest == artifacts.save(values, store, scratch).digest
    assert [r.digest for r in artifacts.split(ref, store)] == [r.digest for r in refs]
    assert artifacts.load(ref, store, scratch) == values
    assert set(artifacts.digests(ref, store)) == {ref.digest, *(r.digest for r in refs)}


@pytest.mark.parametrize("value", [{"a": 1}, 5, "text", None])
def test_only_a_list_can_be_split(store: FolderArtifactStore, scratch: Path, value: Any) -> None:
    with pytest.raises(DefinitionError, match=r"fw\.each needs a list"):
        artifacts.split(artifacts.save(value, store, scratch), store)


def test_a_hundred_thousand_items_are_quick(store: FolderArtifactStore, scratch: Path) -> None:
    import time

    values = list(range(100_000))
    start = time.process_time()
    ref = artifacts.save(values, store, scratch)
    parts = artifacts.split(ref, store)
    again = artifacts.collect(parts, store)
    assert time.process_time() - start < 4
    assert again.digest == ref.digest and len(parts) == 100_000


def test_structures_around_large_values(keep: Keep, store: FolderArtifactStore, scratch: Path) -> None:
    value = {"raw": b"x" * 2000, "pair": shapes.Pair(b"y", [1, (2, fw.HTML("<b>"))]), "n": 1}
    ref = artifacts.save({**value, "html": fw.HTML("<p>")}, store, scratch)
    back = artifacts.load(ref, store, scratch)
    assert ref.format == "tree"
    assert back["pair"] == value["pair"] and type(back["pair"]) is shapes.Pair and type(back["html"]) is fw.HTML
    assert len(set(artifacts.digests(ref, store))) == 4  # the tree, the bytes, and two pages
    made = keep(shapes.Labelled("x", fw.Markdown("# hi")))
    assert type(made) is shapes.Labelled and type(made.data) is fw.Markdown


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (lambda: 1, "call it"),
        (shapes.Opaque(), "entry point"),
        ((n for n in [1]), r"list\(generator\)"),
        (Path("x.csv"), r"fw\.File"),
        ({"deep": [shapes.Opaque()]}, "trust"),
        (sys, "trust"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_ways_out(store: FolderArtifactStore, scratch: Path, value: Any, word: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        artifacts.save(value, store, scratch, name="report")
    assert "output 'report'" in caught.value.message
    import re

    assert re.search(word, caught.value.hint)


def test_what_contains_itself_is_refused(store: FolderArtifactStore, scratch: Path) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(DefinitionError, match="contains itself"):
        artifacts.save(value, store, scratch)


def test_a_pickle_needs_trust_twice(store: FolderArtifactStore, scratch: Path) -> None:
    ref = artifacts.save(shapes.Opaque(), store, scratch, trust=True)
    assert ref.format == "pickle"
    with pytest.raises(DefinitionError, match="runs whatever code"):
        artifacts.load(ref, store, scratch)
    assert type(artifacts.load(ref, store, scratch, trust=True)) is shapes.Opaque
    with pytest.raises(DefinitionError, match="cannot even be pickled"):
        artifacts.save(lambda: 1, store, scratch, trust=True)


def test_a_trusted_part_of_a_structure(store: FolderArtifactStore, scratch: Path) -> None:
    ref = artifacts.save({"big": b"x" * 2000, "deep": [shapes.Opaque()]}, store, scratch, trust=True)
    back = artifacts.load(ref, store, scratch, trust=True)
    assert back["big"] == b"x" * 2000 and type(back["deep"][0]) is shapes.Opaque
    with pytest.raises(DefinitionError, match="pickled"):
        artifacts.load(ref, store, scratch)


def test_a_class_that_cannot_be_found_again_is_refused_by_name(store: FolderArtifactStore, scratch: Path) -> None:
    class Local(shapes.Pair):
        pass

    for value in (Local(1, 2), {"big": b"x" * 2000, "local": Local(1, 2)}, [Local(1, 2)]):
        with pytest.raises(DefinitionError, match="Local") as caught:
            artifacts.save(value, store, scratch)
        assert "at the top of its module" in caught.value.hint


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    code = f"""
import resource, signal
from fairway.errors import StoreUnavailable
from fairway.step import artifacts
from fairway.step.folder import FolderArtifactStore
import numpy as np, pandas as pd
store, scratch = FolderArtifactStore({str(tmp_path / "blobs")!r}), {str(tmp_path / "scratch")!r}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
for value in (np.zeros(1 << 20), pd.DataFrame({{"a": np.zeros(1 << 20)}}), b"x" * (2 << 20), "x" * (2 << 20)):
    try:
        artifacts.save(value, store, scratch, name="big")
    except StoreUnavailable as error:
        print(error.message)
import os
print(os.listdir(scratch))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 5 and all("cannot" in line for line in lines[:4]) and lines[4] == "[]", done.stdout + done.stderr


def test_a_missing_blob_and_a_damaged_one(store: FolderArtifactStore, scratch: Path) -> None:
    np = import_module("numpy")
    ref = artifacts.save(np.arange(50), store, scratch)
    path = store.local_path(blob_key(ref.digest))
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(b"rubbish")
    with pytest.raises(StoreUnavailable, match="is damaged"):
        artifacts.load(ref, store, scratch)
    store.delete(blob_key(ref.digest))
    with pytest.raises(NotFoundError):
        artifacts.load(ref, store, scratch)


def test_a_format_that_nobody_here_reads(store: FolderArtifactStore, scratch: Path) -> None:
    with pytest.raises(UnsupportedError, match="no reader for 'geo'"):
        artifacts.load(ArtifactRef("ab" * 32, 3, "geo", "geo.Map"), store, scratch)


def test_another_version_of_the_library_is_a_warning(store: FolderArtifactStore, scratch: Path) -> None:
    import_module("sklearn")
    import_module("skops")
    from sklearn.linear_model import LinearRegression

    ref = artifacts.save(LinearRegression(), store, scratch)
    ref.meta["versions"]["scikit-learn"] = "0.1"
    with pytest.warns(refusals.VersionMismatch, match=r"scikit-learn 0\.1 and is being read with .*fw\.env\(packages="):
        artifacts.load(ref, store, scratch)


def test_a_missing_library_is_named(store: FolderArtifactStore, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np = import_module("numpy")
    ref = artifacts.save(np.arange(50), store, scratch)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(UnsupportedError) as caught:
        artifacts.load(ref, store, scratch)
    assert "takes numpy" in caught.value.message and "pip install numpy" in caught.value.hint


def test_nothing_is_left_in_scratch(store: FolderArtifactStore, scratch: Path) -> None:
    artifacts.save(b"x" * 9000, store, scratch)
    with pytest.raises(DefinitionError):
        artifacts.save([b"x", shapes.Opaque()], store, scratch)
    assert list(scratch.iterdir()) == []


def test_plain_values_import_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from fairway.step import artifacts; "
        "from fairway.step.folder import FolderArtifactStore as S; "
        f"s = S({str(tmp_path)!r}); r = artifacts.save({{'a': [1, 2.5, 'x', None]}}, s, '/no'); assert artifacts.load(r, s, '/no'); "
        "heavy = {'pathlib', 'dataclasses', 'inspect', 'asyncio', 'importlib.metadata', 'tempfile', 'numpy', 'logging', 'threading'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; before = set(sys.modules); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_an_optional_annotation_is_the_type_in_it(store: FolderArtifactStore, scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hi")
    ref = artifacts.save(str(tmp_path / "a.txt"), store, scratch, declared="fairway.File | None")
    assert ref.format == "file"
    assert artifacts.load(ref, store, scratch, wanted="fairway.File | None").read_text() == "hi"
    nothing = artifacts.save(None, store, scratch, declared="fairway.File | None")
    assert artifacts.load(nothing, store, scratch) is None
    assert artifacts.load(nothing, store, scratch, wanted="fairway.File | None") is None
