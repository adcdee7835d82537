"""test_metrics, in a cluster."""

from tests.semantics.test_metrics import *  # noqa: F403

# Points come from a pod some tenths of a second after they are logged; here they are expected at once.
del test_points_can_be_read_while_the_step_still_runs  # noqa: F821
