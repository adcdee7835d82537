"""The volumes of a pod as local folders, and the containers' paths into them."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.kube.emulator.kinds import CLAIM, CONFIG_MAP, SECRET
from tests.kube.emulator.memory import Memory, Object
from tests.kube.emulator.variables import field_of, resource_of

if TYPE_CHECKING:
    from tests.kube.emulator.authority import Authority


class NotReady(Exception):
    """A volume or a variable cannot be had yet."""


class Volumes:
    """Makes a pod's volumes below `folder`; claims live beside, by namespace and name."""

    def __init__(self, memory: Memory, authority: Authority, claims: Path) -> None:
        self._memory, self._authority, self._claims = memory, authority, claims

    def claim_folder(self, namespace: str, name: str) -> Path:
        return self._claims / f"{namespace}-{name}"

    def forget(self, folder: Path) -> None:
        """Remove what a pod had for itself."""
        shutil.rmtree(folder, ignore_errors=True)

    def refresh(self, pod: Object, made: dict[str, Path]) -> None:
        """A pod has been written on: what volumes show of it follows."""
        for volume in pod["spec"].get("volumes") or ():
            if "downwardAPI" in volume and volume["name"] in made:
                self._fill(pod, volume, made[volume["name"]], "")

    def make(self, pod: Object, folder: Path) -> dict[str, Path]:
        """By the volume's name; NotReady with the kubelet's words for what is not there."""
        made: dict[str, Path] = {}
        for volume in pod["spec"].get("volumes") or ():
            path = folder / "volumes" / volume["name"]
            if claim := volume.get("persistentVolumeClaim"):
                found = self._memory.find(CLAIM, pod["metadata"]["namespace"], claim["claimName"])
                if found is None:
                    raise NotReady(f'persistentvolumeclaim "{claim["claimName"]}" not found')
                path = self.claim_folder(pod["metadata"]["namespace"], claim["claimName"])
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.mkdir(parents=True, exist_ok=True)
                self._fill(pod, volume, path, f'MountVolume.SetUp failed for volume "{volume["name"]}" : ')
            made[volume["name"]] = path
        return made

    def _fill(self, pod: Object, volume: dict[str, Any], path: Path, words: str) -> None:
        sources = [volume] if "projected" not in volume else volume["projected"].get("sources") or []
        mode = int((volume.get("secret") or volume.get("configMap") or volume.get("projected") or {}).get("defaultMode", 0o644))
        for source in sources:
            for name, data in self._files(pod, source, words).items():
                target = path / name
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(f".{target.name}.part")
                part.write_bytes(data)
                part.chmod(mode)
                part.replace(target)

    def _files(self, pod: Object, source: dict[str, Any], words: str) -> dict[str, bytes]:
        namespace = pod["metadata"]["namespace"]
        if token := source.get("serviceAccountToken"):
            return {token["path"]: self._authority.issue(namespace, pod["spec"].get("serviceAccountName", "default")).encode()}
        if downward := source.get("downwardAPI"):
            return {item["path"]: _downward(pod, item).encode() for item in downward.get("items") or ()}
        for field, kind in (("secret", SECRET), ("configMap", CONFIG_MAP)):
            if wanted := source.get(field):
                name = wanted.get("secretName") or wanted.get("name")
                found = self._memory.find(kind, namespace, name)
                if found is None and not wanted.get("optional"):
                    raise NotReady(f'{words}{kind.kind.lower()} "{name}" not found')
                data = decoded(found or {})
                items = wanted.get("items")
                if items is None:
                    return data
                missing = [item["key"] for item in items if item["key"] not in data]
                if missing and not wanted.get("optional"):
                    raise NotReady(f"{words}references non-existent {'secret' if field == 'secret' else 'config'} key: {missing[0]}")
                return {item["path"]: data[item["key"]] for item in items if item["key"] in data}
        return {}


def decoded(found: Object) -> dict[str, bytes]:
    """The keys of a Secret or ConfigMap."""
    if found.get("kind") == "Secret":
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    plain = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    return plain | {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}


def _downward(pod: Object, item: dict[str, Any]) -> str:
    if "resourceFieldRef" in item:
        return resource_of(pod, item["resourceFieldRef"], "")
    return field_of(pod, item["fieldRef"]["fieldPath"])


class Paths:
    """A container's own paths: each mount path is a local folder, wherever it begins a path in a text."""

    def __init__(self, container: dict[str, Any], volumes: dict[str, Path]) -> None:
        self._places: dict[str, Path] = {}
        for mount in container.get("volumeMounts") or ():
            if mount["name"] not in volumes:
                continue
            local = volumes[mount["name"]]
            sub = mount.get("subPath", "")
            if sub:
                local = local / sub
                if not local.exists():
                    local.mkdir(parents=True)
            self._places[mount["mountPath"].rstrip("/")] = local
        longest = sorted(self._places, key=len, reverse=True)
        self._pattern = re.compile(r"(?<![\w/.-])(" + "|".join(map(re.escape, longest)) + r")(?![\w.-])") if longest else None

    def local(self, text: str) -> str:
        return self._pattern.sub(lambda found: str(self._places[found[1]]), text) if self._pattern else text

    def find(self, path: str) -> Path | None:
        """The local folder mounted at exactly that path."""
        return self._places.get(path)
