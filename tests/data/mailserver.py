"""A small SMTP server: enough of RFC 5321 for smtplib, with STARTTLS or TLS from the start, and AUTH PLAIN. It keeps what it gets."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import ipaddress
import socketserver
import ssl
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any


class MailServer:
    """Serves on a port of its own until closed. `refuse`: answers to the next RCPT commands, each used once."""

    def __init__(self, *, certificate: Path | None = None, implicit: bool = False, login: tuple[str, str] | None = None) -> None:
        self.mails: list[EmailMessage] = []
        self.encrypted: list[bool] = []
        self.refuse: list[str] = []
        self.arrived = threading.Condition()
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self.implicit, self.login = implicit, login
        owner = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    _Session(owner, self.request).run()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def wait(self, count: int) -> list[EmailMessage]:
        """The mails, once there are so many."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.mails) >= count, 60), f"{len(self.mails)} mails came"
        return self.mails

    def __enter__(self) -> MailServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Session:
    def __init__(self, server: MailServer, connection: Any) -> None:
        self.server, self.connection = server, connection
        self.is_secure = self.is_known = False
        if server.implicit:
            self._secure()
        self.file = self.connection.makefile("rb")

    def _secure(self) -> None:
        assert self.server.context is not None
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.is_secure = True

    def say(self, text: str) -> None:
        self.connection.sendall(text.encode() + b"\r\n")

    def run(self) -> None:
        self.say("220 test")
        while line := self.file.readline():
            word, _, rest = line.decode().strip().partition(" ")
            if word.upper() == "QUIT":
                self.say("221 bye")
                return
            self.answer(word.upper(), rest)

    def answer(self, word: str, rest: str) -> None:
        server = self.server
        if word == "EHLO":
            offered = ["test"]
            offered += ["STARTTLS"] if server.context is not None and not self.is_secure else []
            offered += ["AUTH PLAIN"] if server.login else []
            self.say("\r\n".join(f"250{'-' if place < len(offered) - 1 else ' '}{one}" for place, one in enumerate(offered)))
        elif word == "STARTTLS":
            self.say("220 go on")
            self._secure()
            self.file = self.connection.makefile("rb")
        elif word == "AUTH":
            told = tuple(base64.b64decode(rest.split()[1]).decode().split("\0")[1:])
            self.is_known = told == server.login
            self.say("235 yes" if self.is_known else "535 no")
        elif word == "RCPT" and server.refuse:
            self.say(server.refuse.pop(0))
        elif word == "MAIL" and server.login and not self.is_known:
            self.say("530 who are you?")
        elif word == "DATA":
            self.say("354 go on")
            self.keep()
            self.say("250 kept")
        else:
            self.say("250 ok")

    def keep(self) -> None:
        lines: list[bytes] = []
        while (line := self.file.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        with self.server.arrived:
            self.server.mails.append(mail)  # type: ignore[arg-type]
            self.server.encrypted.append(self.is_secure)
            self.server.arrived.notify_all()


def make_certificate(path: Path) -> Path:
    """A key and a certificate for 127.0.0.1 that signs itself, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path
