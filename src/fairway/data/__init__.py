"""Data: sources, statistics, schema, anomalies, drift, reports."""
