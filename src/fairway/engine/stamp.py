"""`python -m fairway.engine.stamp FOLDER`: what the Job of an exported pipeline does. Sends what the run needs to the server beside it, and
then the run. Idempotent: a run that is there already is not started again."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from urllib.parse import quote

from fairway.errors import ConfigError, FairwayError
from fairway.store.http import HttpArtifactStore
from fairway.store.serverapi import ServerApi

_PATIENCE_S = 1800.0  # the server's image may have to be pulled first


def stamp(folder: str, variables: Mapping[str, str]) -> str:
    """Submit the run in `folder`; its id. Raises what the server refuses it with."""
    with open(os.path.join(folder, "run.json"), encoding="utf-8") as file:
        started = json.load(file)
    api, blobs = find_urls(variables)
    server = ServerApi(api, variables.get("FAIRWAY_TOKEN", ""), blobs_url=blobs, patience_s=_PATIENCE_S)
    run = str(started["run"])
    if server.find(f"/runs/{quote(run)}") is not None:
        return run
    with tempfile.TemporaryDirectory() as cache, zipfile.ZipFile(os.path.join(folder, "blobs.zip")) as packed:
        store = HttpArtifactStore(server, cache)
        for key in packed.namelist():
            store.put(key, packed.read(key))
    server.send("POST", "/runs", {"started": started})
    return run


def find_urls(variables: Mapping[str, str]) -> tuple[str, str]:
    """Of the API and of blobs: by the Service's address where the pod was told it, else by its name."""
    name = variables.get("FAIRWAY_SERVER", "")
    ports = variables.get("FAIRWAY_PORTS", "").split(",")
    if not name or len(ports) != 2:
        raise ConfigError("which server is meant?", hint="the Job of `fairway export` sets FAIRWAY_SERVER and FAIRWAY_PORTS")
    host = variables.get(f"{name.upper().replace('-', '_')}_SERVICE_HOST", name)
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{ports[0]}", f"http://{host}:{ports[1]}"


def main(words: list[str]) -> int:
    """Submit, say so; returns the exit status."""
    try:
        run = stamp(words[0], os.environ)
    except FairwayError as error:
        sys.stderr.write(f"error: {error}\n  {error.hint}\n")
        return error.exit_status
    sys.stdout.write(f"the run {run} is submitted\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
