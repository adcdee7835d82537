"""Any program can be a step: here the shell sorts and an R script fits a line.

    fairway run pipeline.py                       # needs `sort` and `Rscript` on this machine
    fairway run pipeline.py --count 50 --slope 3

A command gets its inputs as files and leaves its outputs as files. `fw.In("name")` and `fw.Out("name")` in its words
become the paths; everything else about it (cache, retries, resources, logs) is as for a Python step.
"""

import csv
import random

import fairway as fw


@fw.step
def measure(count: int, slope: float) -> fw.File:
    """Points around a straight line, in no order."""
    rng = random.Random(1)
    with open("points.csv", "w", newline="") as file:
        rows = csv.writer(file)
        for _ in range(count):
            x = rng.uniform(0, 10)
            rows.writerow([f"{x:.3f}", f"{slope * x + rng.gauss(0, 1):.3f}"])
    return fw.File("points.csv")


sort = fw.command(
    ["sh", "-c", 'sort -t, -n -k1 "$0" > "$1"', fw.In("points"), fw.Out("sorted")],
    name="sort",
)

fit = fw.command(
    ["Rscript", "fit.R", fw.In("points"), fw.Out("line"), fw.Out("summary")],
    name="fit",
    exit_codes={3: "skip"},  # the script's way to say: too few points for a line
)


@fw.step
def read(line: fw.File) -> dict[str, float]:
    """What R found, as numbers."""
    with open(line) as file:
        found = {name: float(value) for name, value in csv.reader(file)}
    fw.log(**found)
    return found


@fw.pipeline
def r_and_shell(count: int = 200, slope: float = 2.0):
    """Points from Python, sorted by the shell, fitted by R, read by Python."""
    points = sort(points=measure(count, slope)).sorted
    fitted = fit(points=points)
    return {"line": read(fitted.line), "summary": fitted.summary}
