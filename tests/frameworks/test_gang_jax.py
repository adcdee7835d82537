"""JAX trains in gangs: `jax.distributed.initialize()` without an argument, in a step of Python and in a script."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

from tests.frameworks.gang_bench import train

import_module("jax")

STEP = """
    import fairway as fw

    @fw.step(gang=fw.gang(replicas=2, framework="jax"))
    def fit() -> dict:
        import jax, jax.numpy as jnp, numpy as np
        from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

        jax.distributed.initialize()
        mesh = Mesh(np.array(jax.devices()), ("data",))
        rank, world = jax.process_index(), jax.process_count()
        whole = np.random.default_rng(7).random((32, 5), dtype=np.float32)
        rows = jax.make_array_from_process_local_data(NamedSharding(mesh, P("data")), whole[rank * 16 : rank * 16 + 16])
        weights = jnp.zeros(4)

        def loss(weights, rows):
            return ((rows[:, :4] @ weights - rows[:, 4]) ** 2).mean()

        def step(weights, rows):
            return weights - 0.1 * jax.lax.pmean(jax.grad(loss)(weights, rows), "data")

        shared = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=(P(), P("data")), out_specs=P(), check_vma=False))
        for _ in range(5):
            weights = shared(weights, rows)
        mine, alone = np.asarray(weights.addressable_data(0)), jnp.zeros(4)
        for _ in range(5):
            alone = alone - 0.1 * jax.grad(loss)(alone, whole)
        total = jax.jit(jax.shard_map(lambda one: jax.lax.psum(one, "data"), mesh=mesh, in_specs=P("data"), out_specs=P()))
        ones = jax.make_array_from_process_local_data(NamedSharding(mesh, P("data")), np.array([rank + 1.0], dtype=np.float32))
        import listening
        return {"wide": listening.wide(ranks=2),
                "sum": float(total(ones).addressable_data(0)[0]), "world": world, "devices": len(jax.devices()),
                "off": float(np.abs(mine - np.asarray(alone)).max())}

    @fw.pipeline
    def gang():
        return fit()
"""


def test_ranks_train_as_one_process_would_on_the_whole_batch(tmp_path: Path) -> None:
    found = train(tmp_path, STEP)
    assert (found["world"], found["devices"], found["sum"]) == (2, 2, 3.0)
    assert found["off"] < 1e-6
    assert found["wide"] == []


SCRIPT = """
    import json, os, sys
    import jax
    from jax.experimental import multihost_utils

    jax.distributed.initialize()
    everyone = multihost_utils.process_allgather(jax.numpy.array([jax.process_index() + 1.0]))
    with open(sys.argv[1], "w") as file:
        json.dump({"all": everyone.ravel().tolist(), "local": jax.local_device_count()}, file)
"""
COMMAND = """
    import fairway as fw

    fit = fw.command(["python", "script.py", fw.Out("seen")], name="fit", gang=fw.gang(processes=2, replicas=1, framework="jax"))

    @fw.pipeline
    def gang():
        return fit().seen
"""


def test_a_script_needs_no_argument_either(tmp_path: Path) -> None:
    found = json.loads(Path(train(tmp_path, COMMAND, script_py=SCRIPT)).read_text())
    assert found == {"all": [1.0, 2.0], "local": 1}
