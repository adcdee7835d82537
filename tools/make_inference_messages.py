"""Write serve/protocols/inference_messages.py from inference.proto beside it. Needs `protoc` of the package grpcio-tools.

The descriptor is kept as data, which any protobuf reads; code that protoc writes runs only with one or two versions of it.
"""

from __future__ import annotations

import base64
import sys
import tempfile
import textwrap
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "src" / "fairway" / "serve" / "protocols"
HEAD = '''"""Messages of the Open Inference Protocol. Written by tools/make_inference_messages.py from inference.proto: edit that one.

They live in a pool of their own, so that a script may import any other client's messages of the same names beside them.
"""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf import descriptor_pool, message_factory

DESCRIPTOR = (
{lines}
)
_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(base64.b64decode(DESCRIPTOR))


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"inference.{{name}}"))


{names}
'''


def render() -> str:
    """The module's text."""
    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "set.bin")
        if protoc.main(["protoc", f"-I{FOLDER}", f"--descriptor_set_out={out}", "inference.proto"]):
            raise SystemExit("protoc failed")
        (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    packed = base64.b64encode(file.SerializeToString(deterministic=True)).decode()
    lines = "\n".join(f'    "{part}"' for part in textwrap.wrap(packed, 128))
    names = "\n".join(f'{message.name} = _message("{message.name}")' for message in file.message_type)
    return HEAD.format(lines=lines, names=names)


if __name__ == "__main__":
    (FOLDER / "inference_messages.py").write_text(render(), encoding="utf-8")
    sys.exit(0)
