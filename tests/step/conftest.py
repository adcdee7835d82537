"""The bench of `tests/executors/rig.py` as a fixture."""

from tests.executors.rig import bench as bench
