"""What keeps endpoints: fleets of replicas, rollouts, autoscaling, keys."""
