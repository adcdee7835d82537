"""What an artifact looks like: by its type, read by a short-lived process of its own, never in the server."""
