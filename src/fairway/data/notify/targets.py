"""Where alarms go, from a URL or a command. What a target is called in messages never holds a secret."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from fairway.data.notify.messages import Message, render_json, render_mail, render_slack
from fairway.errors import ConfigError

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_HINT = (
    "write https://… (JSON by POST), slack+https://… (Slack's format), smtp://user@host:587?to=ann@example.org&from=fairway@example.org, "
    "or command:PROGRAM ARGUMENTS"
)
_TIMEOUT_S = 20.0


class DeliveryError(Exception):
    """A target did not take a message. Its text holds no secret."""


class Target(Protocol):
    """Takes a message, or raises DeliveryError. `key` tells targets apart, also after a restart; `shown` is its name for people."""

    @property
    def key(self) -> str: ...

    @property
    def shown(self) -> str: ...

    def deliver(self, message: Message) -> None: ...


def parse_target(text: str, variables: Mapping[str, str] = os.environ) -> Target:
    """`${NAME}` is replaced from the environment, so that no secret need stand on a command line. Raises ConfigError."""
    if text.startswith(("command:", "cmd:")):
        words = shlex.split(text.partition(":")[2])
        if not words:
            raise ConfigError("this notification names no program", hint=_HINT)
        return CommandTarget(tuple(words))
    missing = [name for name in _VARIABLE.findall(text) if name not in variables]
    if missing:
        raise ConfigError(f"the environment variable {missing[0]} is not set", hint=f"set {missing[0]}, or write the URL without it")
    url = _VARIABLE.sub(lambda match: variables[match[1]], text)
    scheme, _, rest = url.partition("://")
    kind, _, inner = scheme.partition("+")
    try:
        parts = urlsplit(f"{inner or kind}://{rest}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("a notification's URL cannot be read", hint=_HINT) from None
    if kind in ("smtp", "smtps") and host:
        return _parse_mail(parts)
    if (kind in ("http", "https") or (kind == "slack" and inner in ("http", "https"))) and host:
        return PostTarget(parts.geturl(), _shown(parts), is_slack=kind == "slack" or host == "hooks.slack.com")
    raise ConfigError(f"alarms cannot be sent to {kind or 'that'}{'://…' if rest else ''}", hint=_HINT)


def _shown(parts: SplitResult) -> str:
    """The address without what could be a secret: of a webhook, the path is one."""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{'/…' if parts.path.strip('/') or parts.query else ''}"


def _parse_mail(parts: SplitResult) -> MailTarget:
    query = parse_qs(parts.query)
    to = [one.strip() for told in query.get("to", []) for one in told.split(",") if one.strip()]
    unknown = sorted(set(query) - {"to", "from", "tls", "ca"})
    if unknown:
        raise ConfigError(f"an e-mail's URL has no parameter {unknown[0]!r}", hint=_HINT)
    if not to or any("@" not in one or "\n" in one for one in to):
        raise ConfigError(f"{_shown(parts)} does not say to whom e-mails go", hint=_HINT)
    tls = query.get("tls", ["implicit" if parts.scheme == "smtps" else "auto"])[0]
    if tls not in ("auto", "required", "implicit", "off"):
        raise ConfigError(f"tls={tls} is not known", hint="tls=required, tls=off, or smtps:// for TLS from the start")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    sender = query.get("from", [user if "@" in user else f"fairway@{parts.hostname}"])[0]
    port = parts.port or {"implicit": 465}.get(tls, 587 if user else 25)
    shown = f"{_shown(parts).removesuffix('/…')} to {', '.join(to)}"
    return MailTarget(_Server(parts.hostname or "", port, tls, query.get("ca", [""])[0]), user, password, sender, tuple(to), shown)


@dataclass(frozen=True)
class PostTarget:
    """JSON by POST. `Idempotency-Key` is the message's id: who gets one twice can tell."""

    url: str
    shown: str
    is_slack: bool = False

    @property
    def key(self) -> str:
        return ("slack+" if self.is_slack else "") + self.url

    def deliver(self, message: Message) -> None:
        import urllib.error
        import urllib.request

        body: Any = render_slack(message) if self.is_slack else render_json(message)
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.id, "User-Agent": "fairway"}
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                answer.read(1)
        except urllib.error.HTTPError as error:
            with error:
                raise DeliveryError(f"it answered with HTTP status {error.code}") from None
        except Exception as error:  # noqa: BLE001 - a port's boundary, and the error's own text may hold the URL
            raise DeliveryError(_say(error)) from None


@dataclass(frozen=True)
class _Server:
    host: str
    port: int
    tls: str
    authority: str = ""


@dataclass(frozen=True)
class MailTarget:
    """An e-mail by SMTP. `tls` "auto": STARTTLS where the server offers it; a password is only sent encrypted, unless tls=off."""

    server: _Server
    user: str
    password: str
    sender: str
    to: tuple[str, ...]
    shown: str

    @property
    def key(self) -> str:
        return f"smtp {self.server.host}:{self.server.port} {self.sender} {','.join(self.to)}"

    def deliver(self, message: Message) -> None:
        import smtplib

        try:
            with self._connected() as connection:
                if self.user:
                    connection.login(self.user, self.password)
                refused = connection.send_message(self._mail(message), self.sender, list(self.to))
        except smtplib.SMTPAuthenticationError:
            raise DeliveryError("the server does not take the name and password") from None
        except smtplib.SMTPRecipientsRefused:
            raise DeliveryError("the server takes no mail for any of the addresses") from None
        except smtplib.SMTPResponseException as error:
            said = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
            raise DeliveryError(f"the server answered {error.smtp_code}: {said.splitlines()[0][:200] if said else ''}") from None
        except DeliveryError:
            raise
        except Exception as error:  # noqa: BLE001 - a port's boundary, and the error's own text may hold the URL
            raise DeliveryError(_say(error)) from None
        if refused:
            raise DeliveryError(f"the server takes no mail for {', '.join(sorted(refused))}")

    def _connected(self) -> Any:
        import smtplib
        import ssl

        server = self.server
        context = ssl.create_default_context(cafile=server.authority or None)
        if server.tls == "implicit":
            return smtplib.SMTP_SSL(server.host, server.port, timeout=_TIMEOUT_S, context=context)
        connection = smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT_S)
        try:
            connection.ehlo()
            if server.tls != "off" and connection.has_extn("starttls"):
                connection.starttls(context=context)
                connection.ehlo()
            elif server.tls == "required" or (server.tls == "auto" and self.password):
                raise DeliveryError("the server offers no encryption (STARTTLS): use smtps://, or allow it in the open with tls=off")
        except BaseException:
            connection.close()
            raise
        return connection

    def _mail(self, message: Message) -> Any:
        from email.message import EmailMessage
        from email.utils import format_datetime, localtime

        mail = EmailMessage()
        subject, text = render_mail(message)
        mail["Subject"], mail["From"], mail["To"] = subject, self.sender, ", ".join(self.to)
        mail["Date"], mail["Message-ID"] = format_datetime(localtime()), f"<{message.id}@fairway.{self.server.host}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(text)
        return mail


@dataclass(frozen=True)
class CommandTarget:
    """A program: the alarms as JSON on its standard input."""

    words: tuple[str, ...]

    @property
    def key(self) -> str:
        return "command " + shlex.join(self.words)

    @property
    def shown(self) -> str:
        return Path(self.words[0]).name

    def deliver(self, message: Message) -> None:
        import subprocess

        facts = {"FAIRWAY_ALARM_ID": message.id, "FAIRWAY_ALARM_HEADLINE": message.headline}
        try:
            done = subprocess.run(
                self.words,
                input=json.dumps(render_json(message)),
                env={**os.environ, **facts},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=3 * _TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DeliveryError(f"it took longer than {3 * _TIMEOUT_S:g} s") from None
        except OSError as error:
            raise DeliveryError(f"it could not be started: {error.strerror}") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise DeliveryError(f"it ended with exit code {done.returncode}" + (f": {said[-1][:200]}" if said else ""))


def parse_targets(texts: Sequence[str], variables: Mapping[str, str] = os.environ) -> list[Target]:
    """Each target once. Raises ConfigError."""
    return list({target.key: target for target in (parse_target(text, variables) for text in texts)}.values())


def _say(error: Exception) -> str:
    """The error without an address: it may hold a secret."""
    import ssl

    inner = getattr(error, "reason", None)
    reason = inner if isinstance(inner, Exception) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {reason.verify_message}"
    if isinstance(reason, TimeoutError):
        return f"it did not answer within {_TIMEOUT_S:g} s"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror[0].lower() + reason.strerror[1:]
    return type(reason).__name__
