"""R: a worker beside every rank; rank 0 runs the step, where `source(Sys.getenv("FAIRWAY_R")); cl <- gang_cluster()` is a `parallel`
cluster of them, and `future::plan(future::cluster, workers = cl)` takes it as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairway.spec.gang import Gang, Place, Service
from fairway.train.frameworks.plain import Plain

CLIENT, WORKER = "gang.R", "worker.R"

_CALL = """fairway_call <- function(side, rank, timeout) {
  settings <- list(Sys.getenv("FAIRWAY_R_HOST"), port = as.integer(Sys.getenv("FAIRWAY_R_PORT")), blocking = TRUE, open = "a+b",
    timeout = timeout)
  if ("options" %in% names(formals(socketConnection))) settings$options <- "no-delay"
  con <- do.call(socketConnection, settings)
  writeBin(charToRaw(paste0(Sys.getenv("FAIRWAY_GANG_KEY"), " ", side, " ", rank, "\n")), con)
  con
}
"""
_CLIENT = f"""# A cluster of the gang's processes for R's packages parallel and future. `timeout`: seconds to wait for a worker to come.
gang_cluster <- local({{
{_CALL}  function(timeout = 600L) {{
    hosts <- strsplit(Sys.getenv("FAIRWAY_HOSTS"), ",")[[1]]
    cl <- lapply(seq_along(hosts), function(number) {{
      con <- fairway_call("step", number - 1L, timeout)
      if (length(readBin(con, "raw", 1L)) == 0L) {{
        close(con)
        stop("the R worker of rank ", number - 1L, " did not come in ", timeout, " s; its last lines are in the log of its rank")
      }}
      socketTimeout(con, 30L * 24L * 3600L)
      structure(list(con = con, host = hosts[[number]], rank = number), class = "SOCKnode")
    }})
    class(cl) <- c("SOCKcluster", "cluster")
    cl
  }}
}})
"""
_WORKER = f"""# Waits until the step asks for its cluster, works for it until it is stopped, and waits again.
# All in one function: what a cluster's user does with the workers' global variables must not touch it.
local({{
{_CALL}  rank <- Sys.getenv("FAIRWAY_RANK")
  ask <- function() suppressWarnings(tryCatch(fairway_call("worker", rank, 30L * 24L * 3600L), error = function(e) NULL))
  repeat {{
    while (is.null(con <- ask())) Sys.sleep(0.1)
    try(parallel:::workLoop(structure(list(con = con), class = "SOCKnode")), silent = TRUE)
    try(close(con), silent = TRUE)
  }}
}})
"""


class R(Plain):
    """Rank 0 runs the step, workers run beside all ranks. R scripts that are ranks themselves go with framework "plain"."""

    name = "r"
    title = "R"
    style = "client"
    source = "https://stat.ethz.ch/R-manual/R-devel/library/parallel/html/makeCluster.html"

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank: the file that makes the cluster, where its relay listens, and what it asks for."""
        return {
            **super().environment(place, gang),
            "FAIRWAY_R": f"{place.folder}/{CLIENT}",
            "FAIRWAY_R_HOST": place.hosts[0],
            "FAIRWAY_R_PORT": str(place.ports[0][0]),
            "FAIRWAY_GANG_KEY": place.key,
        }

    def files(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """The two R files."""
        return {**super().files(place, gang), CLIENT: _CLIENT, WORKER: _WORKER}

    def services(self, place: Place, gang: Gang) -> Sequence[Service]:
        """A worker beside every rank; beside rank 0 the relay at which they meet the step, for R itself listens on all addresses."""
        worker = Service("R worker", ("Rscript", "--vanilla", f"{place.folder}/{WORKER}"), after=place.endpoint())
        if place.rank:
            return (worker,)
        relay = ("python", "-m", "fairway.train.beside.relay", place.hosts[0], str(place.ports[0][0]))
        return (Service("R relay", relay), worker)
