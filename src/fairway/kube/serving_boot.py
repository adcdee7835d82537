"""How a bare Python image becomes an inference server or a gateway: the text that a pod's `python3 -c` runs.

It is how workers boot (`fairway.step.boot`), with another runtime: the one that carries the rooms of `fairway.serve`.
"""

from __future__ import annotations

from fairway.step.boot import BOOT

SERVING_RUNTIME, SERVING_LIBRARIES = "/worker/v1/serving.zip", "/worker/v1/serving-libraries.zip"
SPOOL = "/worker/v1/spool"
SERVING_BOOT = BOOT.replace("/worker/v1/runtime.zip", SERVING_RUNTIME).replace("fairway.step.__main__", "fairway.serve.inpod")
