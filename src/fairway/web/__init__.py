"""The server: the HTTP API over the read models, the drivers it hosts, and what workers talk to."""
