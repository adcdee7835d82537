"""Measures every bar that Fairway holds itself to, peers beside it in the same run: `python -m benchmarks` (or `make bench`)."""
