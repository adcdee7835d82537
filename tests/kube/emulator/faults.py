"""What can go wrong, on demand."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.kube.emulator.failure import ApiError

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster


class Rule:
    """One fault of requests: which, how often, and what happens. `left` counts down."""

    def __init__(self, verb: str, kind: str, name: str, times: int, after: int) -> None:
        self.verb, self.kind, self.name = verb, kind, name
        self.skip, self.left = after, times
        self.met = 0

    def take(self, verb: str, kind: str, name: str) -> bool:
        if self.verb not in ("*", verb) or self.kind not in ("*", kind) or not re.fullmatch(self.name or ".*", name):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.left <= 0:
            return False
        self.left -= 1
        self.met += 1
        return True


class Faults:
    """Faults of the API server here, of nodes and pods by way of the kubelets. Safe to call from any thread.

    `verb` is one of get, list, watch, create, update, patch, apply, delete, deletecollection; `kind` a kind's name ("Pod", "Pod/log"); "*"
    is any; `name` a regular expression. `times` requests are hit, after the first `after` were let through.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._answers: list[tuple[Rule, Callable[[], ApiError]]] = []
        self._lost: list[Rule] = []
        self._hanging: list[Rule] = []
        self._held: list[tuple[Rule, Callable[[], Any]]] = []

    # ---- requests

    def answer(
        self, code: int, verb: str = "*", kind: str = "*", *, name: str = "", times: int = 1, after: int = 0, retry_after: int = 0
    ) -> Rule:
        """Refuse with that status, before anything is done."""
        words = {429: "the server has received too many requests and has asked us to try again later", 500: "etcdserver: request timed out"}
        words |= {503: "apiserver not ready", 504: "Timeout: request did not complete within requested timeout - context deadline exceeded"}
        rule = Rule(verb, kind, name, times, after)
        message = words.get(code, "injected")
        self._answers.append((rule, lambda: ApiError(code, message, retry_after=retry_after)))
        return rule

    def refuse(self, message: str, code: int = 403, verb: str = "create", kind: str = "Pod", *, name: str = "", times: int = 1) -> Rule:
        """Refuse with that message, as an admission webhook does."""
        rule = Rule(verb, kind, name, times, 0)
        self._answers.append((rule, lambda: ApiError(code, message)))
        return rule

    def lose_reply(self, verb: str = "*", kind: str = "*", *, name: str = "", times: int = 1, after: int = 0) -> Rule:
        """Do what is asked, and cut the connection before the answer."""
        rule = Rule(verb, kind, name, times, after)
        self._lost.append(rule)
        return rule

    def hang(self, verb: str = "*", kind: str = "*", *, name: str = "", times: int = 1, after: int = 0) -> Rule:
        """Never answer: the client must give up by itself. Nothing is done."""
        rule = Rule(verb, kind, name, times, after)
        self._hanging.append(rule)
        return rule

    def hold(self, until: Callable[[], Any], verb: str = "*", kind: str = "*", *, name: str = "", times: int = 1, after: int = 0) -> Rule:
        """Answer no sooner than that holds; it is asked after each change, in the cluster's thread."""
        rule = Rule(verb, kind, name, times, after)
        self._held.append((rule, until))
        return rule

    def clear(self) -> None:
        self._held.clear()
        self._answers.clear()
        self._lost.clear()
        self._hanging.clear()

    async def before(self, verb: str, kind: str, name: str) -> None:
        """Called by the API for each request."""
        if any(rule.take(verb, kind, name) for rule in self._hanging):
            self._cluster.ask_waiters()
            await asyncio.Event().wait()
        for rule, until in self._held:
            if rule.take(verb, kind, name):
                await self._cluster.until(until)
        for rule, make in self._answers:
            if rule.take(verb, kind, name):
                self._cluster.ask_waiters()
                raise make()

    def loses(self, verb: str, kind: str, name: str) -> bool:
        return any(rule.take(verb, kind, name) for rule in self._lost)

    # ---- watches

    def lose_watches(self, kind: str = "*") -> None:
        """Cut the connections of the watches that are open."""
        self._cluster.call(lambda: self._cluster.api.cut_watches(kind))

    def freeze_watches(self, kind: str = "*") -> None:
        """Leave the watches that are open as they are, and never send anything on them again."""
        self._cluster.call(lambda: self._cluster.api.freeze_watches(kind))

    def expire(self) -> None:
        """Forget the history: a watch that resumes from before now gets 410."""

        def forget() -> None:
            self._cluster.memory.expire()
            self._cluster.api.forget_pages()

        self._cluster.call(forget)

    def bookmark(self) -> None:
        """Send a bookmark on each watch that allows them."""
        self._cluster.call(self._cluster.api.send_bookmarks)

    # ---- rights

    def deny(self, verb: str, resource: str) -> None:
        """The person of the kubeconfig may not do that; "*" is any. `resource` is a plural, with its subresource: "pods/log"."""
        self._cluster.authority.denied.append((verb, resource))

    # ---- pods and nodes

    def __getattr__(self, name: str) -> Any:
        """The faults of pods and nodes; see `mishaps.py`."""
        mishap = getattr(self._cluster.mishaps, name)
        return lambda *args, **options: self._cluster.call(lambda: mishap(*args, **options))
