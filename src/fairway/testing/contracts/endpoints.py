"""What every store of endpoints promises. Subclass `EndpointStoreContract` and give the fixture `endpoints`."""

from __future__ import annotations

from typing import Any

import pytest

from fairway.errors import JournalConflict
from fairway.spec.endpoint import Capture, Endpoint, Floor, Key, Limits, Revision, Rollout, Scaling, ServeSpec
from fairway.spec.ports import EndpointStore, run_now
from fairway.spec.record import replace


def full_endpoint(name: str) -> Endpoint:
    """An endpoint with something in every field."""
    spec = ServeSpec(
        "runs/42/model",
        {"digest": "ab" * 32, "type": "fairway.Directory"},
        "cd" * 32,
        options={"method": "predict_proba", "env": {"A": "ü"}},
        resources={"cpu": 2.0},
        limits=Limits(queue=7),
        schema="ef" * 32,
        framework="sklearn",
        lineage={"run": "r1"},
    )
    return Endpoint(
        name,
        project="bank",
        revisions=(Revision(1, spec, 1.5, "ann", "first"), Revision(2, replace(spec, source="score.py"), 2.5, "bob")),
        traffic=((1, 95.0), (2, 5.0)),
        shadow=2,
        sticky="header:x-user",
        scaling=Scaling(0, 8, floors=(Floor(2, "08:00", "18:00", ("mon",), "Europe/Berlin"),)),
        capture=Capture(0.5, drop=("name",), hash=("iban",)),
        keys=(Key("app", "00" * 32, 5.0, 10, 3.0, "ann"),),
        rollout=Rollout(2, ((1, 100.0),), (5.0, 100.0), state="paused", why="by hand"),
        expose={"ingress": "risk.example"},
        history=({"at": 1.0, "by": "ann", "what": "deployed"},),
        created_at=1.0,
        created_by="ann",
    )


class EndpointStoreContract:
    """Subclass it and give the fixture `endpoints`."""

    def run(self, coroutine: Any) -> Any:
        """Override where the store needs an event loop."""
        return run_now(coroutine)

    def test_what_was_written_is_read(self, endpoints: EndpointStore) -> None:
        made = full_endpoint("risk")
        version = self.run(endpoints.put_endpoint(made))
        assert version > 0
        assert self.run(endpoints.find_endpoint("risk")) == replace(made, version=version)
        assert list(self.run(endpoints.endpoints())) == [replace(made, version=version)]

    def test_what_is_not_there_is_none(self, endpoints: EndpointStore) -> None:
        assert self.run(endpoints.find_endpoint("risk")) is None
        assert list(self.run(endpoints.endpoints())) == []
        self.run(endpoints.delete_endpoint("risk"))

    def test_they_are_listed_by_name(self, endpoints: EndpointStore) -> None:
        for name in ("b", "c", "a"):
            self.run(endpoints.put_endpoint(Endpoint(name)))
        assert [one.name for one in self.run(endpoints.endpoints())] == ["a", "b", "c"]

    def test_of_two_writers_the_second_loses_and_nothing_is_written(self, endpoints: EndpointStore) -> None:
        first = self.run(endpoints.put_endpoint(Endpoint("risk")))
        second = self.run(endpoints.put_endpoint(Endpoint("risk", project="won", version=first)))
        assert second > first
        for version in (first, 0, second + 1):
            with pytest.raises(JournalConflict):
                self.run(endpoints.put_endpoint(Endpoint("risk", project="lost", version=version)))
        assert self.run(endpoints.find_endpoint("risk")) == Endpoint("risk", project="won", version=second)

    def test_what_is_not_there_cannot_be_written_over(self, endpoints: EndpointStore) -> None:
        with pytest.raises(JournalConflict):
            self.run(endpoints.put_endpoint(Endpoint("risk", version=1)))
        assert self.run(endpoints.find_endpoint("risk")) is None

    def test_an_old_document_does_not_come_back_over_a_new_one_of_the_same_name(self, endpoints: EndpointStore) -> None:
        version = self.run(endpoints.put_endpoint(Endpoint("risk", project="old")))
        self.run(endpoints.delete_endpoint("risk"))
        assert self.run(endpoints.find_endpoint("risk")) is None
        assert list(self.run(endpoints.endpoints())) == []
        with pytest.raises(JournalConflict):
            self.run(endpoints.put_endpoint(Endpoint("risk", project="old", version=version)))
        again = self.run(endpoints.put_endpoint(Endpoint("risk", project="new")))
        for old in range(1, again):
            with pytest.raises(JournalConflict):
                self.run(endpoints.put_endpoint(Endpoint("risk", project="old", version=old)))
        assert self.run(endpoints.find_endpoint("risk")) == Endpoint("risk", project="new", version=again)
