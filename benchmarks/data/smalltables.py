"""Run as a program, `python -m benchmarks.data.smalltables ROWS PAIRS [SEED]`: a schema of some rows of credit_default.csv, then as many
others of them held to it. Prints JSON: how many pairs there were, how many alarmed (`fairway data validate` would exit with 1), of what.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def check(rows: int, pairs: int, seed: int, *, others: int = 0, table: Any = None) -> dict[str, Any]:
    """Disjoint rows drawn at random: codes as whole numbers in every other pair, as words in the others. `others`: how many rows are held
    to the schema, if not as many as it was inferred from; `table`: a batch in place of the file's."""
    import numpy as np

    from fairway.data.anomalies import validate
    from fairway.data.batch import Batch, taken, values_of
    from fairway.data.schema.infer import infer
    from fairway.data.schema.parse import parse_schema
    from fairway.data.statistics import measure
    from fairway.data.table import read

    from .falsealarms import CREDIT

    [whole] = [table] if table is not None else read(CREDIT).batches(rows=1_000_000)
    generator = np.random.default_rng(seed)
    alarmed: list[str] = []
    for pair in range(pairs):
        order = generator.permutation(whole.rows)
        sides: list[Batch] = []
        for part in (order[:rows], order[rows : rows + (others or rows)]):
            columns = {name: taken(values, np.sort(part)) for name, values in whole.columns.items()}
            for name in ("SEX", "EDUCATION", "MARRIAGE") if pair % 2 else ():
                columns[name] = values_of([f"of kind {one}" for one in columns[name].data.tolist()])
            sides.append(Batch(0, len(part), columns))
        found = validate([sides[1]], parse_schema(infer(measure([sides[0]], threads=1)))).errors
        if found:
            alarmed.append(f"pair {pair}: {'; '.join(one.message for one in found)}")
    return {"rows": rows, "pairs": pairs, "alarmed": len(alarmed), "what": alarmed}


if __name__ == "__main__":
    rows, pairs, *more = sys.argv[1:]
    print(json.dumps(check(int(rows), int(pairs), int((more or ["1"])[0]))))
