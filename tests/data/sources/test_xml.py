"""XML: what becomes of records, of whatever cannot be trusted, and that reading in bulk gives what reading by events does."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fairway as fw
from fairway.data.sources import xml
from fairway.data.sources.xmltokens import BulkReader
from fairway.errors import ConfigError, DataAnomalies

BOOKS = """<?xml version="1.0" encoding="UTF-8"?>
<catalog xmlns="http://example.org/shop" xmlns:m="http://example.org/more">
  <owner>me</owner>
  <book id="b1">
    <title>A &amp; B &#233;</title>
    <author><name>Ann</name><born>1970-01-02</born></author>
    <price currency="EUR">12.50</price>
    <m:tag>x</m:tag><m:tag>y</m:tag>
    <stock>7</stock>
  </book>
  <book id="b2">
    <title><![CDATA[<raw> & more]]></title>
    <!-- a comment -->
    <author><name>Béa</name><born/></author>
    <price currency="USD">3</price>
    <m:tag>z</m:tag>
  </book>
</catalog>
"""


def write(tmp_path: Path, text: str | bytes, name: str = "x.xml") -> str:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def test_records_become_rows(tmp_path: Path) -> None:
    table = fw.read(write(tmp_path, BOOKS))
    assert {one.name: one.arrow for one in table.fields} == {
        "@id": "string", "title": "string", "author.name": "string", "author.born": "date32[day]", "price.@currency": "string",
        "price": "double", "tag": "list<string>", "stock": "int64",
    }  # fmt: skip
    assert table.rows() == [
        {"@id": "b1", "title": "A & B é", "author.name": "Ann", "author.born": "1970-01-02", "price.@currency": "EUR", "price": 12.5,
         "tag": ["x", "y"], "stock": 7},
        {"@id": "b2", "title": "<raw> & more", "author.name": "Béa", "author.born": None, "price.@currency": "USD", "price": 3.0,
         "tag": ["z"], "stock": None},
    ]  # fmt: skip
    assert table.notes == (
        "records are at /catalog/book, of which 2 stand side by side in what was looked at; pin it with records='/catalog/book'",
    )
    assert table.select("stock", "@id").rows() == [{"stock": 7, "@id": "b1"}, {"stock": None, "@id": "b2"}]


@pytest.mark.parametrize("said", ["/catalog/book/author", "author", "book/author"])
def test_records_are_where_one_says(tmp_path: Path, said: str) -> None:
    assert [row["name"] for row in fw.read(write(tmp_path, BOOKS), records=said).rows()] == ["Ann", "Béa"]


def test_a_record_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no element 'bok'") as caught:
        fw.read(write(tmp_path, BOOKS), records="bok")
    assert "/catalog/book" in caught.value.hint
    with pytest.raises(ConfigError, match="no record at /catalog/bok"):
        fw.read(write(tmp_path, BOOKS), records="/catalog/bok")


def test_namespaces_are_told_apart_by_the_prefixes_one_gives(tmp_path: Path) -> None:
    text = (
        '<r xmlns:a="urn:a" xmlns:b="urn:b"><x><a:n>1</a:n><b:n>2</b:n><c:n xmlns:c="urn:a">3</c:n></x><x><a:n>4</a:n><b:n>5</b:n></x></r>'
    )
    table = fw.read(write(tmp_path, text), namespaces={"p": "urn:a", "q": "urn:b"})
    assert table.rows() == [{"p:n": [1, 3], "q:n": 2}, {"p:n": [4], "q:n": 5}]
    assert fw.read(write(tmp_path, text)).rows() == [{"n": [1, 2, 3]}, {"n": [4, 5]}]


def test_a_record_without_children_is_its_attributes_and_text(tmp_path: Path) -> None:
    table = fw.read(write(tmp_path, "<l><e a='1' b='x &gt; y'/><e a='2' b='>'>t</e></l>"))
    assert table.rows() == [{"@a": 1, "@b": "x > y", "#text": None}, {"@a": 2, "@b": ">", "#text": "t"}]


def test_a_document_of_one_record(tmp_path: Path) -> None:
    assert fw.read(write(tmp_path, "<a><b>1</b><c>x</c></a>")).rows() == [{"b": 1, "c": "x"}]


def test_nil_and_mixed_content(tmp_path: Path) -> None:
    begin = '<l xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
    text = begin + '<e><n xsi:nil="true"/><p>some <b>bold</b> words</p></e><e><n>2</n></e></l>'
    assert fw.read(write(tmp_path, text)).rows() == [{"n": None, "p": "some words", "p.b": "bold"}, {"n": 2, "p": None, "p.b": None}]


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8", ""), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("iso-8859-1", "ISO-8859-1"), ("cp1252", "windows-1252"),
        ("shift_jis", "Shift_JIS"), ("utf-16-le", "UTF-16"), ("utf-32", "utf-32"),
    ],
)  # fmt: skip
def test_encodings_by_declaration_or_mark(tmp_path: Path, encoding: str, declared: str) -> None:
    word = "日本" if encoding == "shift_jis" else "naïve"
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
    path = write(tmp_path, f"{head}\n<l><e><w>{word}</w></e><e><w>x</w></e></l>".encode(encoding))
    assert [row["w"] for row in fw.read(path).rows()] == [word, "x"]


def test_the_wrong_encoding_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, '<?xml version="1.0"?><l><e><w>naïve</w></e></l>'.encode("latin-1"))
    with pytest.raises(ConfigError, match="not well-formed"):
        fw.read(path)
    assert fw.read(path, encoding="latin-1").rows() == [{"w": "naïve"}]
    with pytest.raises(ConfigError, match="no encoding 'klingon'"):
        fw.read(write(tmp_path, '<?xml version="1.0" encoding="klingon"?><a/>'))


def test_old_and_mixed_line_ends_are_one(tmp_path: Path) -> None:
    path = write(tmp_path, b"<l>\r<e>\r\n<w>a\r\nb\rc\nd</w></e><e><w>x</w></e>\r</l>")
    assert fw.read(path).rows()[0]["w"] == "a\nb\nc\nd"


def test_packed(tmp_path: Path) -> None:
    path = write(tmp_path, gzip.compress(BOOKS.encode()), "x.xml.gz")
    assert len(fw.read(path).rows()) == 2


_PAIRS = zip("abcdefgh", "bcdefghi", strict=True)
_BOMB = "<!DOCTYPE l [<!ENTITY a 'ha'>" + "".join(f"<!ENTITY {b} '{'&' + a + ';'}{'&' + a + ';'}'>" for a, b in _PAIRS)


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        (_BOMB + "]>\n<l><e>&i;</e></l>", "brings its own DTD", 1),
        ('<!DOCTYPE l [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<l><e>&x;</e></l>', "brings its own DTD", 1),
        ('<!DOCTYPE l SYSTEM "http://127.0.0.1:1/x.dtd">\n<l>\n<e>&x;</e><e/></l>', "&x; is declared outside", 3),
        ("<l>\n<e><w>1</w></e>\n<e><w>2</e>\n</l>", "mismatched tag", 3),
        ("<l>\n<e><w>1</w></e>\n<e><w>2</w>", "was cut off", 3),
        ("<l>\n<e><w>1</w></e>\n<e><w>&nbsp;</w></e></l>", "undefined entity", 3),
        ("<l>\n<e><w>a\x01</w></e><e/></l>", "invalid token", 2),
        ("<l>\n<e><w>a&#0;</w></e><e/></l>", "invalid character number", 2),
        ("<l><e a='1' a='2'/></l>", "duplicate attribute", 1),
        ("", "was cut off, or is empty", 1),
        ("hello, world", "not well-formed", 1),
        ("<a>" * 1_000, "more than 256 deep", 1),
        ("<l><e>1</e><e>" + "<a>" * 300 + "</a>" * 300 + "</e></l>", "more than 256 deep", 1),
        ("<l/><l/>", "junk after document element", 1),
    ],
)  # fmt: skip
def test_what_cannot_be_read_or_trusted_is_refused_with_the_line(tmp_path: Path, text: str, words: str, line: int) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=words) as caught:
        fw.read(path).rows()
    assert caught.value.where == f"{path}:{line}"


def test_a_doctype_alone_is_no_harm(tmp_path: Path) -> None:
    assert fw.read(write(tmp_path, '<!DOCTYPE l SYSTEM "l.dtd"><l><e><w>1</w></e><e><w>2</w></e></l>')).rows() == [{"w": 1}, {"w": 2}]


@pytest.mark.parametrize(
    ("begin", "words"),
    [
        ("<l><e><w>", "has more than"), ('<l><e w="', "more than 16 MB|has more than"),
        ("<l><!--", "more than 16 MB"), ("<l><", "more than 16 MB"),
    ],
)  # fmt: skip
def test_gigantic_texts_tags_and_attributes_are_refused_early(tmp_path: Path, begin: str, words: str) -> None:
    path = tmp_path / "x.xml"
    with path.open("wb") as file:
        file.write(begin.encode())
        for _ in range(100):
            file.write(b"x" * (1 << 20))
    started = time.process_time()
    with pytest.raises(ConfigError, match=words):
        fw.read(str(path), records="/l/e").rows()
    assert time.process_time() - started < 10


def test_a_value_that_does_not_fit_is_a_reject_with_its_line(tmp_path: Path) -> None:
    text = (
        "<l>\n"
        + "".join(f"<e><n>{n}</n></e>\n" for n in range(30_000))
        + "<e>\n<n>many</n></e>\n<e><n>1</n><n>2</n></e>\n<e><m>1</m></e></l>"
    )
    path = write(tmp_path, text)
    table = fw.read(path, max_rejects=3, sample_rows=100)
    assert sum(batch.rows for batch in table.batches()) == 30_000
    assert [(one.line, one.column) for one in table.rejects.rows] == [(30_002, "n"), (30_004, "n"), (30_005, "m")]
    with pytest.raises(DataAnomalies, match=r"line 30002.*'n'"):
        fw.read(path, sample_rows=100).rows()
    assert fw.read(path, sample_rows=100, max_rejects=2, types={"m": "int64"}).rows()[-1] == {"n": None, "m": 1}
    assert fw.read(path, sample_rows=100, types={"m": "int64", "n": "list<string>"}).rows()[-2:] == [
        {"n": ["1", "2"], "m": None},
        {"n": None, "m": 1},
    ]


def test_several_files_of_one_kind(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path, f"<l><e><w>{name}</w></e><e><w>{name}{name}</w></e></l>", f"{name}.xml")
    assert [row["w"] for row in fw.read(f"{tmp_path}/*.xml").rows()] == ["a", "aa", "b", "bb"]


# What reading in bulk gives is what reading by events gives.

_words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn"), exclude_characters="\ufffe\uffff"), max_size=8)
_spaces = st.sampled_from(["", " ", "\n  "])
_names = st.sampled_from(["a", "bb", "p:c", "d-e", "é", "e"])


@st.composite
def _attributes(draw: st.DrawFn) -> str:
    names = draw(st.lists(st.sampled_from(["k", "p:k", "l"]), unique=True, max_size=3))
    return "".join(f"{draw(st.sampled_from([' ', '  ', chr(10)]))}{name}={quoteattr(draw(_words))}" for name in names)


@st.composite
def _element(draw: st.DrawFn, depth: int = 0) -> str:
    name, said = draw(_names), draw(_attributes())
    if depth < 3 and draw(st.booleans()):
        inner = "".join(draw(_spaces) + draw(_element(depth + 1)) for _ in range(draw(st.integers(0, 3)))) + draw(_spaces)
    else:
        inner = draw(st.one_of(_words.map(escape), st.sampled_from(["", "&#65;", "&lt;&amp;", "<![CDATA[<]]>", "x<!-- y -->z", "a > b"])))
    return f"<{name}{said}/>" if not inner and draw(st.booleans()) else f"<{name}{said}>{inner}</{name}{draw(st.sampled_from(['', ' ']))}>"


@st.composite
def _documents(draw: st.DrawFn) -> str:
    between = st.sampled_from(["", "\n", " <!-- <e> -->", " <!-- <e>a</e> -->", "<![CDATA[ ]]>", "<other><e>no</e></other>", "</g><g>"])
    records = [
        f"<e{draw(_attributes())}>{''.join(draw(st.lists(_element(), max_size=4)))}</e>{draw(between)}"
        for _ in range(draw(st.integers(1, 12)))
    ]
    return f'<l xmlns:p="urn:p"><g>{"".join(records)}</g></l>'


def _collected(path: str) -> tuple[dict[str, list[tuple[int, str | None]]], list[int]]:
    document = xml._Document(path, {}, None)
    document.path = ("l", "g", "e")
    columns: dict[str, list[tuple[int, str | None]]] = {}
    lines: list[int] = []
    for part in document.chunks():
        for name, (rows, values) in part.columns.items():
            columns.setdefault(name, []).extend((len(lines) + int(row), value) for row, value in zip(rows, values, strict=True))
        lines += list(part.lines())
    return columns, lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("xml")


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(text=_documents(), block=st.integers(20, 400))
def test_bulk_is_events(folder: Path, text: str, block: int) -> None:
    path = write(folder, text)
    with patch.object(BulkReader, "read", lambda *_: None):
        expected = _collected(path)
    with patch.object(xml, "BLOCK_BYTES", block), patch.object(xml, "_FIRST_BYTES", block):
        assert _collected(path) == expected


def test_plain_markup_is_read_in_bulk(tmp_path: Path) -> None:
    """The comparison above would hold as well if nothing was ever read in bulk."""
    taken: list[int] = []
    plain = BulkReader.read

    def counting(self: BulkReader, buffer: bytes) -> Any:
        found = plain(self, buffer)
        taken.append(len(found.starts) if found else 0)
        return found

    rows = "".join(f'<e id="{n}"><w k="é">{n} &amp; é</w><v/></e>\n' for n in range(20_000))
    with patch.object(BulkReader, "read", counting):
        table = fw.read(write(tmp_path, f"<l>{rows}</l>"))
        taken.clear()
        assert sum(batch.rows for batch in table.batches()) == 20_000
    assert sum(taken) > 10_000


def test_memory_stays_flat(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "x.xml"
    with path.open("w") as file:
        file.write("<l>")
        for n in range(40_000):
            file.write(f"<e><id>{n}</id><w>some words of text</w></e>\n")
        file.write("</l>")
    table = fw.read(str(path))
    assert path.stat().st_size > 1_500_000
    tracemalloc.start()
    try:
        assert sum(batch.rows for batch in table.batches()) == 40_000
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
