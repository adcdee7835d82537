"""Kubernetes: the client, watches, port-forwards, and manifests as pure data."""
