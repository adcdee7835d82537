"""Protocols: bytes of a request to a Call, a Result to bytes of an answer."""
