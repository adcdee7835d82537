"""What a serving pod becomes, by its variables."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import pytest

from fairway.envs.runtime import SERVING_PARTS, build_runtime_zip, list_runtime
from fairway.kube.serving_boot import SERVING_BOOT, SERVING_LIBRARIES, SERVING_RUNTIME, SPOOL
from fairway.serve import inpod
from fairway.serve.gateway.options import parse_options as parse_gateway
from fairway.serve.replica.options import parse_options as parse_replica
from fairway.spec.artifact import blob_key
from fairway.spec.endpoint import Limits
from fairway.spec.record import to_plain
from fairway.step.folder import FolderArtifactStore
from fairway.step.paths import store_folder


class Became(Exception):
    """The command line and the variables of what the pod has become."""

    def __init__(self, command: list[str], variables: dict[str, str]) -> None:
        super().__init__()
        self.command, self.variables = command, variables


def become(command: list[str], variables: dict[str, str]) -> NoReturn:
    raise Became(command, variables)


def environ(home: Path, told: dict[str, Any], **more: str) -> dict[str, str]:
    given = {
        "FAIRWAY_URL": "http://127.0.0.1:9",
        "FAIRWAY_TOKEN": "w1.gateway.9.aa",
        "FAIRWAY_HOME": str(home),
        "FAIRWAY_PATIENCE_S": "0.1",
    }
    return {**given, "FAIRWAY_SERVE": json.dumps(told), "FAIRWAY_HOST": "0.0.0.0", "PATH": "/usr/bin", **more}


def run(words: list[str], home: Path, told: dict[str, Any], **more: str) -> Became:
    with pytest.raises(Became) as caught:
        inpod._main(words, environ(home, told, **more), become)
    return caught.value


@pytest.fixture
def package(tmp_path: Path) -> dict[str, Any]:
    """A package on the pod's disk, as after a container was started anew: then nobody has to be asked for it."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "score.py").write_text("def run(data): return data\n")
    store = FolderArtifactStore(tmp_path / "home" / "blobs")
    ref = store_folder(source, store, str(tmp_path / "scratch"), form="dir", kind="fairway.Directory", name="", meta={})
    assert store.stat(blob_key(ref.digest)) is not None
    return to_plain(ref)


def told(package: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "risk", "version": "3", "package": package, "limits": to_plain(Limits(queue=7)), "grpc_port": 8081, **more}


def test_a_replica_is_told_what_its_revision_says(tmp_path: Path, package: dict[str, Any]) -> None:
    became = run(["replica"], tmp_path / "home", told(package, workers=2, options={"method": "predict_proba"}, variables={"PRICE": "$5"}))
    assert became.command[:3] == [sys.executable, "-m", "fairway.serve.replica"]
    options = parse_replica(became.command[3:])
    assert (options.name, options.version, options.host, options.port, options.grpc_port) == ("risk", "3", "0.0.0.0", 8080, 8081)
    assert (options.workers, options.limits.queue, options.options) == (2, 7, {"method": "predict_proba"})
    assert Path(options.folder, "score.py").read_text().startswith("def run")
    assert became.variables["PRICE"] == "$5"


def test_a_models_code_sees_no_token_and_no_address_of_the_server(tmp_path: Path, package: dict[str, Any]) -> None:
    became = run(["replica"], tmp_path / "home", told(package))
    assert not {"FAIRWAY_TOKEN", "FAIRWAY_URL", "FAIRWAY_BLOBS_URL", "FAIRWAY_SERVE"} & set(became.variables)


def test_the_runtime_goes_before_the_images_own_packages_and_libraries_behind(tmp_path: Path, package: dict[str, Any]) -> None:
    root = str(Path(inpod.__file__).parents[2])
    became = run(["replica"], tmp_path / "home", told(package), PYTHONPATH=f"{root}:/opt/packages")
    assert became.variables["PYTHONPATH"] == f"{root}:/opt/packages"
    assert inpod.LIBRARIES not in became.variables, "this interpreter has them all"


def test_an_image_built_with_the_lock_is_used_as_it_is(tmp_path: Path, package: dict[str, Any]) -> None:
    became = run(["replica"], tmp_path / "home", told(package, lock="ab" * 32), FAIRWAY_LOCK="ab" * 32)
    assert became.command[0] == sys.executable


def test_a_pod_with_ipv6_listens_there(tmp_path: Path, package: dict[str, Any]) -> None:
    assert parse_replica(run(["replica"], tmp_path / "home", told(package), POD_IP="fd00::7").command[3:]).host == "::"


def test_the_gateway_is_told_its_table_its_token_and_where_records_go(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    became = run(["gateway"], tmp_path, {"table": "/etc/table.json", "token_file": str(token), "admin_port": 8082})
    options = parse_gateway(became.command[3:])
    assert (options.listen, options.admin, options.admin_token) == (("0.0.0.0", 8080), "0.0.0.0:8082", "secret")
    assert options.spool == "http://127.0.0.1:9/worker/v1/spool" and options.spool.endswith(SPOOL)
    assert became.variables[inpod.SPOOL_TOKEN] == "w1.gateway.9.aa"


def test_the_runtime_of_serving_pods_has_the_rooms_that_travel_and_no_other() -> None:
    package = Path(inpod.__file__).parents[1]
    rooms = {file.relative_to(package).parts[:2] for file in list_runtime(package, SERVING_PARTS)}
    assert {("serve", "replica"), ("serve", "gateway"), ("serve", "inpod.py"), ("step", "link.py"), ("data", "schema")} <= rooms
    assert ("serve", "control") not in rooms and not {"engine", "web", "cli", "kube"} & {room[0] for room in rooms}
    assert build_runtime_zip()[1] != build_runtime_zip(SERVING_PARTS)[1]


def test_the_compiled_runtime_is_the_same_every_time_and_needs_no_compiling(tmp_path: Path) -> None:
    """Another digest would start all pods anew at each restart of the server."""
    made, digest = build_runtime_zip(SERVING_PARTS, is_compiled=True)
    text = "from fairway.envs.runtime import *; print(build_runtime_zip(SERVING_PARTS, is_compiled=True)[1])"
    other = subprocess.run(
        [sys.executable, "-c", text], env={**os.environ, "PYTHONHASHSEED": "77"}, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == digest
    zipfile.ZipFile(io.BytesIO(made)).extractall(tmp_path)
    loud = [sys.executable, "-v", "-c", "import fairway.serve.inpod"]
    said = subprocess.run(loud, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True).stderr
    ours = [line for line in said.splitlines() if str(tmp_path) in line and "code object from" in line]
    assert ours and all(".pyc" in line for line in ours)


def test_a_pod_boots_into_this_program_by_the_servers_routes() -> None:
    assert SERVING_RUNTIME in SERVING_BOOT and "from fairway.serve.inpod import main" in SERVING_BOOT
    assert SERVING_LIBRARIES.endswith(f"/{inpod.LIBRARIES_PATH}")
    compile(SERVING_BOOT, "boot", "exec")
