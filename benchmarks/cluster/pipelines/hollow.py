"""Items with a pod each, on nodes that are not there (see benchmarks/cluster/hollow.py)."""

import fairway as fw

NOWHERE = fw.place(nodes={"fairway.dev/hollow": "yes"}, tolerations=[{"operator": "Exists"}])


@fw.step(cpu=0.05, place=NOWHERE)
def item(x: int) -> int:
    return 1


@fw.pipeline
def items(xs: list[int]):
    item(fw.each(xs))
