"""Notifications, against real servers and programs."""

from __future__ import annotations

import datetime as dt
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fairway.data.notify import Notifier, parse_target
from fairway.data.notify.messages import Message, render_mail, render_slack
from fairway.data.notify.notifier import Pace
from fairway.data.notify.targets import DeliveryError, parse_targets
from fairway.errors import ConfigError, ConflictError
from tests.data.mailserver import MailServer, make_certificate

FAST = Pace(apart_s=0.0, first_retry_s=0.01, last_retry_s=0.05)


class Raised:
    """An alarm."""

    def __init__(self, number: int, message: str = "", state: str = "raised") -> None:
        self.told = {
            "id": f"a{number}", "at": dt.datetime(2026, 3, 2, tzinfo=dt.UTC).isoformat(), "kind": "time-gap", "column": "at",
            "severity": "error", "message": message or f"alarm {number}", "value": 1.0, "threshold": 0.0, "state": state,
        }  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        return self.told


class Receiver:
    """A web server that keeps what is posted; `answers`: statuses of the next answers, then 200. `hold`: answers wait for it."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.headers: list[Any] = []
        self.paths: list[str] = []
        self.answers: list[int] = []
        self.hold = threading.Event()
        self.hold.set()
        self.arrived = threading.Condition()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with owner.arrived:
                    owner.bodies.append(body)
                    owner.headers.append(self.headers)
                    owner.paths.append(self.path)
                    owner.arrived.notify_all()
                owner.hold.wait(60)
                self.send_response(owner.answers.pop(0) if owner.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?token=s3cret"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def wait(self, count: int) -> list[Any]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.bodies) >= count, 60), f"{len(self.bodies)} came"
        return self.bodies

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def _ids(body: Any) -> list[str]:
    return [one["id"] for one in body["alarms"]]


def test_a_webhook_gets_json_with_an_id(receiver: Receiver) -> None:
    with Notifier([parse_target(receiver.url)], source="sensors", pace=FAST) as notifier:
        notifier.send([Raised(1, "`at` is late")])
        (body,) = receiver.wait(1)
    assert body["event"] == "data.alarms"
    assert (body["source"], body["count"], body["headline"]) == ("sensors", 1, "sensors: `at` is late")
    assert body["alarms"][0]["message"] == "`at` is late"
    assert receiver.headers[0]["Idempotency-Key"] == body["id"]
    assert receiver.paths == ["/hook?token=s3cret"]


def test_what_fails_is_sent_again_with_the_same_id_and_the_failure_is_told_once(receiver: Receiver) -> None:
    receiver.answers = [503, 500, 404]
    told: list[str] = []
    with Notifier([parse_target(receiver.url)], source="s", pace=FAST, told=told.append) as notifier:
        notifier.send([Raised(1)])
        bodies = receiver.wait(4)
        assert notifier.close() == 0
    assert len({body["id"] for body in bodies}) == 1
    assert len(told) == 2
    assert "does not take alarms: it answered with HTTP status 503" in told[0]
    assert "again" in told[1]
    assert "s3cret" not in "".join(told)


def test_sending_never_waits_and_what_comes_meanwhile_goes_together(receiver: Receiver) -> None:
    receiver.hold.clear()
    with Notifier([parse_target(receiver.url)], source="s", pace=FAST) as notifier:
        notifier.send([Raised(0)])
        receiver.wait(1)  # it has not answered yet
        for number in range(1, 30):
            notifier.send([Raised(number)])
        receiver.hold.set()
        bodies = receiver.wait(2)
    assert [_ids(body) for body in bodies] == [["a0"], [f"a{number}" for number in range(1, 30)]]
    assert bodies[1]["headline"] == "s: 29 alarms"


def test_one_target_does_not_hold_up_another(receiver: Receiver) -> None:
    other = Receiver()
    other.hold.clear()
    with Notifier([parse_target(other.url), parse_target(receiver.url)], source="s", pace=FAST) as notifier:
        notifier.send([Raised(1)])
        other.wait(1)
        receiver.wait(1)  # else both might go together, in one message
        notifier.send([Raised(2)])
        assert sum(len(_ids(body)) for body in receiver.wait(2)) == 2
        other.close()


def test_messages_are_apart(receiver: Receiver) -> None:
    with Notifier([parse_target(receiver.url)], source="s", pace=Pace(apart_s=3600)) as notifier:
        notifier.send([Raised(1)])
        receiver.wait(1)
        notifier.send([Raised(2)])
        notifier.send([Raised(3)])
        assert len(receiver.bodies) == 1
        assert notifier.close() == 0  # the end does not wait an hour
    assert [_ids(body) for body in receiver.bodies] == [["a1"], ["a2", "a3"]]


def test_the_journal_keeps_what_was_not_sent(receiver: Receiver, tmp_path: Path) -> None:
    journal = tmp_path / "alarms.ndjson"
    receiver.answers = [500] * 1000
    first = Notifier([parse_target(receiver.url)], source="s", journal=journal, pace=Pace(0, 0.01, 0.01)).open()
    first.send([Raised(1), Raised(2)])
    receiver.wait(2)
    assert first.close(0.2) == 2
    assert "s3cret" not in journal.read_text()
    receiver.answers, receiver.bodies = [], []
    with Notifier([parse_target(receiver.url)], source="s", journal=journal, pace=FAST):
        receiver.wait(1)
    assert [one for body in receiver.bodies for one in _ids(body)] == ["a1", "a2"]
    assert journal.read_text() != ""
    with Notifier([parse_target(receiver.url)], source="s", journal=journal, pace=FAST) as third:
        assert third.status()[0]["waiting"] == 0
    assert journal.read_text() == ""


_KILLED = """
import sys, os, signal
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.data.test_notify import Raised
from fairway.data.notify import Notifier, parse_target
notifier = Notifier([parse_target({url!r})], source="s", journal=Path({journal!r})).open()
notifier.send([Raised(number) for number in range(40)])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_no_alarm(receiver: Receiver, tmp_path: Path) -> None:
    receiver.hold.clear()
    journal = tmp_path / "alarms.ndjson"
    root = str(Path(__file__).parents[2])
    code = _KILLED.format(root=root, url=receiver.url, journal=str(journal))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    with journal.open("a") as file:
        file.write('{"n": 40, "alarm": {"id": "cut')  # a kill in the middle of a line
    receiver.hold.set()
    with Notifier([parse_target(receiver.url)], source="s", journal=journal, pace=FAST) as notifier:
        notifier.send([Raised(40)])
        assert notifier.close() == 0
    assert {one for body in receiver.bodies for one in _ids(body)} == {f"a{number}" for number in range(41)}


def test_a_journal_is_one_processes(tmp_path: Path) -> None:
    with Notifier([], source="s", journal=tmp_path / "j"), pytest.raises(ConflictError, match="another process"):
        Notifier([], source="s", journal=tmp_path / "j").open()


def test_slack_gets_its_own_format_and_no_flood() -> None:
    message = Message("sensors", tuple(Raised(number, f"<b> & {number}").to_json() for number in range(22)))
    made = render_slack(message)
    text = made["blocks"][0]["text"]["text"]
    assert made["text"] == "sensors: 22 alarms"
    assert "… and 12 more" in text
    assert "&lt;b&gt; &amp; 3" in text
    assert "<b>" not in text
    over = Message("s", (Raised(1, "late", "cleared").to_json(),))
    assert ":large_green_circle: over: late" in render_slack(over)["blocks"][0]["text"]["text"]
    assert over.headline == "s: over: late"


def test_slack_by_url(receiver: Receiver) -> None:
    with Notifier([parse_target("slack+" + receiver.url)], source="s", pace=FAST) as notifier:
        notifier.send([Raised(1)])
        (body,) = receiver.wait(1)
    assert set(body) == {"text", "blocks"}
    assert parse_target("https://hooks.slack.com/services/T0/B0/xyz").is_slack  # type: ignore[attr-defined]


@pytest.mark.parametrize("implicit", [False, True])
def test_mail_is_encrypted_and_signed_in(tmp_path: Path, implicit: bool) -> None:
    certificate = make_certificate(tmp_path / "c.pem")
    with MailServer(certificate=certificate, implicit=implicit, login=("ann", "p@ss")) as server:
        scheme = "smtps" if implicit else "smtp"
        target = parse_target(
            f"{scheme}://ann:${{PASSWORD}}@127.0.0.1:{server.port}?to=a@example.org,b@example.org&from=f@example.org&ca={certificate}",
            {"PASSWORD": "p%40ss"},
        )
        assert "p%40ss" not in target.shown + target.key
        assert "p@ss" not in target.shown + target.key
        with Notifier([target], source="sensors", pace=FAST) as notifier:
            notifier.send([Raised(1, "`at` now comes every 10 s — twice as long\nas before")])
            (mail,) = server.wait(1)
    assert server.encrypted == [True]
    assert mail["Subject"] == "sensors: `at` now comes every 10 s — twice as long as before"
    assert (mail["To"], mail["From"]) == ("a@example.org, b@example.org", "f@example.org")
    assert "every 10 s" in mail.get_content()
    assert mail["Message-ID"].startswith("<")


def test_a_password_is_not_sent_in_the_open(tmp_path: Path) -> None:
    with MailServer(login=("ann", "secret")) as server:
        url = f"smtp://ann:secret@127.0.0.1:{server.port}?to=a@example.org"
        message = Message("s", (Raised(1).to_json(),))
        with pytest.raises(DeliveryError, match="no encryption"):
            parse_target(url).deliver(message)
        parse_target(url + "&tls=off").deliver(message)
        with pytest.raises(DeliveryError, match="name and password"):
            parse_target(url.replace("secret", "wrong") + "&tls=off").deliver(message)
        assert server.encrypted == [False]


def test_an_untrusted_certificate_is_refused(tmp_path: Path) -> None:
    with MailServer(certificate=make_certificate(tmp_path / "c.pem")) as server:
        with pytest.raises(DeliveryError, match="certificate is not trusted"):
            parse_target(f"smtp://127.0.0.1:{server.port}?to=a@example.org").deliver(Message("s", (Raised(1).to_json(),)))
        assert server.mails == []


def test_mail_that_is_put_off_is_sent_again() -> None:
    with MailServer() as server:
        server.refuse = ["450 greylisted, come back later"]
        target = parse_target(f"smtp://127.0.0.1:{server.port}?to=a@example.org")
        with Notifier([target], source="s", pace=FAST) as notifier:
            notifier.send([Raised(1)])
            server.wait(1)


def test_a_mail_of_many_says_how_many_more() -> None:
    subject, text = render_mail(Message("s", tuple(Raised(number).to_json() for number in range(62))))
    assert subject == "s: 62 alarms"
    assert "… and 12 more" in text


def test_a_command_reads_json(tmp_path: Path) -> None:
    program = tmp_path / "page me.sh"
    program.write_text('#!/bin/sh\ncat > "$1"; printf %s "$FAIRWAY_ALARM_HEADLINE" > "$1.head"\n')
    program.chmod(0o755)
    target = parse_target(f"command:'{program}' '{tmp_path / 'out'}'")
    assert target.shown == "page me.sh"
    with Notifier([target], source="s", pace=FAST) as notifier:
        notifier.send([Raised(1, "héllo")])
        assert notifier.close() == 0
    assert _ids(json.loads((tmp_path / "out").read_text())) == ["a1"]
    assert (tmp_path / "out.head").read_text() == "s: héllo"


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    message = Message("s", (Raised(1).to_json(),))
    with pytest.raises(DeliveryError, match="exit code 3: no such pager"):
        parse_target("command:sh -c 'echo no such pager >&2; exit 3'").deliver(message)
    with pytest.raises(DeliveryError, match="could not be started"):
        parse_target(f"command:{tmp_path}/none").deliver(message)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ftp://x/y", "cannot be sent to ftp"),
        ("nowhere", "cannot be sent to nowhere"),
        ("https://", "cannot be sent to https"),
        ("command:", "names no program"),
        ("smtp://host", "does not say to whom"),
        ("smtp://host?to=a@b&cc=d@e", "no parameter 'cc'"),
        ("smtp://host?to=a@b&tls=maybe", "tls=maybe"),
        ("https://host/${NO_SUCH}", "NO_SUCH is not set"),
        ("https://[::1/x", "cannot be read"),
    ],
)
def test_misuse_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_targets([text], {})
    assert problem in str(caught.value)
    assert caught.value.hint


def test_a_target_named_twice_is_told_once() -> None:
    assert len(parse_targets(["https://a/b", "https://a/b", "https://a/c"], {})) == 2


def test_an_address_is_shown_without_what_may_be_a_secret() -> None:
    assert parse_target("https://user:pass@host:1/T0/secret?x=1").shown == "https://host:1/…"
    assert parse_target("smtp://me:pass@host?to=a@b").shown == "smtp://host to a@b"
