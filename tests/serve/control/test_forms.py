"""Names of columns and secrets, from what is deployed to what gateways have."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from fairway.engine.project import load_project
from fairway.engine.workspace import Workspace
from fairway.kube.serving_gateway import gateway_token, render_table
from fairway.kube.target import ClusterSettings
from fairway.serve.control.forms import Columns
from fairway.serve.control.keeper import Keeper
from fairway.serve.control.sources import pack_source
from fairway.serve.feedback.privacy import secret_of
from fairway.serve.gateway.gateway import Gateway
from fairway.serve.gateway.table import parse_table
from fairway.spec.endpoint import Capture, Endpoint, Revision, ServeSpec
from fairway.spec.record import replace
from fairway.spec.tokens import GATEWAYS, derive_key
from fairway.testing.memory import MemoryEndpointStore
from tests.serve.control.rig import MemoryFleet, MemoryGateways, Rig

KEY = derive_key("signing", GATEWAYS)


def pack(root: Path, *names: str) -> tuple[Workspace, ServeSpec]:
    root.mkdir()
    (root / "fairway.toml").write_text("")
    (root / "score.py").write_text("def run(data):\n    return data\n")
    row = {"type": "object", "properties": {name: {"type": "number"} for name in names}, "required": list(names)}
    (root / "schema.json").write_text(json.dumps({"properties": {"inputs": {"type": "array", "items": row}}}))
    workspace = Workspace(load_project(str(root), variables={}))
    return workspace, pack_source(str(root / "score.py"), workspace, schema=str(root / "schema.json"))


def test_the_table_gets_names_and_secret_once_fields_are_hashed(tmp_path: Path) -> None:
    workspace, spec = pack(tmp_path / "project", "zip", "age")
    plain = Endpoint("risk", revisions=(Revision(1, spec),), traffic=((1, 100.0),))

    async def story() -> None:
        rig = Rig()
        columns = Columns(workspace.artifacts, str(tmp_path), lambda: rig.keeper.look_again())  # noqa: PLW0108 - the keeper is another one by then
        rig.keeper = Keeper(rig.store, rig.fleet, rig.gateways, key=KEY, columns=columns, clock=lambda: rig.now)
        async with rig:
            await rig.put(plain)
            await rig.tick()
            assert rig.gateways.row("risk").keys().isdisjoint({"secret", "columns"})
            await rig.put(replace(plain, capture=Capture(1.0, hash=("zip",))))
            await rig.until(lambda: bool(rig.gateways.row("risk").get("columns")))
            row = rig.gateways.row("risk")
            assert row["columns"] == {"1": ["zip", "age"]} and row["secret"] == secret_of(KEY, "risk") != secret_of(KEY, "churn")

    asyncio.run(story())
    workspace.close()


def test_a_cluster_keeps_the_secret_out_of_the_open_and_its_gateways_come_to_the_same_one(tmp_path: Path) -> None:
    async def story() -> None:
        store, gateways = MemoryEndpointStore(), MemoryGateways()
        keeper = Keeper(store, MemoryFleet(), gateways, key=KEY)
        await store.put_endpoint(Endpoint("risk", revisions=(Revision(1, ServeSpec("m", {})),), capture=Capture(1.0, hash=("user",))))
        await keeper.start()
        await keeper.close()
        table = gateways.tables[-1]
        secret = table["endpoints"]["risk"]["secret"]
        shown = render_table(table, ClusterSettings())
        assert len(bytes.fromhex(secret)) == 32 and secret not in json.dumps(shown) and "user" in json.dumps(shown)
        gateway = Gateway(is_local=False, key=gateway_token("signing"))  # its pod has this token, and the table as it is shown
        gateway.apply_table(parse_table(shown["data"]["table.json"].encode()))
        assert gateway.services["risk"].row.secret == secret and secret not in json.dumps(gateway.plain())

    asyncio.run(story())
