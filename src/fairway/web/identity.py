"""Who asks, and what they may see and do. Pure."""

from __future__ import annotations

from fairway.spec.record import Record, record
from fairway.spec.target import ROLES


@record
class Identity(Record):
    """A `user` with a `role` ("view", "run", "admin"; "" may nothing), of `projects` (() = all of them).

    `via`: "token" for a header of a program, "session" for a browser's cookie, "oidc" for one that an identity provider has let in.
    """

    user: str
    role: str = ""
    projects: tuple[str, ...] = ()
    via: str = "token"

    def may(self, role: str) -> bool:
        """May it do what `role` stands for?"""
        return self.role in ROLES and ROLES.index(self.role) >= ROLES.index(role)

    def sees(self, project: str) -> bool:
        """May it see runs of `project`?"""
        return not self.projects or project in self.projects

    @property
    def sees_all(self) -> bool:
        """May it see the runs of every project?"""
        return not self.projects


NOBODY = Identity("", via="")


@record
class Account(Record):
    """What a user's token stands for now. `mark` changes when the token does: what was granted for the old one is void then."""

    identity: Identity
    mark: str
