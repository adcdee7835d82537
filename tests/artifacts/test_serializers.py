"""Who writes what: the table of built-ins, other distributions' serializers, names of types, annotations; arrays and small types."""

from __future__ import annotations

import sys
import tomllib
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import shapes

from fairway.errors import DefinitionError
from fairway.step import artifacts, serializers
from fairway.step import types as fw
from fairway.step.folder import FolderArtifactStore

Keep = Callable[..., Any]


def test_the_table_says_what_the_metadata_says() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    written = project["project"]["entry-points"][serializers.GROUP]
    assert written == {name: f"fairway.step.serializers.{where}" for name, (where, _, _) in serializers.BUILT_IN.items()}


@pytest.mark.parametrize("name", serializers.BUILT_IN)
def test_each_built_in_is_what_the_table_says(name: str) -> None:
    _, formats, types = serializers.BUILT_IN[name]
    made = serializers.find_for_format(formats[0])
    assert made is not None and made.format == formats[0] and made.types == types and isinstance(made.suffix, str)
    assert all(artifacts.find_serializer(t) is made for t in types)


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    """A distribution as pip would have installed it."""
    site = tmp_path / "site"
    info = site / "geo_fairway-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: geo-fairway\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[fairway.serializers]\nmap = geo_fairway:MapFile\ntiles = geo_fairway:tiles\nbroken = no_such_module:X\n"
    )
    (site / "geo_maps.py").write_text(
        "class Map:\n    def __init__(self, name): self.name = name\nclass SeaMap(Map): pass\nclass Tiles(dict):\n    pass\n"
    )
    (site / "geo_fairway.py").write_text(
        """
from geo_maps import Map, Tiles
class MapFile:
    format, suffix, types = "geo-map", ".map", ("geo_maps.Map",)
    def write(self, value, path):
        path.write_text(value.name)
        return {"name of map": value.name}
    def read(self, path, wanted, meta):
        return Map(path.read_text())
class TileFolder:
    format, suffix, types = "geo-tiles", "", ("geo_maps.Tiles",)
    def write(self, value, path):
        path.mkdir()
        for name, text in value.items():
            (path / name).write_text(text)
        return {}
    def read(self, path, wanted, meta):
        return Tiles({p.name: p.read_text() for p in path.iterdir()})
tiles = TileFolder()
"""
    )
    sys.path.insert(0, str(site))
    serializers.forget_outsiders()
    yield site
    sys.path.remove(str(site))
    serializers.forget_outsiders()
    for name in ("geo_maps", "geo_fairway"):
        sys.modules.pop(name, None)


@pytest.mark.filterwarnings("ignore:the serializer 'broken'")
def test_an_outsiders_type_by_entry_point(plugin: Path, store: FolderArtifactStore, scratch: Path) -> None:
    import geo_maps  # type: ignore[import-not-found]

    ref = artifacts.save(geo_maps.SeaMap("North Sea"), store, scratch)
    assert (ref.format, ref.type, ref.meta) == ("geo-map", "geo_maps.SeaMap", {"name of map": "North Sea"})
    assert artifacts.load(ref, store, scratch).name == "North Sea"
    assert artifacts.find_serializer("geo_maps.Map") is serializers.find_for_format("geo-map")
    assert artifacts.can_store("list[geo_maps.Map]")


@pytest.mark.filterwarnings("ignore:the serializer 'broken'")
def test_an_outsiders_format_may_be_a_folder(plugin: Path, store: FolderArtifactStore, scratch: Path) -> None:
    import geo_maps  # type: ignore[import-not-found]

    ref = artifacts.save(geo_maps.Tiles(a="1", b="2"), store, scratch)
    assert ref.format == "geo-tiles" and len(set(artifacts.digests(ref, store))) == 3
    assert artifacts.load(ref, store, scratch) == {"a": "1", "b": "2"}


def test_a_broken_plugin_is_a_warning(plugin: Path) -> None:
    with pytest.warns(UserWarning, match="'broken'.*cannot be loaded"):
        assert len(serializers.outsiders()) == 2


def test_built_ins_do_not_scan_metadata(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    np = import_module("numpy")
    serializers.forget_outsiders()
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: pytest.fail("scanned"))
    keep(np.arange(3))
    keep([fw.HTML("x"), b"x" * 2000])


def test_public_names() -> None:
    name = serializers.type_name
    assert [name(t) for t in (int, dict, fw.File, fw.Model, shapes.Point)] == [
        "int",
        "dict",
        "fairway.File",
        "fairway.Model",
        "shapes.Point",
    ]
    pd = import_module("pandas")
    tree = import_module("sklearn.tree")
    assert name(pd.DataFrame) == "pandas.DataFrame"
    assert name(tree.DecisionTreeClassifier) == "sklearn.tree.DecisionTreeClassifier"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", True),
        ("int", True),
        ("list[dict[str, int]]", True),
        ("int | None", True),
        ("tuple[int, ...]", True),
        ("fairway.Model", True),
        ("list[fairway.File]", True),
        ("datetime.datetime", True),
        ("shapes.Point", True),
        ("shapes.Pair", True),
        ("shapes.Colour", True),
        ("not.imported.Here", True),
        ("Literal['a', 'b']", True),
        ("shapes.Opaque", False),
        ("list[shapes.Opaque]", False),
        ("int | shapes.Opaque", False),
        ("dict[str, list[shapes.Opaque]]", False),
        ("pathlib.Path", False),
        ("threading.Thread", False),
    ],
)
def test_annotations_that_can_be_stored(name: str, expected: bool) -> None:
    import threading

    assert threading

    assert artifacts.can_store(name) is expected


def test_metrics_tables_and_pages(keep: Keep, store: FolderArtifactStore, scratch: Path) -> None:
    np = import_module("numpy")
    metrics = keep(fw.Metrics({"auc": np.float64(0.75)}, n=3))
    assert metrics == {"auc": 0.75, "n": 3} and type(metrics) is fw.Metrics and type(metrics["auc"]) is float
    assert artifacts.save(metrics, store, scratch).meta == {"metrics": {"auc": 0.75, "n": 3}}
    assert type(keep({"a": 1}, declared="fairway.Metrics")) is fw.Metrics
    with pytest.raises(DefinitionError, match="a metric is a name and a number"):
        fw.Metrics(auc="high")
    table = fw.Table([{"a": 1, "b": None}, {"a": 2.5, "c": "<x>"}], title="T")
    assert keep(table) == table and table.columns == ["a", "b", "c"] and list(table)[1] == {"a": 2.5, "b": None, "c": "<x>"}
    assert "&lt;x&gt;" in table._repr_html_() and "<caption>T" in table._repr_html_()
    assert fw.Table([[1, 2], [3, 4]], ["x", "y"]).rows == [[1, 2], [3, 4]]
    for text in (fw.HTML("<b>ü</b>"), fw.Markdown("# ü")):
        assert keep(text) == text and type(keep(text)) is type(text)
    assert type(keep("plain", declared="fairway.Markdown")) is fw.Markdown


def test_a_table_of_a_data_frame() -> None:
    pd = import_module("pandas")
    frame = pd.DataFrame({"n": [1, 2], "x": [0.5, None]}, index=pd.Index(["a", "b"], name="key"))
    assert fw.Table(frame).columns == ["key", "n", "x"] and fw.Table(frame).rows == [["a", 1, 0.5], ["b", 2, None]]


def test_pictures_by_their_bytes(keep: Keep) -> None:
    svg = fw.Figure("<svg xmlns='http://www.w3.org/2000/svg'/>", title="Empty")
    back = keep(svg)
    assert (back.kind, back.title, back.data) == ("svg", "Empty", svg.data)
    assert "image/svg+xml" in back._repr_mimebundle_()
    assert keep(fw.Figure(b"\x89PNG\r\n\x1a\n...")).kind == "png"
    with pytest.raises(DefinitionError, match="neither SVG nor PNG"):
        fw.Figure("hello")
    with pytest.raises(DefinitionError, match="not a figure"):
        keep(fw.Figure(3))


def arrays() -> list[Any]:
    np = import_module("numpy")
    return [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24).reshape(2, 3, 4)[:, ::2, 1],
        np.array(3.5),
        np.empty((0, 4)),
        np.array(["a", "üü"]),
        np.array(["2026", "NaT"], dtype="M8[D]"),
        np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array([1, 2], dtype=">i2"),
        np.array([True, False]),
        np.array([1 + 2j]),
        np.array(["", ""], dtype="U0"),
        np.zeros(1, dtype=[("ü€", "i4")]),
        np.array(["a", None, 3], dtype=object),
    ]


@pytest.mark.parametrize("number", range(14))
def test_arrays_come_back(keep: Keep, number: int) -> None:
    import numpy as np

    value = arrays()[number]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, on names of fields beyond Latin-1
        back = keep(value)
    assert back.dtype == value.dtype and back.shape == value.shape and type(back) is np.ndarray
    np.testing.assert_array_equal(back, value)


def test_numpy_times_and_masks(keep: Keep) -> None:
    np = import_module("numpy")
    stamp = np.datetime64("2026-01-01T00:00:00.000000001")
    assert keep(stamp) == stamp and type(keep(stamp)) is np.datetime64
    assert keep(np.float64(1.5)) == 1.5 and type(keep(np.int8(3))) is int
    with pytest.raises(DefinitionError, match="lose its mask"):
        keep(np.ma.masked_array([1, 2], [True, False]))
    with pytest.raises(DefinitionError):
        keep(np.array([object()]))


def test_a_large_array_is_mapped_and_private(store: FolderArtifactStore, scratch: Path) -> None:
    np = import_module("numpy")
    value = np.arange(100_000.0)
    ref = artifacts.save(value, store, scratch)
    back = artifacts.load(ref, store, scratch)
    assert not back.flags.owndata
    back[0] = 5
    assert artifacts.load(ref, store, scratch)[0] == 0
    assert artifacts.save(value.copy(), store, scratch).digest == ref.digest


def test_sparse_matrices(keep: Keep, store: FolderArtifactStore, scratch: Path) -> None:
    sparse = import_module("scipy.sparse")
    for made in (sparse.random(5, 4, 0.5, "csr", random_state=0), sparse.coo_array([[1, 0], [0, 2]]), sparse.lil_matrix([[1, 0]])):
        back = keep(made)
        assert type(back) is type(made) and (back.toarray() == made.toarray()).all()
        assert artifacts.save(made, store, scratch).digest == artifacts.save(made.copy(), store, scratch).digest


def test_arrow_tables(keep: Keep, store: FolderArtifactStore, scratch: Path) -> None:
    pa = import_module("pyarrow")
    table = pa.table({"a": [1, None], "s": ["x", "y"], "l": [[1], None]})
    assert keep(table).equals(table) and keep(table.slice(1)).equals(table.slice(1)) and keep(pa.table({})).equals(pa.table({}))
    assert keep(table.to_batches()[0]).equals(table.to_batches()[0])
    assert keep(table, wanted="pandas.DataFrame").shape == (2, 3)
    cut = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert artifacts.save(cut, store, scratch).digest == artifacts.save(table, store, scratch).digest
