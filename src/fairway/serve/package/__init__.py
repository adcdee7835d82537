"""Model packages: what is served, found, described and loaded."""
