"""test_cancel, in a cluster."""

from tests.semantics.test_cancel import *  # noqa: F403

# Ctrl-C at a cluster's run leaves it running; see tests/cli.
del test_ctrl_c_once_stops_cleanly_and_says_how_to_go_on  # noqa: F821
del test_ctrl_c_twice_stops_now_and_leaves_no_process  # noqa: F821
