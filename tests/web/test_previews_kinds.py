"""What arrays, text, Markdown, folders, lists and archives show; and that nothing in them becomes markup of ours."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fairway.spec.artifact import ArtifactRef
from fairway.web.previews.kinds import _BY_FORMAT, KINDS, kind_of, kind_of_name, table_form
from fairway.web.previews.media import media_type
from fairway.web.previews.png import render_png
from fairway.web.previews.shown import facts_of
from fairway.web.previews.sights import CannotSee, see
from fairway.web.previews.source import Source
from fairway.web.previews.texts import render_markdown


def ref(form: str, **meta: Any) -> ArtifactRef:
    return ArtifactRef("ab" * 32, 10, form, meta=meta)


@pytest.mark.parametrize(
    ("artifact", "kind"),
    [
        (ref("arrow"), "table"),
        (ref("arrow-polars"), "table"),
        (ref("table"), "table"),
        (ref("file", name="data.PARQUET"), "table"),
        (ref("file", name="data.csv"), "table"),
        (ref("file", name="train.py"), "code"),
        (ref("file", name="Dockerfile"), "code"),
        (ref("file", name="weird"), "file"),
        (ref("figure", kind="svg"), "image"),
        (ref("figure", kind="plotly"), "figure"),
        (ref("pickle"), "file"),
        (ref("xgboost"), "file"),
        (ref("anything", folder=True), "folder"),
        (ref("tree"), "list"),
    ],
)
def test_the_kind_follows_from_the_format_or_the_name(artifact: ArtifactRef, kind: str) -> None:
    assert kind_of(artifact) == kind
    assert kind in KINDS


def test_what_is_shown_as_a_page_is_sent_as_one() -> None:
    shown = [form for form in _BY_FORMAT if kind_of(ref(form)) == "html"]
    assert {"html", "data-report"} <= set(shown)
    assert {media_type(ref(form)) for form in shown} == {"text/html; charset=utf-8"}


def test_how_a_table_is_stored() -> None:
    assert table_form(ref("table")) == "table"
    assert table_form(ref("arrow-table")) == "arrow"
    assert table_form(ref("file", name="x.tsv")) == "tsv"
    assert table_form(ref("dir"), "a.jsonl") == "lines"
    assert kind_of_name("pic.svg") == "image"


@pytest.mark.parametrize(
    ("artifact", "said"),
    [
        (ArtifactRef("ab" * 32, 3, "json", inline="0.5"), "0.5"),
        (ref("arrow", rows=4000, columns=["a", "b"]), "4,000 rows × 2 columns"),
        (ref("npy", shape=[2, 3], dtype="float32"), "2 × 3 float32"),
        (ref("model", **{"class": "sklearn.tree.Tree", "metrics": {"auc": 0.81234}}), "Tree · auc 0.8123"),
        (ref("metrics", metrics={"auc": 0.5}), "auc 0.5"),
        (ref("dir", files=3), "3 files"),
    ],
)
def test_the_most_that_can_be_said_in_a_few_words(artifact: ArtifactRef, said: str) -> None:
    assert facts_of(artifact) == said


def saved(array: Any, tmp_path: Path) -> Source:
    np.save(tmp_path / "a.npy", array)
    return Source({"path": str(tmp_path / "a.npy")})


def test_a_matrix_is_a_grid_of_block_means(tmp_path: Path) -> None:
    array = np.arange(600 * 400, dtype="f8").reshape(600, 400)
    seen = see("array", saved(array, tmp_path), {})
    assert (seen["shape"], seen["dtype"], seen["grid"]["rows"], seen["grid"]["columns"]) == ([600, 400], "float64", 128, 128)
    assert seen["grid"]["values"][0] == pytest.approx(array[:4, :3].mean(), rel=1e-3)
    assert (seen["statistics"]["min"], seen["statistics"]["max"], sum(seen["statistics"]["bins"])) == (0, array.size - 1, array.size)
    assert (len(seen["values"]), len(seen["values"][0])) == (20, 12)


def test_a_line_loses_no_peak(tmp_path: Path) -> None:
    array = np.zeros(50_000)
    array[31_234] = 99
    seen = see("array", saved(array, tmp_path), {})["line"]
    assert (len(seen["low"]), max(seen["high"]), seen["step"]) == (1_000, 99, 50)


def test_one_part_of_more_than_two_axes_is_drawn(tmp_path: Path) -> None:
    array = np.zeros((3, 4, 30, 40))
    array[2, 1] = 7
    seen = see("array", saved(array, tmp_path), {"at": [2, 1]})
    assert (seen["at"], seen["axes"], seen["grid"]["max"]) == ([2, 1], [3, 4], 7)
    assert see("array", saved(array, tmp_path), {"at": [9, -4]})["at"] == [2, 0]


def test_pictures_are_shown_as_pictures(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype="u1")
    seen = see("array", saved(array, tmp_path), {})["picture"]
    png = base64.b64decode(seen["url"].partition(",")[2])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), array)


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3, 4]), st.randoms())
@settings(max_examples=30)
def test_any_picture_survives_png(width: int, height: int, channels: int, random: Any) -> None:
    pixels = bytes(random.randrange(256) for _ in range(width * height * channels))
    image = Image.open(io.BytesIO(render_png(pixels, width, height, channels)))
    assert (image.size, image.tobytes()) == ((width, height), pixels)


ODD = [
    np.zeros((0, 3)),
    np.array(5),
    np.array([True, False]),
    np.array(["a", "b"]),
    np.array([1 + 2j]),
    np.full((3, 3), np.nan),
    np.array([[np.inf, 1.0]]),
    np.array([(1, "x")], dtype=[("n", "i4"), ("t", "U2")]),
    np.zeros((2, 2, 2, 2, 2)),
    np.zeros((1, 100_000)),
    np.array(["2026-01-01"], dtype="M8[D]"),
]


@pytest.mark.parametrize("array", ODD)
def test_every_array_can_be_looked_at(array: Any, tmp_path: Path) -> None:
    seen = see("array", saved(array, tmp_path), {})
    assert seen["shape"] == list(array.shape)
    json.dumps(seen, allow_nan=False)


def test_pickled_objects_are_not_opened(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Python objects|allow_pickle"):
        see("array", saved(np.array([{}, None], dtype=object), tmp_path), {})


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr", "dia"])
def test_sparse_matrices(layout: str, tmp_path: Path) -> None:
    matrix = scipy.sparse.random(50, 80, 0.05, format="csr", random_state=0)
    scipy.sparse.save_npz(tmp_path / "m.npz", matrix.asformat(layout))
    seen = see("sparse", Source({"path": str(tmp_path / "m.npz")}), {})
    assert (seen["shape"], seen["layout"], seen["nonzero"], seen["density"]) == ([50, 80], layout, 200, 0.05)
    if layout in ("csr", "csc", "coo"):
        grid = np.array(seen["grid"]["values"]).reshape(50, 80)
        assert np.array_equal(grid > 0, matrix.toarray() != 0)
    json.dumps(seen, allow_nan=False)


def text(data: bytes | str, name: str = "") -> Source:
    return Source({"text": data if isinstance(data, str) else data.decode("latin-1"), "size": len(data)}, name=name)


def test_text_and_programs() -> None:
    seen = see("text", text("def f():\n    '''two\n    lines'''\n    return '<b>'\n", "x.py"), {})
    assert seen["lines"] == ["def f():", "    '''two", "    lines'''", "    return '<b>'"]
    assert seen["markup"][0] == '<span class="c4">def</span> <span class="c1">f</span>():'
    assert all(line.count("<span") == line.count("</span>") for line in seen["markup"])
    assert "&lt;b&gt;" in seen["markup"][3]
    assert "markup" not in see("text", text("a <b>", "x.txt"), {})


def test_bytes_are_digits(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(bytes(range(40)) + b"text")
    seen = see("text", Source({"path": str(tmp_path / "b")}), {})
    assert seen["hex"][2] == ["000020", "20 21 22 23 24 25 26 27 74 65 78 74", " !\"#$%&'text"]


class Links(HTMLParser):
    """All that could act in a piece of HTML."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action", "srcset", "formaction")]
        self.handlers += [name for name, _ in attrs if name.startswith("on") or name == "style"]


HOSTILE = """
<script>alert(1)</script> <img src=x onerror=alert(1)> <a href="javascript:alert(1)">a</a>
[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](java&#10;script:alert(1)) [d](data:text/html,x) [e](vbscript:x) [f](file:///etc/passwd)
[g](<javascript:alert(1)>) ![h](javascript:alert(1)) ![i](https://elsewhere.example/track.png) ![j](//elsewhere.example/x.png)
![k](/api/v1/runs)

![l](../../secret.png) ![m](..%2f..%2fsecret.png) ![n](fairway-files:/x) <javascript:alert(1)> [o]: javascript:alert(1)

```"><script>alert(1)</script>
</code></pre><script>alert(1)</script>
```
"""


def test_hostile_markdown_is_text() -> None:
    for pictures in ("", "/content/GRANT/"):
        found = Links(render_markdown(HOSTILE, pictures))
        assert not {"script", "iframe", "object", "form", "style", "svg"} & set(found.tags)
        assert found.addresses == []
        assert found.handlers == []


def test_markdown_shows_pictures_of_its_own_folder_alone() -> None:
    markup = render_markdown("![a](pic.png) ![b](sub/x%20y.svg) ![c](https://e.example/z.png) [d](https://e.example)", "/content/G/")
    assert Links(markup).addresses == ["/content/G/pic.png", "/content/G/sub/x%20y.svg", "https://e.example"]
    assert 'rel="noopener noreferrer nofollow"' in markup
    assert Links(render_markdown("![a](pic.png)")).addresses == []


PIECES = [*"[]()<>!`*_~|#-:/\\\"'= \n&;", "javascript:", "<script>", "on", "http://x", "![", "](", "&#106;avascript:", "data:text/html,"]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@settings(deadline=None, max_examples=200)
def test_no_markdown_makes_a_script(source: str) -> None:
    found = Links(render_markdown(source, "/content/G/"))
    assert "script" not in found.tags
    assert found.handlers == []
    assert all(re.match(r"(?:https?:|mailto:|/content/G/|#)", address) for address in found.addresses)


MANIFEST = {
    "files": [
        {"path": "a/b/c.txt", "digest": "11" * 32, "size_bytes": 5},
        {"path": "a/d.csv", "digest": "22" * 32, "size_bytes": 7},
        {"path": "z.py", "digest": "33" * 32, "size_bytes": 1},
    ],
    "folders": ["a/empty", "void"],
}


def test_folders_open_level_by_level() -> None:
    source = text(json.dumps(MANIFEST))
    top = see("folder", source, {})
    assert [(entry["name"], entry["folder"], entry["size_bytes"]) for entry in top["entries"]] == [
        ("a", True, 12),
        ("void", True, 0),
        ("z.py", False, 1),
    ]
    assert (top["files"], top["size_bytes"]) == (3, 13)
    inner = see("folder", source, {"under": "a"})
    assert [entry["path"] for entry in inner["entries"]] == ["a/b", "a/empty", "a/d.csv"]
    assert see("folder", source, {"path": "a/d.csv"})["file"] == {"digest": "22" * 32, "size_bytes": 7}
    assert see("folder", source, {"path": "a/../z.py"})["file"] is None


def test_a_large_folder_comes_in_pages() -> None:
    files = [{"path": f"f{n:04}", "digest": "11" * 32, "size_bytes": 1} for n in range(450)]
    source = text(json.dumps({"files": files}))
    pages = [see("folder", source, {"offset": at}) for at in (0, 200, 400)]
    assert [(len(page["entries"]), page["more"]) for page in pages] == [(200, 250), (200, 50), (50, 0)]


def test_items_of_lists_and_structures() -> None:
    items = [{"digest": f"{n:02}" * 32, "size_bytes": 1, "format": "npy"} for n in range(3)]
    shape = {"x": {"$ref": 1}, "y": [{"$ref": 0}, {"$tuple": [1, {"$ref": 2}]}]}
    seen = see("items", text(json.dumps({"items": items, "value": shape})), {})
    assert (seen["total"], seen["paths"]) == (3, ["y[0]", "x", "y[1][1]"])
    assert json.loads(seen["shape"]) == {"x": "→ x", "y": ["→ y[0]", {"$tuple": [1, "→ y[1][1]"]}]}
    assert see("items", text(json.dumps({"items": items})), {"digest": "02" * 32})["item"] == items[2]
    assert see("items", text(json.dumps({"items": items})), {"digest": "ff" * 32})["item"] is None


def test_archives_and_tensors(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("<b>.txt", "hello")
    assert see("archive", Source({"path": str(tmp_path / "a.zip")}), {})["files"] == [{"path": "<b>.txt", "size_bytes": 5}]
    with pytest.raises(CannotSee, match="not a whole zip"):
        see("archive", text("PK nonsense"), {})
    head = json.dumps({"__metadata__": {"a": "b"}, "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    (tmp_path / "t").write_bytes(len(head).to_bytes(8, "little") + head + bytes(24))
    seen = see("tensors", Source({"path": str(tmp_path / "t")}), {})
    assert (seen["parameters"], seen["tensors"][0]["size_bytes"], seen["notes"]) == (6, 24, {"a": "b"})
    (tmp_path / "bad").write_bytes(b"\xff" * 64)
    with pytest.raises(CannotSee, match="not a file of tensors"):
        see("tensors", Source({"path": str(tmp_path / "bad")}), {})


def test_values_are_finite_and_not_too_deep() -> None:
    assert see("value", text('{"a": [NaN, 1e999]}'), {})["value"] == {"a": [None, None]}
    for wrong in ("[" * 100_000, "nothing"):
        with pytest.raises(CannotSee, match="not JSON"):
            see("value", text(wrong), {})
    assert math.isfinite(1)
