"""Templates that were compiled by an earlier server: to compile those of one page takes longer than to answer it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from jinja2 import Environment, FileSystemBytecodeCache
from jinja2.bccache import Bucket


class CompiledTemplates(FileSystemBytecodeCache):
    """In a folder that nobody but the server's owner can write to. What cannot be kept (a full disk) is compiled again."""

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            super().dump_bytecode(bucket)


def keep_compiled(templates: Environment, folder: Path) -> None:
    """Take templates from `folder` from now on as far as they are there and current, and keep there those that are not."""
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        templates.bytecode_cache = CompiledTemplates(str(folder))
