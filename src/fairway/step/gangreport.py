"""What a rank leaves for its leader: one file, whole or not there. And where the files of a gang lie."""

from __future__ import annotations

import json
import os

from fairway.spec.outcome import ItemOutcome
from fairway.spec.record import Record, field, from_plain, record, to_plain

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@record
class Report(Record):
    """How a rank's part ended. `at`: when the user's code had returned or raised (epoch seconds), by the rank's own clock."""

    outcome: ItemOutcome
    at: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    running_at: float = 0.0
    writing_at: float = 0.0


STILL, AGREED = "still", "agreed"
"""Streams between a replica's leader and its pod's agent, which go nowhere else: whether its ranks stand still, and that all others do."""


class Folder:
    """The files by which the processes of a gang's replica know each other; made by the leader in the attempt's scratch folder."""

    def __init__(self, scratch: str) -> None:
        self.path = f"{scratch}/.gang"
        self.pulses = f"{self.path}/pulses"
        self.bell = f"{self.path}/bell"
        self.told = f"{self.path}/attempt.json"
        self.given = f"{self.path}/files"

    def log(self, rank: int) -> str:
        """The FIFO that a rank prints into."""
        return f"{self.path}/log-{rank}"

    def stack(self, rank: int) -> str:
        """The file that a rank writes its stack into when asked."""
        return f"{self.path}/stack-{rank}"

    def work(self, rank: int) -> str:
        """The working folder of a rank."""
        return f"{os.path.dirname(self.path)}/rank-{rank}"

    def report(self, rank: int) -> str:
        """The file of a rank's report."""
        return f"{self.path}/report-{rank}.json"


def write_report(report: Report, path: str) -> None:
    """Raises OSError."""
    partial = f"{path}.part"
    with open(partial, "w", encoding="utf-8", errors="replace") as file:
        file.write(_encode(to_plain(report)))
    os.rename(partial, path)


def find_report(path: str) -> Report | None:
    """None if the rank has not reported, or died without a word."""
    try:
        with open(path, encoding="utf-8") as file:
            return from_plain(Report, json.load(file))
    except (OSError, ValueError):
        return None
