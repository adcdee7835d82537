"""A baseline: the bins of every facet of a data set, how often it met each, and what chance does to windows of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fairway.data.batch import Batch
from fairway.data.drift.chance import Dependence, Ladder, ladder_from, ladder_json
from fairway.data.drift.coding import Coder
from fairway.data.drift.cycle import ENOUGH_DAYS, SLOTS, TWICE, Cycle, Days, beyond_the_day, is_explained, time_of
from fairway.data.drift.dependence import PIECES, consecutive, learnt
from fairway.data.drift.facets import NAMES, Facet, Rows, RowsAtHand, RowsMeasured, facets_of, read_facet
from fairway.data.drift.frames import FINE, Frame, frame_counts, frame_from, frame_json, frame_numbers
from fairway.data.drift.readings import Counts
from fairway.data.drift.rules import DriftRules, rules_of
from fairway.data.wholefiles import parse_object, write_whole
from fairway.errors import ConfigError, NotFoundError

VERSION = 1
_AGAIN = "Make one: fairway data drift DATA --save-baseline FILE"


@dataclass(frozen=True)
class Track:
    """One facet of the baseline: its bins, what its consecutive rows share, and what chance does to windows of `Baseline.window_rows`."""

    facet: Facet
    frame: Frame
    dependence: Dependence | None = None
    ladders: dict[str, Ladder] = field(default_factory=dict[str, Ladder])
    cycle: Cycle | None = None
    """what it is like at each time of the day, where it follows that"""


@dataclass(frozen=True)
class Baseline:
    """What current data are compared with. Make it with `Baseline.make`; it travels as JSON."""

    rows: int
    window_rows: int
    tracks: tuple[Track, ...]
    uri: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def make(
        cls, source: Any, *, window_rows: int = 1_000, schema: Any = None, columns: Sequence[str] | None = None, uri: str = ""
    ) -> Baseline:
        """From a table or a batch (whose rows' order tells whether they depend on each other) or from statistics (rows are then taken as
        independent, which a note says). Windows of `window_rows` are what a monitor will hold against it."""
        rows, _, batches = opened(source)
        rules = rules_of(schema)
        names = [name for name in (columns or rows.names()) if rules.of(name).watched]
        tracks, notes = tracks_of(rows, names, window_rows)
        if batches is None:
            notes.append("made from statistics: rows are taken as independent of each other; make it from the table to have that measured")
        else:
            tracks = with_dependence(tracks, batches, min(window_rows, max(rows.rows // 20, 50)), time_of(rows))
            notes += [
                f"`{track.facet.key}`: rows follow each other (windows differ {track.dependence.excess:.1f} times as much as independent "
                "rows would); its thresholds allow for that"
                for track in tracks
                if track.dependence is not None
            ]
            notes += notes_of_cycles(tracks, time_of(rows)[1])
        made = cls(rows.rows, window_rows, tuple(tracks), uri or str(getattr(source, "uri", "") or ""), tuple(notes))
        return made.calibrated(window_rows, rules)

    def calibrated(self, window_rows: int, rules: DriftRules | None = None) -> Baseline:
        """The same for windows of another size."""
        held = rules or DriftRules()
        tracks = [
            replace(track, ladders=track.frame.ladders(window_rows, track.dependence, also=held.of(track.facet.column).measure))
            for track in self.tracks
        ]
        return replace(self, window_rows=window_rows, tracks=tuple(tracks))

    def to_json(self) -> dict[str, Any]:
        return {
            "fairway": "baseline",
            "version": VERSION,
            "rows": self.rows,
            "window_rows": self.window_rows,
            "uri": self.uri,
            "notes": list(self.notes),
            "tracks": [_track_json(track) for track in self.tracks],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any], *, where: str = "") -> Baseline:
        """What `to_json` gave. Raises ConfigError for anything else, or where it is damaged."""
        if document.get("fairway") == "baseline" and document.get("version") != VERSION:
            raise ConfigError("this baseline was made by another version of Fairway; it has to be made again", where=where, hint=_AGAIN)
        if document.get("fairway") != "baseline":
            raise ConfigError("this is no baseline of drift", where=where, hint=_AGAIN)
        try:
            tracks = tuple(_track_from(one) for one in document["tracks"])
            if len({track.facet.key for track in tracks}) < len(tracks):
                raise ValueError("it names a facet twice")
            notes = tuple(str(one) for one in document.get("notes", ()))
            return cls(int(document["rows"]), int(document["window_rows"]), tracks, str(document.get("uri", "")), notes)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            said = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) and error.args else str(error)
            raise ConfigError(f"the baseline is damaged: {said[:300]}", where=where, hint=_AGAIN) from error

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:16]

    def save(self, path: str | Path) -> None:
        write_whole(path, json.dumps(self.to_json(), separators=(",", ":"), ensure_ascii=False) + "\n")


def load_baseline(path: str | Path) -> Baseline:
    """The file that `Baseline.save` wrote; ConfigError for anything else."""
    try:
        text = Path(path).read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {str(path)!r}", hint=_AGAIN) from None
    except OSError as error:
        raise ConfigError(f"the baseline cannot be read: {error.strerror}", where=str(path)) from None
    return Baseline.from_json(parse_object(text, where=str(path), hint=_AGAIN), where=str(path))


def opened(source: Any) -> tuple[Rows, Any, Iterable[Batch] | None]:
    """(what facets are read from; the statistics or the batch; the batches in order where there are any to be had) of a table, a batch,
    statistics, or what `fw.read` reads."""
    if isinstance(source, Batch):
        return RowsAtHand(source), source, [source]
    if hasattr(source, "row_sample"):
        return RowsMeasured(source), source, None
    from fairway.data.statistics import measure
    from fairway.data.table import read

    table = source if hasattr(source, "batches") else read(source)
    statistics = measure(table)
    return RowsMeasured(statistics), statistics, table.batches()


def tracks_of(rows: Rows, names: Sequence[str], window_rows: float) -> tuple[list[Track], list[str]]:
    """The facets of these columns with their bins, and why some have none. Hours are compared where a window spans two days, weekdays where
    it spans two weeks."""
    fine = FINE if len(names) <= 200 else FINE // 2
    tracks: list[Track] = []
    notes: list[str] = []
    for name in names:
        facets = facets_of(rows, name)
        if not facets:
            notes.append(f"`{name}` numbers the rows, or is null throughout: not compared")
        if any(facet.kind == "time" for facet in facets):
            days = rows.span_days(name) * window_rows / max(rows.rows, 1)
            left = [facet for facet in facets if days < SPANS.get(facet.name, 0)]
            facets = [facet for facet in facets if facet not in left]
            notes += [f"`{name}`: a window spans {days:.1f} days, too few to compare {facet.name}s" for facet in left]
        tracks += [Track(facet, framed(rows, facet, fine)) for facet in facets]
    return tracks, notes


SPANS = {"hour": 2.0, "weekday": 14.0}


def framed(rows: Rows, facet: Facet, fine: int = FINE) -> Frame:
    read = read_facet(rows, facet)
    return frame_counts(read) if isinstance(read, Counts) else frame_numbers(read, fine)


def with_dependence(tracks: list[Track], batches: Iterable[Batch], window_rows: int, time: tuple[str, float] = ("", 0.0)) -> list[Track]:
    """`time`: the column of times and the days that it spans: what follows the time of the day is told from what is alike otherwise."""
    coders = [Coder(track.facet, track.frame) for track in tracks]
    name, days = time
    day = Days(name, coders) if name and days >= TWICE else None
    pieces = consecutive(batches, [*coders, day] if day is not None else coders, max(window_rows // PIECES, 1))
    made = [replace(track, dependence=learnt(track.frame, counts)) for track, counts in zip(tracks, pieces, strict=False)]
    if day is None:
        return made
    return [
        replace(track, cycle=_cycle_of(track, counts, pieces[-1], found, time)) if track.dependence is not None else track
        for track, counts, found in zip(made, pieces, day.counts, strict=False)
    ]


def _cycle_of(track: Track, pieces: np.ndarray, slots: np.ndarray, found: np.ndarray, time: tuple[str, float]) -> Cycle | None:
    assert track.dependence is not None
    if track.facet.kind == "time":
        return None
    rest = learnt(track.frame, beyond_the_day(found, pieces, slots, time[1]), observing=False)
    return Cycle(time[0], found, rest) if is_explained(track.dependence, rest) else None


def notes_of_cycles(tracks: Sequence[Track], days: float) -> list[str]:
    """Which columns follow the time of the day, and whether enough days were seen."""
    following = [track.facet.key for track in tracks if track.dependence is not None and track.facet.kind != "time"]
    if days and days < TWICE and following:
        named = ", ".join(f"`{key}`" for key in following)
        said = f"{named}: rows follow each other over {days:.1f} days only, too few to tell a daily cycle: another part of the day may"
        return [f"{said} be taken for drift. Make the baseline from {ENOUGH_DAYS:.0f} days or more"]
    few = (
        f", of which the baseline knows {days:.1f} days only: make it from {ENOUGH_DAYS:.0f} days or more, so that it knows how days differ"
        if days < ENOUGH_DAYS
        else ""
    )
    return [f"`{t.facet.key}` follows the time of the day: it is compared with the same times{few}" for t in tracks if t.cycle is not None]


def _track_json(track: Track) -> dict[str, Any]:
    facet = track.facet
    made: dict[str, Any] = {"column": facet.column, "facet": facet.name, "kind": facet.kind, "frame": frame_json(track.frame)}
    made["ladders"] = {name: ladder_json(ladder) for name, ladder in track.ladders.items()}
    if facet.state:
        made["state"] = facet.state
    if track.dependence is not None:
        made["dependence"] = _dependence_json(track.dependence)
    if track.cycle is not None:
        made["cycle"] = {"time": track.cycle.time, "counts": track.cycle.counts.astype(np.int64).tolist()}
        if track.cycle.dependence is not None:
            made["cycle"]["dependence"] = _dependence_json(track.cycle.dependence)
    return made


def _dependence_json(dependence: Dependence) -> dict[str, Any]:
    return {
        "factors": [[float(f"{value:.4g}") for value in row] for row in dependence.factors],
        "freedom": dependence.freedom,
        "excess": dependence.excess,
        "window_rows": dependence.window_rows,
        "observed": {name: ladder_json(ladder) for name, ladder in dependence.observed.items()},
    }


def _track_from(document: dict[str, Any]) -> Track:
    frame = frame_from(document["frame"])
    follows = document.get("dependence")
    dependence = None if follows is None else _dependence_from(follows)
    facet = Facet(document["column"], document["facet"], document["kind"], frame.shape, document.get("state", {}))
    if facet.name not in NAMES.get(facet.kind, ()):
        raise ValueError(f"a {facet.kind!r} has no {facet.name!r}")
    ladders = {name: ladder_from(one) for name, one in document["ladders"].items()}
    lacking = [name for name in frame.deciding if name not in ladders]
    if lacking:
        raise ValueError(f"no thresholds of {lacking[0]}")
    return Track(facet, frame, dependence, ladders, _cycle_from(document["cycle"], len(frame.counts)) if "cycle" in document else None)


def _cycle_from(document: dict[str, Any], bins: int) -> Cycle:
    counts = np.array(document["counts"], np.float64)
    if counts.shape != (SLOTS, bins) or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("what it says of the times of the day does not fit its bins")
    follows = document.get("dependence")
    return Cycle(str(document["time"]), counts, None if follows is None else _dependence_from(follows))


def _dependence_from(document: dict[str, Any]) -> Dependence:
    observed = {name: ladder_from(one) for name, one in document["observed"].items()}
    return Dependence(np.array(document["factors"]), document["freedom"], document["excess"], document["window_rows"], observed)
