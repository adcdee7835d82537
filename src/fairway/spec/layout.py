"""Where things lie under a Fairway home (`.fairway/` at the project's root, or `FAIRWAY_HOME`)."""

import hashlib

DATABASE = "fairway.db"
BLOBS = "blobs"  # keys of the artifact store, as paths
STREAMS = "streams"  # RUN/ATTEMPT/{log,metrics,samples,progress}
CHECKPOINTS = "checkpoints"  # RUN/TASK-HASH/, survives retries
BUNDLES = "bundles"  # DIGEST/, unpacked, read-only by habit
ENVIRONMENTS = "envs"  # LOCK/, virtual environments
SCRATCH = "scratch"  # NAME/, the working folder of one attempt at a time
LOCKS = "locks"  # marks of drivers; ATTEMPT.items, the results of a batch that runs
ATTEMPT_LOCKS = "attempts"  # in LOCKS: one byte of it is locked for each attempt that runs
SERVER = "server"  # what the local server needs to be found by its owner, and by nobody else
CACHE = "cache"  # what can be made again: overviews/RUN


def task_folder(task: str) -> str:
    """In CHECKPOINTS/RUN: what the task keeps for its next try."""
    return hashlib.sha256(task.encode()).hexdigest()[:20]
