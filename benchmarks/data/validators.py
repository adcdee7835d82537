"""Run by a peer's own Python: `python validators.py PEER cost REFERENCE FILE`, `python validators.py PEER flags REFERENCE FILE …`.

What a peer learns of a reference without being told anything, and what it then says of other tables, as its documentation shows it. `cost`
prints JSON: seconds and peak megabytes of learning and checking once. `flags` prints a line of JSON for each file: what is wrong with it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

BEGUN = time.perf_counter()
Check = Callable[[Any], set[str]]
MANY = 500
"""A column of texts with more values than this is no list of categories."""


def load(path: str) -> Any:
    """A frame of pandas from Parquet, or from arrays of numpy by name."""
    import numpy as np
    import pandas as pd

    if path.endswith(".parquet"):
        return pd.read_parquet(path)
    with np.load(path) as arrays:
        return pd.DataFrame({name: arrays[name].tolist() if arrays[name].dtype.kind == "U" else arrays[name] for name in arrays.files})


def tfdv(reference: Any) -> Check:
    """The schema inferred from statistics, and statistics validated by it."""
    import tensorflow_data_validation as tfdv

    schema = tfdv.infer_schema(tfdv.generate_statistics_from_dataframe(reference))

    def check(frame: Any) -> set[str]:
        found = tfdv.validate_statistics(tfdv.generate_statistics_from_dataframe(frame), schema)
        return {f"{column}: {each.short_description}" for column, each in found.anomaly_info.items()}

    return check


def pandera(reference: Any) -> Check:
    """`infer_schema`, and all errors of a validation."""
    import pandera.pandas as pandera

    schema = pandera.infer_schema(reference)

    def check(frame: Any) -> set[str]:
        try:
            schema.validate(frame, lazy=True)
        except pandera.errors.SchemaErrors as error:
            return {f"{getattr(each.schema, 'name', '')}: {each.reason_code} {str(each.check)[:80]}" for each in error.schema_errors}
        return set()

    return check


def gx(reference: Any) -> Check:
    """GX Core has no profiler any more: columns, types, no nulls, ranges and categories as they are in the reference, by a short script."""
    import great_expectations

    context = great_expectations.get_context(mode="ephemeral")
    whole = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
    suite = context.suites.add(great_expectations.ExpectationSuite(name="s"))
    for expectation in expectations_of(reference, great_expectations.expectations):
        suite.add_expectation(expectation)

    def check(frame: Any) -> set[str]:
        found = whole.get_batch({"dataframe": frame}).validate(suite)
        wrong = [each.expectation_config for each in found.results if not each.success]
        return {f"{each.type}: {each.kwargs.get('column', '')}" for each in wrong}

    return check


def expectations_of(reference: Any, all_of_them: Any) -> list[Any]:
    """What holds of the reference."""
    made = [all_of_them.ExpectTableColumnsToMatchSet(column_set=list(reference.columns))]
    for name, column in reference.items():
        made.append(all_of_them.ExpectColumnValuesToBeOfType(column=name, type_=str(column.dtype)))
        if column.notna().all():
            made.append(all_of_them.ExpectColumnValuesToNotBeNull(column=name))
        if column.dtype.kind in "if":
            least, most = float(column.min()), float(column.max())
            made.append(all_of_them.ExpectColumnValuesToBeBetween(column=name, min_value=least, max_value=most))
        elif column.dtype.kind != "M" and column.nunique() <= MANY:
            made.append(all_of_them.ExpectColumnValuesToBeInSet(column=name, value_set=list(column.dropna().unique())))
    return made


def evidently(reference: Any) -> Check:
    """The preset of drift, with the tests that belong to it."""
    return _evidently(reference, "DataDriftPreset")


def evidently_summary(reference: Any) -> Check:
    """Both presets, of drift and of a summary, with the tests that belong to them."""
    return _evidently(reference, "DataDriftPreset", "DataSummaryPreset")


def _evidently(reference: Any, *presets: str) -> Check:
    import evidently
    from evidently import presets as known

    definition = evidently.DataDefinition()
    before = evidently.Dataset.from_pandas(reference, data_definition=definition)

    def check(frame: Any) -> set[str]:
        now = evidently.Dataset.from_pandas(frame, data_definition=definition)
        found = evidently.Report([getattr(known, name)() for name in presets], include_tests=True).run(now, before).dict()
        return {str(test["name"])[:90] for test in found["tests"] if str(test["status"]).rpartition(".")[2] in ("FAIL", "ERROR")}

    return check


LEARNERS: dict[str, Callable[[Any], Check]] = {
    "tfdv": tfdv, "gx": gx, "pandera": pandera, "evidently": evidently, "evidently, both presets": evidently_summary,
}  # fmt: skip


def cost(who: str, reference: str, file: str) -> dict[str, Any]:
    """Seconds of the whole process so far, of them those that import, and the peak of its memory."""
    before, now = load(reference), load(file)
    loaded = time.perf_counter()
    check = LEARNERS[who](before)
    learned = time.perf_counter()
    found = check(now)
    ended = time.perf_counter()
    figures = {"wall_s": ended - BEGUN, "load_s": loaded - BEGUN, "learn_s": learned - loaded, "check_s": ended - learned}
    return figures | {"cpu_s": time.process_time(), "mb": peak_mb(), "rows": len(now), "found": len(found)}


def flags(who: str, reference: str, files: list[str]) -> None:
    """A line for each file as soon as it is checked."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        check = LEARNERS[who](load(reference))
    for file in files:
        found, error = set[str](), ""
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                found = check(load(file))
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"[:160]
        print(json.dumps({"file": file, "flags": sorted(found), "error": error}), flush=True)


def peak_mb() -> float:
    """Of this process alone."""
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024 / 1e6


def main(who: str, what: str, reference: str, *files: str) -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.ERROR)
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TQDM_DISABLE": "1", "DO_NOT_TRACK": "1"}
    os.environ.update(quiet | {"GX_ANALYTICS_ENABLED": "false"})
    if what == "cost":
        print(json.dumps(cost(who, reference, files[0])))
    else:
        flags(who, reference, list(files))


if __name__ == "__main__":
    main(*sys.argv[1:])
