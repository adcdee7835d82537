"""Benchmarks of data: the table that they read, and the programs that are timed."""
