"""Texts, embeddings, images and times are compared by what people would look at; reductions are exact."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.data.batch import Batch, Values, sliced, values_of
from fairway.data.drift import Baseline, DriftReport, Monitor, compare, embeddings, images, text


def moved(report: DriftReport) -> set[str]:
    return {one.key for one in report.columns if one.drifted}


TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=12)


@given(texts=TEXTS)
def test_texts_are_reduced_as_one_by_one(texts: list[str]) -> None:
    values = values_of(texts)
    raws = [one.encode() for one in texts]
    assert text.words(text.Texts(values)).tolist() == [len(_spaced(raw).split()) for raw in raws]
    letters = [sum(chr(b).isalpha() and b < 128 for b in raw) / max(len(raw), 1) for raw in raws]
    assert text.shares(text.Texts(values), "letters") == pytest.approx(letters)
    assert text.shapes(text.Texts(values)).values(range(len(texts))) == [_shape(raw) for raw in raws]


def _spaced(raw: bytes) -> bytes:
    """Only these four are white space to us."""
    return b"".join(b" " if byte in (9, 10, 13, 32) else b"x" for byte in raw)


def _shape(raw: bytes) -> str:
    made = ""
    for byte in raw[:64]:
        one = "z" if byte > 127 else "A" if 65 <= byte <= 90 else "a" if 97 <= byte <= 122 else "9" if 48 <= byte <= 57 else "-"
        one = " " if byte in (9, 10, 13, 32) else one
        made += "" if made.endswith(one) else one
    return made


@given(texts=TEXTS, start=st.integers(0, 5))
def test_a_text_has_the_same_trigram_in_every_batch(texts: list[str], start: int) -> None:
    whole = text.trigrams(text.Texts(values_of(texts)))
    part = text.trigrams(text.Texts(sliced(values_of(texts), min(start, len(texts)), len(texts))))
    assert whole[start:].tolist() == part.tolist()
    assert ((whole >= 0) & (whole < text.BUCKETS)).all()


def codes(count: int, seed: int, form: str) -> Batch:
    rng = np.random.default_rng(seed)
    pairs = zip(rng.integers(1_000, 9_999, count), rng.integers(100, 999, count), strict=True)
    return Batch.of({"code": [form.format(a=a, b=b) for a, b in pairs]})


def test_texts_that_change_their_form_are_found() -> None:
    before = codes(3_000, 1, "AB-{a}-{b}")
    assert moved(compare(before, codes(3_000, 2, "AB-{a}-{b}"))) == set()
    assert "code:shape" in moved(compare(before, codes(3_000, 2, "AB/{a}{b}-")))
    assert "code:trigram" in moved(compare(before, codes(3_000, 2, "XQ-{a}-{b}"))), "same shape, other letters"


def clouds(count: int, seed: int, turn: float = 0.0, scale: float = 1.0) -> Batch:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 32))
    points[:, 0] += 3 * np.cos(turn)
    points[:, 1] += 3 * np.sin(turn)
    return Batch.of({"vector": points * scale})


def test_embeddings_that_turn_or_grow_are_found() -> None:
    before = clouds(2_000, 1)
    assert moved(compare(before, clouds(2_000, 2))) == set()
    assert "vector:centre" in moved(compare(before, clouds(2_000, 2, turn=0.5)))
    assert "vector:norm" in moved(compare(before, clouds(2_000, 2, scale=1.1)))


def test_discrepancy_tells_clouds_apart_and_not_their_halves() -> None:
    one, other, turned = (embeddings.matrix(clouds(400, seed, turn).columns["vector"], 32) for seed, turn in ((1, 0.0), (2, 0.0), (3, 1.0)))
    assert embeddings.discrepancy(one, other)[1] > 0.02
    value, chance = embeddings.discrepancy(one, turned)
    assert value > 0 and chance < 0.01
    assert embeddings.centre_cosine(one, one) == pytest.approx(1)
    assert embeddings.centre_cosine(one, turned) < 0.8
    assert embeddings.discrepancy(one, one[:0]) == (0.0, 1.0)


def test_rows_of_another_width_are_no_points() -> None:
    made = embeddings.matrix(values_of([[1.0, 2.0, 3.0, 4.0], None, [1.0]]), 4)
    assert np.isnan(made).all(1).tolist() == [False, True, True]
    assert embeddings.width_of(values_of([[1.0] * 4, [1.0] * 5])) == 0


def pictures(count: int, seed: int, bright: int = 100, size: tuple[int, int] = (24, 16)) -> list[bytes]:
    from PIL import Image

    rng = np.random.default_rng(seed)
    made: list[bytes] = []
    for number in range(count):
        pixels = np.clip(rng.normal(bright + rng.normal(0, 15), 20, (*size[::-1], 3)), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG" if number % 2 else "JPEG")
        made.append(buffer.getvalue())
    return made


def test_images_sizes_are_read_from_their_headers() -> None:
    for raw in pictures(4, 1):
        assert images.size_of(raw) == (24, 16)
        for cut in range(min(len(raw), 200)):
            images.size_of(raw[:cut])  # damaged: None or the size, never an error
    assert images.size_of(b"GIF89a") is None


def test_images_that_darken_or_shrink_are_found() -> None:
    before = Batch.of({"photo": pictures(100, 1)})
    assert moved(compare(before, Batch.of({"photo": pictures(100, 2)}))) == set()
    assert "photo:brightness" in moved(compare(before, Batch.of({"photo": pictures(100, 2, bright=70)})))
    assert {"photo:width", "photo:height"} <= moved(compare(before, Batch.of({"photo": pictures(100, 2, size=(16, 12))})))


def test_without_pillow_sizes_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "can_decode", lambda: False)
    found = images.measured(values_of([*pictures(2, 1), b"none", None]))
    assert list(found) == ["width", "height"]
    assert found["width"][:2].tolist() == [24, 24] and np.isnan(found["width"][2:]).all()


def visits(days: int, seed: int, hour: float, first: str = "2024-03-04") -> Batch:
    rng = np.random.default_rng(seed)
    hours = rng.integers(0, days, 4_000) * 24 + np.clip(rng.normal(hour, 2, 4_000), 0, 23.99)
    at = np.datetime64(first, "us") + (hours * 3_600_000_000).astype("timedelta64[us]")
    return Batch.of({"at": at})


def test_a_clock_that_shifts_is_found_by_its_hours() -> None:
    before = visits(28, 1, 10.0)
    assert moved(compare(before, visits(28, 2, 10.0, "2024-04-01"))) == set()
    report = compare(before, visits(28, 2, 11.0, "2024-04-01"))
    assert moved(report) == {"at:hour"}
    assert ":00 to " in next(report.sentences())


def test_days_too_few_for_weekdays_are_said() -> None:
    report = compare(visits(5, 1, 10.0), visits(5, 2, 10.0))
    assert {one.key for one in report.columns} == {"at:hour"}
    assert any("too few to compare weekdays" in note for note in report.notes)


def test_monitors_reduce_as_baselines_do() -> None:
    """What a baseline was made of raises nothing in its monitor, whatever the kind of its columns."""
    batch = Batch.of({"code": codes(2_000, 1, "AB-{a}-{b}").columns["code"].values(range(2_000))})
    batch.columns["vector"] = clouds(2_000, 1).columns["vector"]
    batch.columns["day"] = Values("date", "date32[day]", np.arange(2_000, dtype=np.int64) // 4)
    monitor = Monitor(Baseline.make(batch, window_rows=500))
    assert {track.facet.kind for track in monitor.tracks} == {"text", "embedding", "time"}
    assert monitor.add(batch) == []
    assert monitor.summary()["facets"]["code:shape"]["measures"]["psi"] == pytest.approx(0, abs=0.01)
