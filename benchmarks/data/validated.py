"""Run as a program, `python validated.py WHAT FILE SCHEMA`: infer a schema; take all statistics; validate by the schema; or
`both REFERENCE FILE`: infer from the one and validate the other.

Prints JSON: wall and CPU seconds, seconds of inferring alone, peak resident megabytes, anomalies.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

BEGUN = time.perf_counter()


def main(what: str, file: str, other: str) -> dict[str, float]:
    """How many anomalies there are, and how long inferring took once there were statistics."""
    import fairway as fw
    from fairway.data.schema.infer import infer

    if what == "validate":
        return {"anomalies": len(fw.validate(file, other).anomalies)}
    statistics = fw.measure(file)
    if what == "measure":
        return {"rows": statistics.rows}
    begun = time.perf_counter()
    schema = infer(statistics)
    took = time.perf_counter() - begun
    if what == "infer":
        Path(other).write_text(json.dumps(schema), encoding="utf-8")
        return {"infer_s": took}
    return {"infer_s": took, "anomalies": len(fw.validate(other, schema, fail=False).anomalies)}


if __name__ == "__main__":
    from benchmarks.data.measured import peak_mb

    found = main(*sys.argv[1:4])
    used = resource.getrusage(resource.RUSAGE_SELF)
    wall = time.perf_counter() - BEGUN
    print(json.dumps({"wall_s": wall, "cpu_s": used.ru_utime + used.ru_stime, "mb": peak_mb(), **found}))
