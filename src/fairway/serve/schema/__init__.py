"""A model's schema: read, inferred, compiled to checks, written as OpenAPI."""
