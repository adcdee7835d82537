"""For steps that train with LightGBM in a gang: `lightgbm.train({"objective": "binary", **network()}, data)`."""

from __future__ import annotations

import json
import os
from typing import Any


def network() -> dict[str, Any]:
    """The parameters that join this rank with the others: machines, port, tree_learner. {} outside a gang: it trains alone."""
    return json.loads(os.environ.get("FAIRWAY_LIGHTGBM", "{}"))
