"""What a task's checkpoint folder holds: a folder for each checkpoint, complete once its manifests are there; which are kept.

    step-000000120-2.7/            step 120, saved as the 7th by the 2nd try
        tensors-00000.safetensors
        tree.json
        manifest.json              written last, by rename: the files, their sizes and digests

Where every rank saves its own part the files are `00003.tensors-…` and the manifests `manifest.00003-of-00008.json`: complete with all of
them. A folder is written once and never again, so that whoever reads it sees one checkpoint or none.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from math import isnan

from fairway.spec.record import Record, field, from_plain, record, to_plain

LAST = 3
ELSEWHERE = "elsewhere.json"
"""In a checkpoint's folder: its files that only the server has, parts of ranks that run on other machines. They come when asked for."""
WANTED, LOST = ".tmp/wanted-", ".tmp/lost-"
"""In a task's folder, before a checkpoint's name: its files elsewhere are asked for; they cannot be had, and why."""
_FOLDER = re.compile(r"step-(\d{9,})-(\d+)\.(\d+)")
_MANIFEST = re.compile(r"manifest(?:\.(\d{5,})-of-(\d{5,}))?\.json")
_HEAD, _BODY, _TAIL = '{"sha256":"', '","body":', "}\n"
_HEX = 64
_NAMED = 8


@record
class Policy(Record):
    """Which checkpoints stay: the `last` ones, and the `best_count` best by the metric `best` ("" = none), by `mode` "max" or "min"."""

    last: int = LAST
    best: str = ""
    mode: str = "max"
    best_count: int = 1


@record
class Held(Record):
    """One file of a checkpoint."""

    size_bytes: int
    sha256: str


@record
class Manifest(Record):
    """What one process has saved at one step. `n`: the try; `count`: its saves so far in this try. `saved_at`: epoch seconds."""

    step: int
    n: int
    count: int
    rank: int = 0
    world_size: int = 1
    sharded: bool = False
    saved_at: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    files: dict[str, Held] = field(default_factory=dict)


class Saved:
    """A checkpoint's folder as it is found: its name, and the manifests that can be read. `damaged`: names of those that cannot."""

    def __init__(self, name: str, manifests: Sequence[Manifest], damaged: Sequence[str] = ()) -> None:
        found = _FOLDER.fullmatch(name)
        assert found is not None
        self.name, self.damaged = name, tuple(damaged)
        self.step, self.n, self.count = (int(part) for part in found.groups())
        self.manifests = tuple(sorted(manifests, key=lambda one: one.rank))

    @property
    def order(self) -> tuple[int, int]:
        """Later ones are greater."""
        return self.n, self.count

    @property
    def complete(self) -> bool:
        """All manifests are there. What they name may still be damaged."""
        ranks = [one.rank for one in self.manifests]
        return bool(ranks) and ranks == list(range(self.manifests[0].world_size if self.manifests[0].sharded else 1))

    @property
    def lacking(self) -> tuple[int, ...]:
        """Ranks whose parts are not there; () where parts of ranks are not what it consists of."""
        if not self.manifests or not self.manifests[0].sharded:
            return ()
        return tuple(sorted(set(range(self.manifests[0].world_size)).difference(one.rank for one in self.manifests)))

    def parts_of(self, ranks: Sequence[int], world_size: int) -> tuple[Manifest, ...]:
        """What these ranks of a world need of it: of parts of an equal world their own, of any other world all."""
        first = self.manifests[0]
        if not ranks or not first.sharded or first.world_size != world_size:
            return self.manifests
        return tuple(one for one in self.manifests if one.rank in ranks)

    @property
    def metrics(self) -> dict[str, float]:
        """What was given with it: every rank's, those of the first count."""
        return {name: value for one in reversed(self.manifests) for name, value in one.metrics.items()}

    @property
    def policy(self) -> Policy:
        """By which it was kept."""
        return self.manifests[0].policy if self.manifests else Policy()


def folder_name(step: int, n: int, count: int) -> str:
    """The folder of one checkpoint."""
    return f"step-{step:09d}-{n}.{count}"


def is_folder(name: str) -> bool:
    """Is that the name of a checkpoint's folder?"""
    return _FOLDER.fullmatch(name) is not None


def order_of(name: str) -> tuple[int, int]:
    """(try, number) of a checkpoint's folder."""
    return Saved(name, ()).order


def manifest_name(rank: int, world_size: int, sharded: bool) -> str:
    """The manifest of a whole checkpoint, or of one rank's part."""
    return f"manifest.{rank:05d}-of-{world_size:05d}.json" if sharded else "manifest.json"


def is_manifest(name: str) -> bool:
    """Is that a manifest's name?"""
    return _MANIFEST.fullmatch(name) is not None


def render_manifest(manifest: Manifest) -> bytes:
    """Its file, which holds its own digest."""
    body = json.dumps(to_plain(manifest), separators=(",", ":"), sort_keys=True)
    return f"{_HEAD}{hashlib.sha256(body.encode()).hexdigest()}{_BODY}{body}{_TAIL}".encode()


def parse_manifest(data: bytes) -> Manifest:
    """The inverse. Raises ValueError for what is torn or altered."""
    try:
        text = data.decode()
        start = len(_HEAD) + _HEX + len(_BODY)
        body = text[start : -len(_TAIL)]
        head = f"{_HEAD}{hashlib.sha256(body.encode()).hexdigest()}{_BODY}"
        if text[:start] != head or not text.endswith(_TAIL):
            raise ValueError("its digest is another")
        return from_plain(Manifest, json.loads(body))
    except (UnicodeError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(str(error)) from error


def find_saved(root: str) -> list[Saved]:
    """All checkpoints in a task's folder, complete or not, the oldest first."""
    return sorted((find_one(f"{root}/{name}") for name in _list(root) if is_folder(name)), key=lambda one: one.order)


def find_one(path: str) -> Saved:
    """What there is of the checkpoint in this folder. A manifest that is another's is as good as a damaged one."""
    name = path.rpartition("/")[2]
    found = Saved(name, ())
    manifests: list[Manifest] = []
    damaged: list[str] = []
    for file in filter(is_manifest, _list(path)):
        try:
            with open(f"{path}/{file}", "rb") as opened:
                one = parse_manifest(opened.read())
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            damaged.append(file)
            continue
        belongs = (one.step, one.n, one.count) == (found.step, found.n, found.count)
        if belongs and file == manifest_name(one.rank, one.world_size, one.sharded):
            manifests.append(one)
        else:
            damaged.append(file)
    return Saved(name, manifests, damaged)


def dropped(found: Iterable[Saved], policy: Policy) -> list[Saved]:
    """Those that may go, the oldest first: complete ones that `policy` does not keep. Pure."""
    complete = sorted((one for one in found if one.complete), key=lambda one: one.order)
    kept = {one.name for one in complete[max(0, len(complete) - policy.last) :]} | {one.name for one in best_of(complete, policy)}
    return [one for one in complete if one.name not in kept]


def best_of(found: Iterable[Saved], policy: Policy) -> list[Saved]:
    """The best by the policy's metric, the best first; of equals the later one. Those without the metric do not count. Pure."""
    if not policy.best:
        return []
    sign = 1.0 if policy.mode == "max" else -1.0
    ranked = [one for one in found if one.complete and not isnan(one.metrics.get(policy.best, float("nan")))]
    ranked.sort(key=lambda one: (sign * one.metrics[policy.best], one.order), reverse=True)
    return ranked[: policy.best_count]


def find_unfinished(found: Sequence[Saved], n: int, since: float) -> list[Saved]:
    """What the ranks of the `n`th try, begun at `since`, have saved in parts that never became whole, the oldest first. Not what some of
    them have dropped already: enough newer ones are whole then. Pure."""
    whole = [one.order for one in found if one.complete]
    return [
        one
        for one in found
        if one.n == n
        and one.lacking
        and not one.damaged
        and min(part.saved_at for part in one.manifests) >= since
        and sum(order > one.order for order in whole) < one.policy.last
    ]


def find_other(found: Iterable[Saved], mine: Manifest, since: float) -> Saved | None:
    """What other ranks of the same try, begun at `since`, have saved as their save of the same number, at another step: neither becomes
    whole, nor does anything after them. Pure."""
    return next(
        (
            one
            for one in found
            if one.order == (mine.n, mine.count) and one.step != mine.step and one.lacking and one.manifests[0].saved_at >= since
        ),
        None,
    )


def spell_ranks(ranks: Sequence[int]) -> str:
    """ "rank 3"; "ranks 1, 2 and 5"; of many the first."""
    if len(ranks) == 1:
        return f"rank {ranks[0]}"
    names = [str(rank) for rank in ranks]
    if len(names) > _NAMED:
        return f"ranks {', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    return f"ranks {', '.join(names[:-1])} and {names[-1]}"


def _list(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
