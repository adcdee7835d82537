"""Artifacts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fairway.web.records import Word
from fairway.web.schema.tasks import Origin
from fairway.web.schema.words import Limit, Query, Ref

NeededRun = Annotated[str, Meta(min_length=1, max_length=1024)]


class ArtifactsQuery(Query):
    """`task`: a step, an address or a glob. `type`: the artifact's type or format. `limit`: tasks of one page. `cursor`: `next` of the page
    before."""

    task: Word = ""
    type: Word = ""
    cursor: Word = ""
    limit: Limit = 200


class ArtifactRow(msgspec.Struct, kw_only=True):
    """`artifact` names it in the run: an output of the run, or "TASK.OUTPUT"."""

    artifact: str
    task: str
    output: str
    ref: Ref  # type: ignore[valid-type]


class ArtifactsPage(msgspec.Struct, kw_only=True):
    """`next` is the cursor of the next page, "" on the last one."""

    items: list[ArtifactRow]
    next: str


class ArtifactQuery(Query):
    """`run`: where to look for what the artifact is."""

    run: Word = ""


class ArtifactPlace(msgspec.Struct, kw_only=True):
    """Where a run names it; `task` is "" for the run's own outputs and parameters ("params.NAME")."""

    task: str
    output: str
    ref: Ref  # type: ignore[valid-type]


class ArtifactDetail(msgspec.Struct, kw_only=True):
    """`stored`: its bytes are in the store; a small value may live in its reference alone."""

    digest: str
    stored: bool
    size_bytes: int
    refs: list[ArtifactPlace]


class PreviewQuery(Query):
    """`run`: which names the artifact. `rows`: of a table, files of a folder, items of a list."""

    run: NeededRun
    rows: Annotated[int, Meta(ge=1, le=1000)] = 20


class FileItem(msgspec.Struct, kw_only=True):
    """A file of a folder: an artifact itself."""

    path: str
    digest: str
    size_bytes: int


class Preview(msgspec.Struct, kw_only=True):
    """`kind` says what is set: "value", "text", "table" (`columns`, `rows`, `total`), "files", "items" (one a row), "picture" (its bytes
    can be shown), "none". `complete`: there is no more than this."""

    kind: Literal["value", "text", "table", "files", "items", "picture", "none"]
    complete: bool
    media: str
    meta: dict[str, Any]
    value: Any
    text: str
    columns: list[str]
    rows: list[list[Any]]
    files: list[FileItem]
    total: int


class ContentQuery(Query):
    """`run`: where a small value is found that lives in its reference. `name`: the file's name, for a download."""

    run: Word = ""
    name: Annotated[str, Meta(max_length=200)] = ""


class LineageQuery(Query):
    """`run`: in which. `depth`: steps up and down. `runs`: how many of the newest runs are searched for the artifact too."""

    run: NeededRun
    direction: Literal["both", "up", "down"] = "both"
    depth: Annotated[int, Meta(ge=1, le=100)] = 20
    runs: Annotated[int, Meta(ge=0, le=500)] = 20


class LineageTask(msgspec.Struct, kw_only=True):
    """A task with the digests of what it took and made."""

    task: str
    status: str
    cached_from: Origin | None
    inputs: dict[str, str]
    outputs: dict[str, str]


class LineageData(msgspec.Struct, kw_only=True):
    """`complete`: no task was left out. `other_runs`: which name the artifact too."""

    digest: str
    run: str
    tasks: list[LineageTask]
    complete: bool
    other_runs: list[str]
