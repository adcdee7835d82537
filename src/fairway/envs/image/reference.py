"""How images are named: "python:3.12-slim", "ghcr.io/team/image@sha256:…", "oci:FOLDER:TAG"."""

from __future__ import annotations

import re

from fairway.errors import ConfigError
from fairway.spec.record import Record, record

DOCKER_HUB = "docker.io"
_HUB_HOST = "registry-1.docker.io"
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@record
class Reference(Record):
    """One image. `registry` is the name people write ("docker.io"), "" for a local OCI layout, whose folder is then `repository`."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def host(self) -> str:
        """The host (and port) to speak to."""
        return _HUB_HOST if self.registry == DOCKER_HUB else self.registry

    @property
    def version(self) -> str:
        """What to ask the registry for: the digest if there is one."""
        return self.digest or self.tag or "latest"

    @property
    def is_layout(self) -> bool:
        return not self.registry

    def __str__(self) -> str:
        place = f"{self.registry}/{self.repository}" if self.registry else f"oci:{self.repository}"
        return place + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """Raises ConfigError for what names no image. Without a registry it is Docker Hub's; without a tag or digest, "latest" is meant."""
    hint = 'write "python:3.12-slim", "registry.example.org/team/image:tag", "…@sha256:…" or "oci:FOLDER:TAG"'
    if text.startswith("oci:"):
        folder, colon, tag = text.removeprefix("oci:").rpartition(":")
        if not colon or "/" in tag:
            folder, tag = text.removeprefix("oci:"), ""
        if not folder:
            raise ConfigError(f"not an image: {text!r}", hint=hint)
        return Reference("", folder, tag)
    rest, at, digest = text.partition("@")
    first, slash, inner = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, rest = first, inner
    else:
        registry = DOCKER_HUB
    repository, colon, tag = rest.rpartition(":")
    if not colon:
        repository, tag = rest, ""
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    wrong_tag, wrong_digest = colon and not _TAG.fullmatch(tag), at and not _DIGEST.fullmatch(digest)
    if not _REPOSITORY.fullmatch(repository) or wrong_tag or wrong_digest:
        raise ConfigError(f"not an image: {text!r}", hint=hint)
    return Reference(registry, repository, tag, digest)
