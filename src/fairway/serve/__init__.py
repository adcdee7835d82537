"""Serving: model packages, schemas, the inference server, the gateway, and what keeps endpoints."""

import os
import sys

_LIBRARIES = os.environ.get("FAIRWAY_LIBRARIES", "")
if _LIBRARIES and _LIBRARIES not in sys.path:  # in a pod: looked at last, so that the model's own versions go before
    sys.path.append(_LIBRARIES)
