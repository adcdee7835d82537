"""A real server in a process of its own: started, killed, started again on the same port. Its attempts run on this machine, or as pods."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from fairway.spec.record import to_plain
from fairway.spec.target import TargetSettings
from fairway.spec.tokens import digest_token, make_user_token
from fairway.step.freeports import free_ports
from fairway.store.serverapi import ServerApi

KEY = "ab" * 32


class ServerProcess:
    """`python -m fairway.web` below `folder`. `token` is that of the user ann. With a `cluster` (a kubeconfig) it stands outside of it, and
    its attempts are pods there; else they are processes of this machine."""

    def __init__(self, folder: Path, *, cluster: str = "", namespace: str = "default", image: str = "", **secrets: str) -> None:
        self.folder, self.home = folder, folder / "home"
        self.environ_of_server: dict[str, str] = {}
        if cluster:
            target = TargetSettings("campus", "kubernetes", image=image, requests_per_s=500.0)
            self.environ_of_server = {
                "KUBECONFIG": cluster,
                "FAIRWAY_NAMESPACE": namespace,
                "FAIRWAY_TARGET": json.dumps(to_plain(target)),
                "FAIRWAY_HOST": "127.0.0.1",
            }
        self.token = make_user_token("ann")
        kept = folder / "secrets"
        kept.mkdir(parents=True)
        (kept / "signing-key").write_text(KEY)
        (kept / "token.ann").write_text(digest_token(self.token))
        (folder / "dotenv").write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))
        self.port = free_ports(1)[0]  # one that no connection is given while the server is away
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> ServerApi:
        return ServerApi(self.url, self.token, patience_s=60)

    def start(self) -> None:
        """Returns when it listens and has taken its runs up."""
        words = [] if self.environ_of_server else ["--target", "local"]
        words += ["--home", str(self.home), "--secrets", str(self.folder / "secrets"), "--port", str(self.port)]
        words += ["--blobs-port", "0", "--dotenv", str(self.folder / "dotenv")]
        environ = {**os.environ, **self.environ_of_server}
        with (self.folder / "said").open("a") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fairway.web", *words],
                env=environ,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(60), "the server does not start"
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), (line, self.said)
        self.port = int(line.rpartition(":")[2])

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def kill(self) -> None:
        """SIGKILL: nothing can be put in order."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        os.kill(process.pid, number)
        status = process.wait(60)
        assert process.stdout is not None
        process.stdout.close()
        return status

    def settings(self, name: str = "campus") -> str:
        """A `fairway.toml` with this server as a target."""
        return f'[targets.{name}]\nkind = "server"\nurl = "{self.url}"\n'

    def environ(self, **more: str) -> dict[str, str]:
        """Variables of a client."""
        return {**os.environ, "FAIRWAY_TOKEN": self.token, **more}

    def follow(self, run: str, until: str) -> list[dict[str, Any]]:
        """The run's events up to the first of the type `until`; waits for it on the server."""
        events: list[dict[str, Any]] = []
        after = 0
        while True:
            answer = self.api.call("GET", f"/runs/{run}/events", query={"after": after, "wait": 20}, timeout_s=80)
            found = answer.json()["items"]
            assert found, f"no {until} comes"
            for item in found:
                events.append(item)
                after = item["seq"]
                if item["type"] == until:
                    return events
