"""TensorFlow trains in gangs: mirrored on workers, and with a parameter server."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.frameworks.gang_bench import train

if find_spec("tensorflow") is None:
    import_module("tensorflow")  # fails, as it has to; importing what is there costs seconds

MIRRORED = """
    import fairway as fw

    @fw.step(gang=fw.gang(replicas=2, framework="tensorflow"))
    def fit() -> dict:
        import numpy as np, tensorflow as tf

        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        whole = np.random.default_rng(7).random((32, 5), dtype=np.float32)
        rank = strategy.cluster_resolver.task_id
        mine = tf.constant(whole[rank * 16 : rank * 16 + 16])
        with strategy.scope():
            weights = tf.Variable(tf.zeros(4))

        def gradient(at, rows):
            with tf.GradientTape() as tape:
                tape.watch(at)
                loss = tf.reduce_mean((tf.linalg.matvec(rows[:, :4], at) - rows[:, 4]) ** 2)
            return tape.gradient(loss, at)

        @tf.function
        def step():
            def of_replica():
                context = tf.distribute.get_replica_context()
                mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradient(weights.read_value(), mine))
                weights.assign_sub(0.1 * mean)
                return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(rank + 1.0))
            return strategy.run(of_replica)

        for _ in range(5):
            total = step()
        alone = tf.zeros(4)
        for _ in range(5):
            alone -= 0.1 * gradient(alone, tf.constant(whole))
        import listening
        return {"wide": listening.wide(ranks=2),
                "sum": float(total), "world": strategy.num_replicas_in_sync, "off": float(tf.reduce_max(tf.abs(weights - alone)))}

    @fw.pipeline
    def gang():
        return fit()
"""


def test_workers_train_as_one_process_would_on_the_whole_batch(tmp_path: Path) -> None:
    found = train(tmp_path, MIRRORED)
    assert (found["world"], found["sum"]) == (2, 3.0)
    assert found["off"] < 1e-6
    assert len(found["wide"]) == 2, "every rank, as the guide says"


SERVED = """
    import fairway as fw
    from pathlib import Path

    FOLDER = "{folder}"  # has two FIFOs, "saved" and "judged"

    @fw.step(gang=fw.gang(framework="tensorflow", roles={"chief": 1, "worker": 1, "ps": 1, "evaluator": 1}), cpu=0.5)
    def fit() -> dict:
        import tensorflow as tf

        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        while resolver.task_type == "evaluator":  # for ever: whatever the chief has saved
            saved = tf.train.load_checkpoint(Path(FOLDER, "saved").read_text())
            found = float(saved.get_tensor("weight/.ATTRIBUTES/VARIABLE_VALUE"))
            Path(FOLDER, "judged").write_text(f"{(found - 2) ** 2} {sorted(resolver.cluster_spec().jobs)}")
        if resolver.task_type != "chief":
            tf.distribute.Server(resolver.cluster_spec(), job_name=resolver.task_type, task_index=resolver.task_id).join()
        strategy = tf.distribute.ParameterServerStrategy(resolver)
        coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
        with strategy.scope():
            weight = tf.Variable(0.0)

        @tf.function
        def step():
            weight.assign_add(0.1 * (2.0 - weight))
            return tf.constant(1.0)

        steps = [coordinator.schedule(step) for _ in range(50)]
        coordinator.join()
        Path(FOLDER, "saved").write_text(tf.train.Checkpoint(weight=weight).write(f"{FOLDER}/trained"))
        judged = Path(FOLDER, "judged").read_text()
        return {"judged": judged, "weight": float(weight), "where": weight.device,
                "steps": sum(float(one.fetch()) for one in steps)}

    @fw.pipeline
    def gang():
        return fit()
"""


@pytest.mark.usefixtures("quiet")
def test_a_chief_trains_on_a_worker_what_a_server_keeps_and_an_evaluator_judges_and_all_end_with_it(tmp_path: Path) -> None:
    for name in ("saved", "judged"):
        os.mkfifo(tmp_path / name)
    found = train(tmp_path, SERVED.replace("{folder}", str(tmp_path)))
    assert "/job:ps" in found["where"]
    assert found["steps"] == 50
    assert abs(found["weight"] - 2 * (1 - 0.9**50)) < 1e-4
    judged, _, cluster = found["judged"].partition(" ")
    assert abs(float(judged) - (found["weight"] - 2) ** 2) < 1e-9
    assert cluster == "['chief', 'ps', 'worker']", "an evaluator is no member of it"


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
