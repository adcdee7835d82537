"""Run as a program, `python validated.py infer|measure|validate FILE SCHEMA`: infer a schema; all statistics; the same held to the schema.

Prints JSON: wall and CPU seconds, peak resident megabytes, anomalies.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

BEGUN = time.perf_counter()


def main(what: str, file: str, schema: str) -> int:
    """How many anomalies there are."""
    import fairway as fw

    if what == "validate":
        return len(fw.validate(file, schema).anomalies)
    statistics = fw.measure(file)
    if what == "infer":
        from fairway.data.schema.infer import infer

        Path(schema).write_text(json.dumps(infer(statistics)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    from benchmarks.data.measured import peak_mb

    anomalies = main(*sys.argv[1:4])
    used = resource.getrusage(resource.RUSAGE_SELF)
    wall = time.perf_counter() - BEGUN
    print(json.dumps({"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "mb": peak_mb(), "anomalies": anomalies}))
