"""Programs that run beside the ranks of a gang: trackers, workers, agents. Each is started by a row's `services`."""
