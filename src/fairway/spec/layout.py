"""Where things lie under a Fairway home (`.fairway/` at the project's root, or `FAIRWAY_HOME`)."""

DATABASE = "fairway.db"
BLOBS = "blobs"  # keys of the artifact store, as paths
STREAMS = "streams"  # RUN/ATTEMPT/{log,metrics,samples,progress}
CHECKPOINTS = "checkpoints"  # RUN/TASK-HASH/, survives retries
BUNDLES = "bundles"  # DIGEST/, unpacked, read-only by habit
ENVIRONMENTS = "envs"  # LOCK/, virtual environments
SCRATCH = "scratch"  # ATTEMPT/, the attempt's working folder, removed when it ends
LOCKS = "locks"  # ATTEMPT, held while an attempt runs
