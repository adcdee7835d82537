"""The gateway: holds the names of endpoints and spreads their traffic over revisions."""
