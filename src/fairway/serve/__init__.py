"""Serving: model packages, schemas, the inference server, the gateway, and what keeps endpoints."""
