"""Schemas: one `schema.json` that says what rows are, in training and in serving; read, found out, compared."""
