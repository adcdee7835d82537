"""Writing pipelines: decorators, tracing, control flow, parameters, lint. Standard library only."""
