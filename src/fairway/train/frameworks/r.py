"""R: a worker beside every rank; rank 0 runs the step, where `source(Sys.getenv("FAIRWAY_R")); cl <- gang_cluster()` is a `parallel`
cluster of them, and `future::plan(future::cluster, workers = cl)` takes it as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairway.spec.gang import Gang, Place, Service
from fairway.train.frameworks.plain import Plain

CLIENT, WORKER = "gang.R", "worker.R"

_CLIENT = """# A cluster of the gang's processes for R's packages parallel and future.
gang_cluster <- function(timeout = 600) {
  port <- as.integer(Sys.getenv("FAIRWAY_R_PORT"))
  hosts <- strsplit(Sys.getenv("FAIRWAY_HOSTS"), ",")[[1]]
  # "manual": the workers have been started already and call us; what R prints for somebody who has to start them is dropped.
  utils::capture.output(cl <- parallel::makePSOCKcluster(
    hosts, manual = TRUE, master = hosts[[1]], port = port, timeout = timeout, setup_strategy = "sequential"))
  cl
}
"""
_WORKER = """# Waits until the step asks for its cluster, works for it until it is stopped, and waits again.
# All in one function: what a cluster's user does with the workers' global variables must not touch it.
local({
  host <- Sys.getenv("FAIRWAY_R_HOST")
  port <- as.integer(Sys.getenv("FAIRWAY_R_PORT"))
  ask <- function() suppressWarnings(tryCatch(
    socketConnection(host, port = port, blocking = TRUE, open = "a+b", timeout = 30L * 24L * 3600L), error = function(e) NULL))
  repeat {
    while (is.null(con <- ask())) Sys.sleep(0.1)
    try(parallel:::workLoop(structure(list(con = con), class = "SOCKnode")), silent = TRUE)
    try(close(con), silent = TRUE)
  }
})
"""


class R(Plain):
    """Rank 0 runs the step, workers run beside all ranks. R scripts that are ranks themselves go with framework "plain"."""

    name = "r"
    title = "R"
    style = "client"
    source = "https://stat.ethz.ch/R-manual/R-devel/library/parallel/html/makeCluster.html"

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank: the file that makes the cluster, and where it will listen."""
        return {
            **super().environment(place, gang),
            "FAIRWAY_R": f"{place.folder}/{CLIENT}",
            "FAIRWAY_R_HOST": place.hosts[0],
            "FAIRWAY_R_PORT": str(place.ports[0][0]),
        }

    def files(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """The two R files."""
        return {**super().files(place, gang), CLIENT: _CLIENT, WORKER: _WORKER}

    def services(self, place: Place, gang: Gang) -> Sequence[Service]:
        """A worker beside every rank."""
        return (Service("R worker", ("Rscript", "--vanilla", f"{place.folder}/{WORKER}")),)
