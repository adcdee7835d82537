"""Where images come from and go to: a registry by the OCI distribution protocol, or a folder with the OCI image layout."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from fairway.envs.image.http import RegistryHttp
from fairway.envs.image.reference import Reference
from fairway.errors import ConfigError, ImageUnavailable, NotFoundError, StoreUnavailable
from fairway.spec.record import Record, record

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
_DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ACCEPTED = (INDEX, MANIFEST, _DOCKER_LIST, _DOCKER_MANIFEST)
INDEXES = (INDEX, _DOCKER_LIST)
_REF_NAME = "org.opencontainers.image.ref.name"
_LIMIT_BYTES = 8 << 20


@record
class Manifest(Record):
    """A manifest or an index, as its bytes are."""

    digest: str
    media_type: str
    data: bytes

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.data)

    def descriptor(self) -> dict[str, Any]:
        """As an index names it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}


def make_manifest(body: dict[str, Any], media_type: str) -> Manifest:
    """Of the same content always the same bytes."""
    data = json.dumps({"schemaVersion": 2, "mediaType": media_type, **body}, separators=(",", ":"), sort_keys=True).encode()
    return Manifest(f"sha256:{hashlib.sha256(data).hexdigest()}", media_type, data)


class ImageStore(Protocol):
    """One repository of images."""

    def find_manifest(self, version: str) -> Manifest | None: ...
    def has_manifest(self, version: str) -> str: ...
    def open_blob(self, digest: str) -> BinaryIO: ...
    def has_blob(self, digest: str) -> bool: ...
    def put_blob(self, digest: str, size_bytes: int, source: Callable[[], BinaryIO], *, mount_from: str = "") -> bool: ...
    def put_manifest(self, manifest: Manifest, version: str) -> None: ...
    def close(self) -> None: ...


def open_store(reference: Reference, *, plain: bool | None = None) -> ImageStore:
    """The repository that holds, or is to hold, the image."""
    return FolderImages(Path(reference.repository)) if reference.is_layout else RegistryImages(reference, plain=plain)


def get_manifest(store: ImageStore, reference: Reference) -> Manifest:
    """Raises NotFoundError if there is no such image."""
    found = store.find_manifest(reference.version if not reference.is_layout else reference.digest or reference.tag)
    if found is None:
        raise NotFoundError(f"there is no image {reference}", hint="is its name right, and are you logged in to its registry?")
    return found


class RegistryImages:
    """A repository of a registry."""

    def __init__(self, reference: Reference, *, plain: bool | None = None) -> None:
        self.reference = reference
        self.repository = reference.repository
        self.http = RegistryHttp(reference.registry, reference.host, plain=plain)
        self._pull, self._push = f"repository:{self.repository}:pull", f"repository:{self.repository}:pull,push"

    def close(self) -> None:
        self.http.close()

    def find_manifest(self, version: str) -> Manifest | None:
        """None if it is not there. Raises ImageUnavailable, ConfigError."""
        reply = self.http.request(
            "GET", f"/v2/{self.repository}/manifests/{version}", scope=self._pull, headers={"Accept": ", ".join(ACCEPTED)}
        )
        data = reply.read()
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise self.http.refused(reply.status, data, f"read {self.repository}:{version}")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if version.startswith("sha256:") and digest != version:
            raise ImageUnavailable(
                f"{self.reference.registry} gave another manifest than {version}", hint="try again, or name another registry"
            )
        kind = json.loads(data).get("mediaType") or reply.headers.get("content-type", MANIFEST)
        return Manifest(digest, kind.partition(";")[0], data)

    def has_manifest(self, version: str) -> str:
        """Its digest, "" if it is not there. One small request."""
        reply = self.http.request(
            "HEAD", f"/v2/{self.repository}/manifests/{version}", scope=self._pull, headers={"Accept": ", ".join(ACCEPTED)}
        )
        data = reply.read()
        if reply.status == 404:
            return ""
        if reply.status != 200:
            raise self.http.refused(reply.status, data, f"read {self.repository}:{version}")
        found = reply.headers.get("docker-content-digest", "")
        return found or (manifest.digest if (manifest := self.find_manifest(version)) else "")

    def open_blob(self, digest: str) -> BinaryIO:
        """A stream of its bytes, to be closed by the caller after it was read to its end."""
        reply = self.http.request("GET", f"/v2/{self.repository}/blobs/{digest}", scope=self._pull)
        if reply.status != 200:
            raise self.http.refused(reply.status, reply.read(), f"read a layer of {self.repository}")
        return reply.stream  # type: ignore[return-value]

    def has_blob(self, digest: str) -> bool:
        reply = self.http.request("HEAD", f"/v2/{self.repository}/blobs/{digest}", scope=self._push)
        data = reply.read()
        if reply.status not in (200, 404):
            raise self.http.refused(reply.status, data, f"look into {self.repository}")
        return reply.status == 200

    def put_blob(self, digest: str, size_bytes: int, source: Callable[[], BinaryIO], *, mount_from: str = "") -> bool:
        """Have the blob there; False if nothing had to be sent. `mount_from`: a repository of this registry that holds it."""
        if self.has_blob(digest):
            return False
        query = f"?{urllib.parse.urlencode({'mount': digest, 'from': mount_from})}" if mount_from else ""
        reply = self.http.request("POST", f"/v2/{self.repository}/blobs/uploads/{query}", scope=self._push)
        data = reply.read()
        if reply.status == 201:
            return False
        if reply.status != 202 or not reply.headers.get("location"):
            raise self.http.refused(reply.status, data, f"write to {self.repository}")
        place = reply.headers["location"]
        place += f"{'&' if '?' in place else '?'}{urllib.parse.urlencode({'digest': digest})}"
        headers = {"Content-Type": "application/octet-stream"}
        reply = self.http.request("PUT", place, scope=self._push, headers=headers, body=source, size=size_bytes)
        data = reply.read()
        if reply.status not in (201, 204):
            raise self.http.refused(reply.status, data, f"write a layer to {self.repository}")
        return True

    def put_manifest(self, manifest: Manifest, version: str) -> None:
        reply = self.http.request(
            "PUT",
            f"/v2/{self.repository}/manifests/{version}",
            scope=self._push,
            headers={"Content-Type": manifest.media_type},
            body=manifest.data,
        )
        data = reply.read()
        if reply.status not in (200, 201):
            raise self.http.refused(reply.status, data, f"write {self.repository}:{version}")


class FolderImages:
    """A folder with the OCI image layout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def close(self) -> None:
        """Nothing is held open."""

    def _blob(self, digest: str) -> Path:
        return self.folder / "blobs" / digest.replace(":", "/")

    def _index(self) -> list[dict[str, Any]]:
        path = self.folder / "index.json"
        if not path.exists():
            if self.folder.exists() and any(path.name != "blobs" for path in self.folder.iterdir()):
                raise ConfigError(
                    f"{self.folder} is no OCI image layout: it has no index.json",
                    hint="name an empty folder, or one that skopeo or umoci made",
                )
            return []
        return json.loads(path.read_text(encoding="utf-8")).get("manifests", [])

    def find_manifest(self, version: str) -> Manifest | None:
        """By digest, by tag, or the only one there is."""
        listed = self._index()
        if version.startswith("sha256:"):
            digest = version
        else:
            fitting = [entry for entry in listed if entry.get("annotations", {}).get(_REF_NAME) == version]
            fitting = fitting or (listed if len(listed) == 1 and not version else [])
            if not fitting:
                return None
            digest = fitting[0]["digest"]
        path = self._blob(digest)
        if not path.exists():
            return None
        data = path.read_bytes()
        body = json.loads(data)
        kind = body.get("mediaType") or next((entry["mediaType"] for entry in listed if entry["digest"] == digest), MANIFEST)
        return Manifest(digest, kind, data)

    def has_manifest(self, version: str) -> str:
        found = self.find_manifest(version)
        return found.digest if found else ""

    def open_blob(self, digest: str) -> BinaryIO:
        try:
            return self._blob(digest).open("rb")
        except FileNotFoundError:
            raise NotFoundError(f"the image layout {self.folder} lacks {digest}", hint="copy the image anew") from None

    def has_blob(self, digest: str) -> bool:
        return self._blob(digest).exists()

    def put_blob(self, digest: str, size_bytes: int, source: Callable[[], BinaryIO], *, mount_from: str = "") -> bool:
        """Have the blob there; False if it was."""
        path = self._blob(digest)
        if path.exists():
            return False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            with source() as reader, partial.open("wb") as file:
                shutil.copyfileobj(reader, file, 1 << 20)
            partial.replace(path)
        except OSError as error:
            raise StoreUnavailable(
                f"cannot write to {self.folder}: {error.strerror}", hint="is there room, and may you write there?"
            ) from error
        return True

    def put_manifest(self, manifest: Manifest, version: str) -> None:
        """Add it to the folder's index, in place of what had its tag."""
        import io

        listed = [
            e
            for e in self._index()
            if e.get("annotations", {}).get(_REF_NAME) != version and (version != manifest.digest or e["digest"] != version)
        ]
        self.put_blob(manifest.digest, len(manifest.data), lambda: io.BytesIO(manifest.data))
        if version != manifest.digest:
            listed.append({**manifest.descriptor(), "annotations": {_REF_NAME: version}})
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
            partial = self.folder / ".index.json"
            partial.write_text(json.dumps(index, sort_keys=True), encoding="utf-8")
            partial.replace(self.folder / "index.json")
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}', encoding="utf-8")
