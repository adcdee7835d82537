"""Words that the structs of all nouns are made of."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fairway.engine.differ import Difference
from fairway.spec.artifact import ArtifactRef
from fairway.spec.graph import Graph
from fairway.spec.outcome import ErrorInfo
from fairway.spec.query import Facets, PipelineStats
from fairway.spec.resources import Resources
from fairway.spec.summary import CacheEntry, RunSummary
from fairway.web.records import struct_of

Count = Annotated[int, Meta(ge=0, le=2**53)]
Limit = Annotated[int, Meta(ge=1, le=1000)]

Text = Annotated[str, Meta(max_length=65536)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Key = Annotated[str, Meta(pattern="^[A-Za-z0-9._/-]{1,512}$")]
RunStatus = Literal["", "running", "succeeded", "failed", "cancelled", "timeout"]

Ref = struct_of(ArtifactRef)
Summary = struct_of(RunSummary)
Error = struct_of(ErrorInfo)
Entry = struct_of(CacheEntry)
GraphData = struct_of(Graph)
FacetsData = struct_of(Facets)
PipelineStatsData = struct_of(PipelineStats)
DifferenceData = struct_of(Difference)
ResourcesData = struct_of(Resources)


class Query(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Parameters of a request."""


class Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request."""
