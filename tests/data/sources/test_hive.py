"""HiveServer2's protocol against servers that misbehave; a real one is in tests/frameworks."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import fairway as fw
from fairway.data.sources.hive import parse_address
from fairway.data.sources.hivetypes import HiveColumn, declared, of_number, unfolded
from fairway.errors import ConfigError, UnsupportedError


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            link, _ = listening.accept()
            with link:
                answer(link)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"hive://me:s3cret@127.0.0.1:{listening.getsockname()[1]}/default"
        thread.join(60)
        assert not thread.is_alive()


def _signed_in(link: socket.socket) -> None:
    link.recv(4_096)
    link.sendall(struct.pack(">BI", 5, 0))
    link.recv(4_096)


def _reply(body: bytes) -> bytes:
    message = struct.pack(">II", 0x80010002, 1) + b"x" + struct.pack(">I", 1) + body
    return struct.pack(">I", len(message)) + message


_DEEP = b"\x0c\0\1" * 100_000
_LIST_WITHOUT_END = struct.pack(">bhbi", 15, 0, 12, 2**31 - 1)
_TEXT_WITHOUT_END = struct.pack(">bhi", 11, 0, 2**31 - 1)
_REFUSED = struct.pack(">bhbhbhi", 12, 0, 12, 1, 8, 1, 3) + struct.pack(">bhi", 11, 5, 7) + b"because\0\0\0"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda link: link.recv(4_096) and link.sendall(struct.pack(">BI", 3, 9) + b"bad login"), "does not let 'me' in: bad login"),
        (lambda link: link.recv(4_096) and link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "does not let|does not speak"),
        (lambda link: link.recv(4_096) and None, "broke off"),
        (lambda link: _signed_in(link) or link.sendall(struct.pack(">I", 2**31)), "does not speak as HiveServer2"),
        (lambda link: _signed_in(link) or link.sendall(struct.pack(">I", 8) + b"whatever"), "is not HiveServer2"),
        (lambda link: _signed_in(link) or link.sendall(_reply(_DEEP)), "nested without end"),
        (lambda link: _signed_in(link) or link.sendall(_reply(_LIST_WITHOUT_END)), "without end"),
        (lambda link: _signed_in(link) or link.sendall(_reply(_TEXT_WITHOUT_END)), "more than 512 MB"),
        (lambda link: _signed_in(link) or link.sendall(_reply(_REFUSED)), "refuses: because"),
        (lambda link: _signed_in(link) or link.sendall(_reply(b"\x0c\0\0")[:-1]), "broke off|sent something"),
    ],
)
def test_a_server_that_misbehaves_ends_in_one_line(answer: Callable[[socket.socket], None], words: str) -> None:
    with server(answer) as url, pytest.raises(ConfigError, match=words) as caught:
        fw.read(url, table="t")
    assert "s3cret" not in f"{caught.value!r} {caught.value.hint}"


def test_random_answers_never_hang() -> None:
    for _ in range(20):
        noise = os.urandom(300)
        with server(lambda link, noise=noise: _signed_in(link) or link.sendall(_reply(noise))) as url, pytest.raises(ConfigError):
            fw.read(url, table="t")


def test_nobody_there() -> None:
    with pytest.raises(ConfigError, match=r"no connection to HiveServer2 at 127\.0\.0\.1:1"):
        fw.read("hive://me@127.0.0.1:1/x", table="t")


def test_an_address_is_read_from_the_url() -> None:
    address, said = parse_address("hive://me:a%40b@host/db?table=s.t&auth=ldap&ssl=true", {})
    assert (address.host, address.port, address.database, address.user, address.password) == ("host", 10_000, "db", "me", "a@b")
    assert (address.auth, address.tls, said["table"]) == ("LDAP", True, "s.t")
    assert parse_address("hive://h:1/", {"password": "p"})[0].password == "p"


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("hive://h:99999999/", {"table": "t"}, "is no URL"),
        ("hive:///db", {"table": "t"}, "names no host"),
        ("hive://h/db?tabel=x", {}, "'tabel' is not known"),
        ("hive://h/db", {}, "by table= or by query="),
        ("hive://h/db?table=x", {"query": "select 1"}, "by table= or by query="),
    ],
)
def test_what_is_said_wrongly_is_told(url: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fw.read(url, **options)


def test_kerberos_is_not_spoken() -> None:
    with pytest.raises(UnsupportedError, match="KERBEROS"):
        fw.read("hive://h/db?table=x&auth=kerberos")


def test_declared_types() -> None:
    assert declared("x", "decimal(10, 2)").leaves() == {"x": "decimal128(10, 2)"}
    assert declared("x", "array<bigint>").leaves() == {"x": "list<int64>"}
    assert declared("x", "array<struct<a:int>>").leaves() == {"x": "string"}
    assert declared("s", "struct<a:int,b:struct<c:array<string>,d:decimal(5,1)>>").leaves() == {
        "s.a": "int64", "s.b.c": "list<string>", "s.b.d": "decimal128(5, 1)",
    }  # fmt: skip
    assert declared("x", "varchar(20)").leaves() == declared("x", "map<string,int>").leaves() == {"x": "string"}
    assert of_number("x", 15, {"precision": 9, "scale": 3}).arrow == "decimal128(9, 3)"


def test_structs_become_columns_also_when_null() -> None:
    column = declared("s", "struct<a:int,b:struct<c:string>>")
    assert unfolded(column, ['{"a":1,"b":{"c":"x"}}', None, '{"a":2,"b":null}']) == {"s.a": [1, None, 2], "s.b.c": ["x", None, None]}
    assert unfolded(HiveColumn("s", "struct"), ['{"a":1}', '{"z":2}']) == {"s.a": [1, None], "s.z": [None, 2]}
    assert unfolded(HiveColumn("l", "array"), ["[1,2]", None, "[]"]) == {"l": [[1, 2], None, []]}
