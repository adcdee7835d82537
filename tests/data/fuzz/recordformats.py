"""The formats whose rows Python makes: XML, Avro, ORC, Excel; and the protocol of HiveServer2."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

from fairway.data.sources.hivewire import HiveAddress, HiveSession
from fairway.errors import FairwayError
from tests.data.fuzz.targets import Target, reading
from tests.data.sources.sheets import ods, ods_cell, sheet, xlsx
from tests.data.sources.test_avro import written as avro_written

_BOOKS = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<c xmlns:m="urn:m"><b id="1"><t>A &amp; B &#233;</t><m:x>1</m:x></b>\n'
    b"<b id='2'><t><![CDATA[<x>]]></t><!-- c --><m:x>2</m:x><m:x>3</m:x></b></c>"
)
_XML = (
    _BOOKS,
    '<?xml version="1.0" encoding="utf-16"?><l><e a="é"/><e a="x"/></l>'.encode("utf-16"),
    b"<l>" + b"".join(b'<e k="%d"><n>%d</n><d>2024-01-02</d></e>\n' % (n, n) for n in range(200)) + b"</l>",
    b'<!DOCTYPE l [<!ENTITY a "b">]><l><e>&a;</e></l>',
)
_ROW = f"<table:table-row>{ods_cell(1)}{ods_cell('x')}</table:table-row>"


def _orc() -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.orc

    made = io.BytesIO()
    pa.orc.write_table(pa.table({"a": [1, 2], "s": ["x", None], "l": [[1], []]}), made)
    return made.getvalue()


def _hive(data: bytes) -> None:
    """Bytes as what a server answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            link, _ = listening.accept()
            with link, suppress(OSError):
                link.recv(4_096)
                link.sendall(struct.pack(">BI", 5, 0))
                link.recv(4_096)
                link.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with suppress(FairwayError):
            HiveSession(HiveAddress("127.0.0.1", listening.getsockname()[1], "", "me", "")).close()
        thread.join()


def _answer(body: bytes) -> bytes:
    message = struct.pack(">II", 0x80010002, 1) + b"x" + struct.pack(">I", 1) + body
    return struct.pack(">I", len(message)) + message


_SESSION = struct.pack(">bhbhbhi", 12, 0, 12, 1, 8, 1, 0) + b"\0" + struct.pack(">bhbhbhi", 12, 3, 12, 1, 11, 1, 2) + b"ab\0\0\0\0"

TARGETS: tuple[Target, ...] = (
    Target("xml", reading("xml", "xml"), _XML),
    Target("avro", reading("avro", "avro"), (avro_written(), avro_written(5, "deflate"))),
    Target("excel", reading("excel", "xlsx"), (xlsx({"S": sheet([["a", "b"], [1, "x"]])}), ods(_ROW + _ROW))),
    Target("orc", reading("orc", "orc"), (_orc(),)),
    Target("hive", _hive, (_answer(_SESSION), _answer(b"\0"))),
)
