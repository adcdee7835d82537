"""Keras 3 trains in gangs, whatever computes: the weights are those of one process on the whole batch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from fairway.errors import TaskFailed
from tests.frameworks.gang_bench import train

assert find_spec("keras"), "pip install keras"

STEP = """
    import fairway as fw

    @fw.step(gang=fw.gang(replicas=2, framework="keras", backend="{backend}"))
    def fit() -> dict:
        import numpy as np

        whole = np.random.default_rng(7).random((32, 5), dtype=np.float32)
        {around}

    def model(keras):
        made = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        made.compile(keras.optimizers.SGD(0.1), "mse")
        return made

    def alone(keras, whole):
        made = model(keras)
        made.fit(whole[:, :4], whole[:, 4:], batch_size=32, epochs=5, shuffle=False, verbose=0)
        return made.get_weights()

    def apart(some, others):
        return max(float(abs(one - other).max()) for one, other in zip(some, others))

    @fw.pipeline
    def gang():
        return fit()
"""
JAX = """
        import jax, keras

        keras.distribution.initialize()
        world, rank = jax.process_count(), jax.process_index()
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
        made = model(keras)
        made.fit(whole[rank * 16 : rank * 16 + 16, :4], whole[rank * 16 : rank * 16 + 16, 4:], batch_size=16, epochs=5,
                 shuffle=False, verbose=0)
        mine = [np.asarray(one.value.addressable_data(0)) for one in made.weights]
        keras.distribution.set_distribution(None)
        return {"world": world, "off": apart(mine, alone(keras, whole))}
"""
TORCH = """
        import keras, torch
        import torch.distributed as dist

        dist.init_process_group()
        world, rank = dist.get_world_size(), dist.get_rank()
        made = model(keras)
        shared = torch.nn.parallel.DistributedDataParallel(made)
        optimizer = torch.optim.SGD(shared.parameters(), lr=0.1)
        mine = torch.tensor(whole[rank * 16 : rank * 16 + 16])
        for _ in range(5):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(shared(mine[:, :4]), mine[:, 4:]).backward()
            optimizer.step()
        return {"world": world, "off": apart(made.get_weights(), alone(keras, whole))}
"""
TENSORFLOW = """
        import tensorflow as tf

        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        import keras

        rank = strategy.cluster_resolver.task_id
        rows = tf.constant(whole[rank * 16 : rank * 16 + 16])
        with strategy.scope():
            made = model(keras)

        @tf.function
        def step():
            def of_replica():
                context = tf.distribute.get_replica_context()
                with tf.GradientTape() as tape:
                    loss = tf.reduce_mean((made(rows[:, :4]) - rows[:, 4:]) ** 2)
                weights = [one.value for one in made.trainable_weights]
                for weight, gradient in zip(weights, context.all_reduce("MEAN", tape.gradient(loss, weights))):
                    weight.assign_sub(0.1 * gradient)
            strategy.run(of_replica)

        for _ in range(5):
            step()
        return {"world": strategy.num_replicas_in_sync, "off": apart(made.get_weights(), alone(keras, whole))}
"""


@pytest.mark.parametrize(("backend", "around"), [("jax", JAX), ("torch", TORCH), ("tensorflow", TENSORFLOW)])
def test_every_backend_finds_the_others(tmp_path: Path, backend: str, around: str) -> None:
    found = train(tmp_path, STEP.replace("{backend}", backend).replace("{around}", around.strip()))
    assert found["world"] == 2
    assert found["off"] < 1e-6


FIT = """
        import tensorflow as tf

        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        import keras

        with strategy.scope():
            made = model(keras)
        made.fit(whole[:, :4], whole[:, 4:], batch_size=16, verbose=0)
"""


def test_that_keras_cannot_fit_on_tensorflows_workers_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(TaskFailed, match=r"Keras 3 cannot fit\(\) a model under TensorFlow's MultiWorkerMirroredStrategy"):
        train(tmp_path, STEP.replace("{backend}", "tensorflow").replace("{around}", FIT.strip()))
