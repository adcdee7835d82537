"""A target whose artifacts lie in a bucket: a real S3 server, the server and the steps in pods of the emulated cluster."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.spec.artifact import blob_key
from fairway.store.bucket import BucketArtifactStore
from tests.kube.emulator import Emulator
from tests.kube.uprig import Campus
from tests.store.seaweed import ACCESS_KEY, SECRET_KEY, serve_s3

FLOW = """
import fairway as fw

@fw.step
def make(n: int) -> bytes:
    return bytes(range(256)) * n

@fw.step(pool=fw.pool(size=1, idle="5m"))
def head(data: bytes) -> bytes:
    return data[:100_000]

@fw.pipeline
def flow(n: int = 4000):
    data = make(n)
    return {"data": data, "head": head(data)}
"""


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    """A namespace with a server whose store is the bucket `tests`; the provider's variables are in the secret `s3`."""
    with pytest.MonkeyPatch.context() as patch, serve_s3(tmp_path_factory.mktemp("weed")) as url:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in ("FAIRWAY_USER", "FAIRWAY_TOKEN", "FAIRWAY_TARGET", "FAIRWAY_CONFIG"):
            patch.delenv(name, raising=False)
        with Emulator(tmp_path_factory.mktemp("cluster"), pace=0.1) as cluster:
            made = Campus(tmp_path_factory.mktemp("campus"), cluster, "team", 'store = "s3://tests/runs"\nstore-secret = "s3"\n')
            variables = {
                "AWS_ENDPOINT_URL": url,
                "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            }
            data = {name: base64.b64encode(value.encode()).decode() for name, value in variables.items()}
            cluster.create({"kind": "Secret", "metadata": {"name": "s3", "namespace": "team"}, "data": data})
            (made.folder / "flow.py").write_text(FLOW)
            said = made.ask("up")
            assert said.status == 0, said.text
            made.url = url  # type: ignore[attr-defined]
            yield made


def test_artifacts_go_from_pod_to_pod_through_the_bucket_and_back_to_the_person(campus: Campus, tmp_path: Path) -> None:
    there = campus.ask("run", str(campus.folder / "flow.py"), "--on", "campus", "-o", "json")
    assert there.status == 0, there.text
    here = campus.ask("run", str(campus.folder / "flow.py"), "--on", "local", "-o", "json")
    outputs, same = json.loads(there.out)["outputs"], json.loads(here.out)["outputs"]
    assert {name: ref["digest"] for name, ref in outputs.items()} == {name: ref["digest"] for name, ref in same.items()}
    options = {"endpoint": campus.url, "region": "us-east-1", "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}  # type: ignore[attr-defined]
    bucket = BucketArtifactStore("s3://tests/runs", tmp_path, options=options)
    found = bucket.stat(blob_key(outputs["data"]["digest"]))
    assert found is not None
    assert found.size_bytes == 1_024_000
    got = campus.ask("artifacts", "get", "last", "head", "--on", "campus", "--to", str(tmp_path / "head"))
    assert got.status == 0, got.text
    assert (tmp_path / "head").read_bytes() == (bytes(range(256)) * 4000)[:100_000]


def test_no_pod_of_a_step_holds_a_credential(campus: Campus) -> None:
    assert campus.ask("run", str(campus.folder / "flow.py"), "--n", "3000", "--on", "campus").status == 0
    pods = [one for one in campus.cluster.list("Pod", "team") if one["metadata"]["labels"].get("fairway.dev/role") == "pool"]
    assert pods
    created = [json.dumps(one) for one in pods] + [json.dumps(one) for one in campus.cluster.list("ConfigMap", "team")]
    assert not [text for text in created if SECRET_KEY in text or "AWS_" in text or '"s3"' in text]
    kept = [line for line in campus.cluster.list("Pod", "team") if "envFrom" in json.dumps(line)]
    assert [pod["metadata"]["labels"].get("fairway.dev/role") for pod in kept] == [None], "the server's alone"
