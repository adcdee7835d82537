"""R in gangs: clusters of `parallel` and `future` whose workers are the ranks', and R scripts that are ranks themselves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.frameworks.gang_bench import train

assert shutil.which("Rscript"), "apt-get install r-base-core r-cran-future"

COMMAND = """
    import fairway as fw

    fit = fw.command(["Rscript", "fit.R", fw.Out("seen")], name="fit", gang=fw.gang(replicas=2, framework="{framework}"))

    @fw.pipeline
    def gang():
        return fit().seen
"""
CLUSTER = """
    source(Sys.getenv("FAIRWAY_R"))
    cl <- gang_cluster()
    pids <- unlist(parallel::clusterCall(cl, Sys.getpid))
    total <- sum(unlist(parallel::parLapply(cl, 1:100, function(n) n^2)))
    parallel::stopCluster(cl)

    cl <- gang_cluster()  # the same workers again
    future::plan(future::cluster, workers = cl)
    fits <- lapply(1:2, function(n) future::future(c(Sys.getpid(), coef(lm(dist ~ speed, cars[(1:25) * 2 + 1 - n, ])))))
    fits <- future::value(fits)
    parallel::stopCluster(cl)
    alone <- coef(lm(dist ~ speed, cars[(1:25) * 2, ]))
    cat(sprintf('{"me": %d, "pids": [%d, %d], "total": %d, "future": [%d, %d], "off": %g}', Sys.getpid(), pids[[1]], pids[[2]], total,
      fits[[1]][[1]], fits[[2]][[1]], max(abs(fits[[1]][-1] - alone))), file = commandArgs(TRUE)[[1]])
"""
RANKS = """
    # Each rank sums its own numbers and tells rank 0, which listens.
    rank <- as.integer(Sys.getenv("RANK")); world <- as.integer(Sys.getenv("WORLD_SIZE"))
    where <- strsplit(strsplit(Sys.getenv("FAIRWAY_ENDPOINTS"), ",")[[1]][[1]], ":")[[1]]
    mine <- sum(seq(rank + 1, 100, by = world))
    if (rank > 0) {
      repeat {
        con <- suppressWarnings(tryCatch(socketConnection(where[[1]], as.integer(where[[2]]), blocking = TRUE), error = function(e) NULL))
        if (!is.null(con)) break
        Sys.sleep(0.1)
      }
      writeLines(as.character(mine), con)
      close(con)
    } else {
      con <- socketConnection(where[[1]], as.integer(where[[2]]), server = TRUE, blocking = TRUE, timeout = 60)
      total <- mine + as.integer(readLines(con, 1))
      cat(sprintf('{"total": %d, "world": %d}', total, world), file = commandArgs(TRUE)[[1]])
    }
"""


def test_a_cluster_of_the_ranks_workers_serves_parallel_and_future(tmp_path: Path) -> None:
    found = _run(tmp_path, COMMAND.replace("{framework}", "r"), CLUSTER)
    assert found["total"] == sum(n * n for n in range(1, 101))
    assert len({found["me"], *found["pids"]}) == 3
    assert set(found["future"]) == set(found["pids"])
    assert found["off"] < 1e-9


def test_a_script_is_a_rank_by_plain_variables(tmp_path: Path) -> None:
    assert _run(tmp_path, COMMAND.replace("{framework}", "plain"), RANKS) == {"total": 5050, "world": 2}


def _run(folder: Path, pipeline: str, script: str) -> dict[str, Any]:
    return json.loads(Path(train(folder, pipeline, **{"fit.R": script})).read_text())
