"""One pod, one attempt: as on a laptop, over a network."""

from __future__ import annotations

import json

from fairway.spec.outcome import Outcome
from tests.step.pods import Yard


def value(outcome: Outcome, item: int = 0) -> object:
    assert outcome.status == "ended", outcome.error
    assert outcome.items[item].status == "succeeded", outcome.items[item].error
    inline = outcome.items[item].outputs["result"].inline
    assert inline is not None
    return json.loads(inline)


def test_a_pod_runs_its_attempt_and_leaves_with_code_0(yard: Yard) -> None:
    yard.write("def double(x):\n    print('doubling', x)\n    return 2 * x\n")
    spec = yard.spec("double", 21)
    assert value(yard.run(spec)) == 42
    assert yard.server.log(spec) == "doubling 21"
