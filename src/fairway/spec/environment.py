"""What makes a step hermetic: packages, Python version, variables, image."""

from __future__ import annotations

from fairway.spec.record import Record, field, record


@record
class Environment(Record):
    """`packages` are requirement strings; `project` is a lock or requirements file in the user's tree
    ("uv.lock", "requirements.txt", "pyproject.toml"), relative to the project root. `lock` is the digest of the resolved lock once
    `envs` has locked it ("" = the user's own interpreter). `variables` are set in the attempt's process.
    `image` names a container image (keyed by its digest where known). `built` is an image that was made of the lock for a cluster: it
    holds what the lock says, so it is no part of any key.
    """

    packages: tuple[str, ...] = ()
    python: str = ""
    project: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    image: str = ""
    lock: str = ""
    built: str = ""
