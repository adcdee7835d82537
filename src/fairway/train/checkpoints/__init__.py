"""`fw.checkpoint`: states of a training kept while it goes on, and found again by the next try.

Public here: `checkpoint`, the one object of a process. The step's runner calls its `leave` when the step has ended.
"""

from __future__ import annotations

from fairway.train.checkpoints.public import Checkpoints, Kept, checkpoint

__all__ = ("Checkpoints", "Kept", "checkpoint")
