"""The gateway's pure parts: tables, weights, ways, keys, rates, deadlines, comparison."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import ConfigError
from fairway.serve.control.keys import make_key
from fairway.serve.gateway.access import Bucket, Keyring, digest_key, name_in, read_token
from fairway.serve.gateway.compare import find_difference
from fairway.serve.gateway.deadline import read_timeout
from fairway.serve.gateway.heads import answer_headers, forwarded, render_request
from fairway.serve.gateway.meter import BOUNDS_MS, Meter, find_bound
from fairway.serve.gateway.options import parse_options
from fairway.serve.gateway.route import find_way, parse_host
from fairway.serve.gateway.spread import Spread, choose_running, to_point
from fairway.serve.gateway.table import parse_table
from fairway.serve.refusal import Refused
from fairway.spec.endpoint import Key

weights = st.dictionaries(st.integers(1, 50), st.floats(0.5, 100), min_size=1, max_size=5).map(lambda found: tuple(found.items()))


# weights


@given(weights, st.integers(100, 600))
def test_each_stretch_of_requests_is_spread_as_the_weights_say(traffic: tuple[tuple[int, float], ...], count: int) -> None:
    spread, total = Spread(traffic), sum(weight for _, weight in traffic)
    drawn = [spread.draw() for _ in range(count)]
    for number, weight in traffic:
        assert abs(drawn.count(number) - count * weight / total) <= 5 + math.log2(count)


def test_five_percent_are_five_percent_also_for_callers_that_take_turns() -> None:
    spread = Spread(((3, 95.0), (4, 5.0)))
    drawn = [spread.draw() for _ in range(2000)]
    for turn in (0, 1):
        assert 40 <= drawn[turn::2].count(4) <= 60


@given(st.text(max_size=30), st.floats(1, 99), st.floats(0, 1))
def test_who_met_the_newer_revision_meets_it_still_when_it_gets_more(value: str, weight: float, share: float) -> None:
    more = weight + (100 - weight) * share
    point = to_point("risk", value)
    before, after = Spread(((3, 100 - weight), (4, weight))).find(point), Spread(((3, 100 - more), (4, more))).find(point)
    assert after == 4 or before == 3


@given(weights, st.text(max_size=30))
def test_a_caller_meets_the_same_revision_whatever_the_order_of_the_table(traffic: tuple[tuple[int, float], ...], value: str) -> None:
    point = to_point("risk", value)
    assert 0 <= point < 1
    assert Spread(traffic).find(point) == Spread(tuple(reversed(traffic))).find(point)
    assert Spread(traffic).find(point) in dict(traffic)


def test_callers_are_spread_by_the_weights_too() -> None:
    spread = Spread(((3, 80.0), (4, 20.0)))
    found = [spread.find(to_point("risk", f"caller-{n}")) for n in range(5000)]
    assert 0.17 < found.count(4) / 5000 < 0.23


def test_another_revision_answers_while_the_one_that_was_meant_does_not_run() -> None:
    weights = {3: 95.0, 4: 5.0}
    assert choose_running(4, weights, {3, 4}) == 4
    assert choose_running(4, weights, {3}) == 3
    assert choose_running(4, weights, {7}) == 0, "7 runs, but takes no traffic"
    assert choose_running(3, weights, {4}) == 0, "4 is only tried: the request waits for 3"
    assert choose_running(3, {3: 25.0, 4: 75.0}, {4}) == 4
    assert (choose_running(4, {3: 50.0, 4: 50.0}, {3}), choose_running(3, {3: 50.0, 4: 50.0}, {4})) == (3, 0), "of equals the older"
    assert choose_running(3, {1: 10.0, 2: 60.0, 3: 30.0}, {1, 2}) == 2
    assert Spread(()).draw() == 0 if Spread(()).revisions else Spread(()).find(0.5) == 0


# tables


def table(**row: Any) -> bytes:
    return json.dumps({"version": 1, "endpoints": {"risk": row}}).encode()


def test_a_table_is_read_whole() -> None:
    made = parse_table(
        table(
            traffic=[[4, 5.0], [3, 95]], keys=[{"name": "ada", "digest": "a" * 64, "rate": 5, "burst": 2}], limits={"queue": 7},
            replicas={"3": [{"id": "r-3-a", "address": "unix:/x.sock"}], "4": [{"id": "r", "address": "[::1]:8080", "draining": True}]},
            hold_s=5, sticky="header:X-User", of_a_newer_version=1,
        )
    ).endpoints["risk"]  # fmt: skip
    assert made.traffic == ((3, 95.0), (4, 5.0))
    assert (made.limits.queue, made.limits.deadline_s) == (7, 30.0)
    assert made.replicas[4][0].draining
    assert made.keys[0].name == "ada"


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"{", "not JSON"),
        (b"[]", "object"),
        (b'{"endpoints": {"a b": {}}}', "/endpoints/a b"),
        (b'{"endpoints": {"metrics": {}}}', "/endpoints/metrics"),
        (b'{"version": true, "endpoints": {}}', "/version"),
        (table(traffic=[[3, -1]]), "/endpoints/risk/traffic"),
        (table(traffic=[[3]]), "/endpoints/risk/traffic"),
        (table(traffic=[["x", 1]]), "/endpoints/risk/traffic"),
        (table(traffic=5), "/endpoints/risk/traffic"),
        (table(replicas={"3": [{"id": "a", "address": "http://x"}]}), "/endpoints/risk/replicas/3"),
        (table(replicas={"3": [{"id": "a"}]}), "/endpoints/risk"),
        (table(replicas={"3": {}}), "/endpoints/risk/replicas/3"),
        (table(replicas=[]), "/endpoints/risk/replicas"),
        (table(sticky="cookie"), "/endpoints/risk/sticky"),
        (table(keys=[{"name": "a", "digest": "short"}]), "/endpoints/risk/keys"),
        (table(limits={"queue": "many"}), "/endpoints/risk/limits/queue"),
        (table(hold_s="long"), "/endpoints/risk/hold_s"),
        (table(secret="no hex"), "/endpoints/risk/secret"),
        (table(hosts=[None]), "/endpoints/risk/hosts"),
        (table(is_open="no"), "/endpoints/risk/is_open"),
        (table(capture={"share": -1}), "/endpoints/risk/capture/share"),
        (b'{"endpoints": {"a": {"hosts": ["x.org"]}, "b": {"hosts": ["X.org"]}}}', "'a' and 'b'"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_the_place(data: bytes, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_table(data)
    assert place in caught.value.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = ["traffic", "replicas", "keys", "limits", "capture", "hosts", "sticky", "shadow", "hold_s", "secret"]


@given(st.dictionaries(st.sampled_from(_FIELDS), json_values))
def test_no_table_does_anything_but_be_taken_or_be_refused(row: dict[str, Any]) -> None:
    try:
        made = parse_table(table(**row))
    except ConfigError as error:
        assert error.message
    else:
        assert all(weight > 0 for _, weight in made.endpoints["risk"].traffic)


# ways


@pytest.mark.parametrize(
    ("path", "host", "way"),
    [
        (b"/risk/predict", b"x", ("risk", b"/predict", "/risk", 0)),
        (b"/risk", b"x", ("risk", b"/", "/risk", 0)),
        (b"/risk/", b"x", ("risk", b"/", "/risk", 0)),
        (b"/risk//x", b"x", ("risk", b"//x", "/risk", 0)),
        (b"/risk/a%2Fb", b"x", ("risk", b"/a%2Fb", "/risk", 0)),
        (b"/v2/models/risk/infer", b"x", ("risk", b"/v2/models/risk/infer", "", 0)),
        (b"/v2/models/risk", b"x", ("risk", b"/v2/models/risk", "", 0)),
        (b"/v2/models/risk/versions/4/infer", b"x", ("risk", b"/v2/models/risk/versions/4/infer", "", 4)),
        (b"/v2/models/risk/versions/x/infer", b"x", ("risk", b"/v2/models/risk/versions/x/infer", "", -1)),
        (b"/v1/models/risk:predict", b"x", ("risk", b"/v1/models/risk:predict", "", 0)),
        (b"/risk/v2/models/risk/infer", b"x", ("risk", b"/v2/models/risk/infer", "/risk", 0)),
        (b"/predict", b"risk.example.org", ("risk", b"/predict", "", 0)),
        (b"/", b"x", ("", b"/", "/", 0)),
        (b"*", b"x", ("", b"/", "/", 0)),
    ],
)
def test_a_path_or_a_host_says_which_endpoint_is_meant(path: bytes, host: bytes, way: tuple[Any, ...]) -> None:
    found = find_way(path, host, {"risk"}, {b"risk.example.org": "risk"})
    assert (found.endpoint, found.target, found.prefix, found.revision) == way


@pytest.mark.parametrize(("value", "host"), [(b"A.org:80", b"a.org"), (b"[::1]:80", b"::1"), (b" x ", b"x"), (b"", b"")])
def test_a_host_is_read_without_its_port(value: bytes, host: bytes) -> None:
    assert parse_host(value) == host


# keys


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._@-]{0,20}[A-Za-z0-9])?", fullmatch=True))
def test_a_key_opens_and_nothing_else_does(name: str) -> None:
    token, key = make_key(name, rate=2.0, burst=4, by="ada", now=5.0)
    other, _ = make_key(name)
    ring = Keyring([key])
    assert ring.find(token) == key
    assert name_in(token) == name
    for wrong in (other, token[:-1], token + "x", token.upper() if token.upper() != token else "", "", "fk1..", key.digest, "ä" * 5):
        assert ring.find(wrong) is None
    assert token not in repr(key)


def test_two_keys_of_one_name_both_open() -> None:
    (one, first), (two, second) = make_key("ada"), make_key("ada")
    ring = Keyring([first, second])
    assert (ring.find(one), ring.find(two)) == (first, second)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 80, "ä"])
def test_a_name_that_cannot_be_a_keys_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        make_key(name)
    with pytest.raises(ConfigError):
        make_key("ada", rate=-1)


def test_a_key_comes_as_bearer_or_in_a_header_of_its_own() -> None:
    assert read_token({b"authorization": b"bearer  abc"}) == "abc"
    assert read_token({b"authorization": b"Basic abc", b"x-api-key": b"def"}) == "def"
    assert read_token({}) == ""
    assert digest_key("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert Key("a", "b").rate == 0.0


# rates


@given(st.floats(0.1, 1000), st.integers(1, 50), st.lists(st.floats(0, 3), min_size=1, max_size=200))
def test_no_stretch_of_time_sees_more_than_the_rate_and_one_burst(rate: float, burst: int, pauses: list[float]) -> None:
    bucket, now, taken = Bucket(rate, burst, 0.0), 0.0, list[float]()
    for pause in pauses:
        now += pause
        wait = bucket.take(now)
        if wait == 0.0:
            taken.append(now)
        else:
            assert 0 < wait <= 1 / rate + 1e-9
    for first in range(0, len(taken), 7):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - taken[first]) + 1 + 1e-6


@given(st.floats(0.1, 100), st.integers(1, 10))
def test_who_comes_again_when_told_is_let_in(rate: float, burst: int) -> None:
    bucket = Bucket(rate, burst, 0.0)
    for _ in range(burst):
        assert bucket.take(0.0) == 0.0
    wait = bucket.take(0.0)
    assert wait > 0
    assert bucket.take(wait * 1.0001) == 0.0


def test_a_changed_rate_does_not_fill_the_bucket() -> None:
    bucket = Bucket(1.0, 5, 0.0)
    for _ in range(5):
        bucket.take(0.0)
    assert bucket.changed(2.0, 50, 0.0).take(0.0) > 0
    assert Bucket(10.0, 0, 0.0).burst == 10.0


# deadlines


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({b"fairway-timeout-ms": b"250"}, 0.25),
        ({b"grpc-timeout": b"250m"}, 0.25),
        ({b"grpc-timeout": b"2S"}, 2.0),
        ({b"grpc-timeout": b"1H"}, 3600.0),
    ],
)
def test_a_caller_says_how_long_it_waits(headers: dict[bytes, bytes], seconds: float) -> None:
    assert read_timeout(headers) == seconds


@pytest.mark.parametrize(
    "headers", [{b"fairway-timeout-ms": b"0"}, {b"fairway-timeout-ms": b"1.5"}, {b"grpc-timeout": b"5"}, {b"grpc-timeout": b"123456789S"}]
)
def test_a_deadline_that_cannot_be_read_is_refused_by_name(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Refused) as caught:
        read_timeout(headers)
    assert caught.value.status == 400
    assert caught.value.faults[0].field.encode() in headers


# headers


def test_nothing_of_one_connection_reaches_the_other() -> None:
    asked = {
        b"host": b"x", b"connection": b"keep-alive, X-Own", b"x-own": b"1", b"te": b"trailers", b"transfer-encoding": b"chunked",
        b"accept": b"a/b", b"fairway-caller": b"root", b"fairway-revision": b"9", b"authorization": b"Bearer k",
        b"x-forwarded-for": b"spoofed", b"content-length": b"99",
    }  # fmt: skip
    head = render_request(b"POST /p HTTP/1.1\r\n", asked, [(b"added", b"1")], size=2, hides_key=True)
    assert head == b"POST /p HTTP/1.1\r\naccept: a/b\r\nadded: 1\r\ncontent-length: 2\r\n\r\n"
    assert b"authorization: Bearer k" in render_request(b"", asked, (), size=-1, hides_key=False)
    kind, kept = answer_headers(
        [
            (b"content-type", b"a/b"),
            (b"connection", b"x-hop"),
            (b"x-hop", b"1"),
            (b"date", b"d"),
            (b"location", b"/docs"),
            (b"fairway-revision", b"7"),
        ],
        "/risk",
    )
    assert (kind, kept) == (b"a/b", [(b"location", b"/risk/docs")])


@pytest.mark.parametrize(
    ("path", "location", "wanted"),
    [
        ("/risk", b"docs", b"risk/docs"),
        ("/risk/", b"docs", b"docs"),
        ("/risk/score", b"docs", b"docs"),
        ("/risk", b"https://example.org/", b"https://example.org/"),
        ("/risk", b"//example.org/", b"//example.org/"),
    ],
)
def test_a_place_beside_the_root_is_found_with_and_without_a_slash(path: str, location: bytes, wanted: bytes) -> None:
    assert answer_headers([(b"location", location)], "/risk", path)[1] == [(b"location", wanted)]


def test_who_called_is_added_behind_what_a_proxy_said() -> None:
    made = dict(
        forwarded(
            {b"x-forwarded-for": b"1.1.1.1", b"x-forwarded-proto": b"https", b"host": b"h"}, "2.2.2.2", is_encrypted=False, prefix="/risk"
        )
    )
    assert made == {
        b"x-forwarded-for": b"1.1.1.1, 2.2.2.2", b"x-forwarded-proto": b"https", b"x-forwarded-host": b"h", b"x-forwarded-prefix": b"/risk",
    }  # fmt: skip
    assert dict(forwarded({}, "", is_encrypted=True, prefix="")) == {b"x-forwarded-for": b"unknown", b"x-forwarded-proto": b"https"}


# counting


@given(st.floats(1e-3, 1e6))
def test_a_latency_is_counted_under_the_least_bound_above_it(latency_ms: float) -> None:
    index = find_bound(latency_ms)
    assert latency_ms <= BOUNDS_MS[index] * (1 + 1e-9) or index == len(BOUNDS_MS) - 1
    assert index == 0 or latency_ms > BOUNDS_MS[index - 1] * (1 - 1e-6)


def test_a_window_has_what_happened_in_it_and_totals_keep_growing() -> None:
    meter = Meter(0.0)
    meter.begin(0.0)
    meter.begin(0.5)
    meter.leave(1.0)
    meter.count(200, 1.0, "a")
    window = meter.take(1.0)
    assert window is not None
    assert (window["in_flight_seconds"], window["peak"], window["in_flight"], window["requests"]) == (1.5, 2, 1, 1)
    assert window["replicas"] == {"a": 1}
    meter.leave(2.0)
    meter.count(503, 0.002, "a")
    later = meter.take(2.0)
    assert later is not None
    assert (later["in_flight_seconds"], later["errors"], later["in_flight"]) == (1.0, 1, 0)
    assert meter.histogram()[1] == 2
    assert meter.histogram()[0][-1][1] == 2
    last = meter.take(3.0)
    assert last is not None and last["requests"] == 0, "the first quiet second is told of"
    assert meter.take(4.0) is None


# comparison


@pytest.mark.parametrize(
    ("one", "other", "where"),
    [
        (b'{"predictions":[0.1,0.2]}', b'{"predictions": [0.1, 0.20000000001]}', ""),
        (b'{"predictions":[0.1],"id":"a","version":"3"}', b'{"version":"4","id":"b","predictions":[0.1]}', ""),
        (b'{"predictions":[1]}', b'{"predictions":[1.0]}', ""),
        (b'{"predictions":[0.1,0.2]}', b'{"predictions":[0.1,0.3]}', "/predictions/1"),
        (b'{"predictions":[0.1]}', b'{"predictions":[0.1,0.3]}', "/predictions/1"),
        (b'{"predictions":[true]}', b'{"predictions":[1]}', "/predictions/0"),
        (b'{"predictions":["1"]}', b'{"predictions":[1]}', "/predictions/0"),
        (b'{"a/b":{"~":1}}', b'{"a/b":{"~":2}}', "/a~1b/~0"),
        (b'{"inner":{"id":1}}', b'{"inner":{"id":2}}', "/inner/id"),
        (b'{"a":1}', b'{"b":1}', "/a"),
        (b"1", b"2", "/"),
        (b"null", b"0", "/"),
        (b"{", b"[", "body"),
    ],
)
def test_answers_are_compared_by_what_they_say(one: bytes, other: bytes, where: str) -> None:
    assert find_difference(one, other, b"application/json", b"application/json; charset=utf-8") == where


def test_what_is_not_json_is_compared_byte_by_byte_and_what_is_too_long_is_not() -> None:
    assert find_difference(b"\x00", b"\x01", b"application/octet-stream", b"application/octet-stream") == "body"
    assert find_difference(b"\x00", b"\x00", b"a/b", b"a/b") == ""
    assert find_difference(b"1" * 300_000, b"2" * 300_000, b"application/json", b"application/json") is None


@given(json_values)
def test_an_answer_is_equal_to_itself_however_it_is_written(value: Any) -> None:
    one, other = json.dumps(value).encode(), json.dumps(value, indent=2).encode()
    assert find_difference(one, other, b"application/json", b"application/json") == ""


# the command line


def test_an_admin_address_that_others_can_reach_needs_a_token(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="token"):
        parse_options(["--table", "t", "--admin", "0.0.0.0:9000"])
    (tmp_path / "token").write_text("abc\n")
    made = parse_options(["--table", "t", "--admin", "0.0.0.0:9000", "--admin-token-file", str(tmp_path / "token"), "--listen", "[::1]:80"])
    assert (made.admin_token, made.listen, made.is_local) == ("abc", ("::1", 80), True)
    assert not parse_options(["--table", "t", "--admin", "unix:/x", "--listen", "0.0.0.0:80"]).is_local
    with pytest.raises(ConfigError, match="HOST:PORT"):
        parse_options(["--table", "t", "--admin", "unix:/x", "--listen", "8000"])
    with pytest.raises(ConfigError, match="belong together"):
        parse_options(["--table", "t", "--admin", "unix:/x", "--tls-cert", "c"])
