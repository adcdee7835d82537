"""`fairway serve`: one inference server in the foreground."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from fairway.cli.serving import parse_pairs, parse_value, read_limits
from fairway.cli.style import paint
from fairway.errors import ConfigError, FairwayError, UnsupportedError

if TYPE_CHECKING:
    from fairway.serve.replica.front import Front


@click.command("serve")
@click.argument("source")
@click.option("--schema", default="", metavar="FILE", help="Of inputs and outputs; else the model's own.")
@click.option("--port", default=8080, metavar="N", type=click.IntRange(0, 65535), help="Where to listen (8080); 0: any that is free.")
@click.option("--grpc-port", default=-1, type=click.IntRange(-1, 65535), metavar="N", help="Also speak gRPC there.")
@click.option("--host", default="127.0.0.1", metavar="HOST", help="Let other machines in; with a --token-file.")
@click.option("--token-file", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="Callers must send this.")
@click.option("--tls-cert", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="Speak HTTPS; also --tls-key FILE.")
@click.option("--tls-key", metavar="FILE", type=click.Path(exists=True, dir_okay=False), hidden=True, help="Its key.")
@click.option("--workers", default=1, metavar="N", type=click.IntRange(1, 256), help="Model processes.")
@click.option("--method", default="", metavar="NAME", help="What to call: predict, predict_proba, …")
@click.option("--batch/--no-batch", default=None, hidden=True, help="Join rows of waiting requests (scripts: off unless asked for).")
@click.option("--limits", multiple=True, metavar="NAME=N", help="queue, deadline_s, concurrency, batch_rows, …")
@click.option("--option", "more", multiple=True, metavar="NAME=VALUE", help="Of the loader: device=cuda, class=net.py:Net, …")
@click.option("--trust", is_flag=True, help="Load pickles and code inside model folders.")
@click.option("--name", default="", metavar="NAME", hidden=True, help="The model's name in protocols that have one.")
@click.option("--quiet", is_flag=True, help="No line for each request.")
@click.pass_obj
def command(folder: str, source: str, **given: Any) -> int:
    """Serve SOURCE here until Ctrl-C: a script, a model's folder or file, RUN/OUTPUT.

    \b
    Examples:
      fairway serve score.py --schema schema.json
      fairway serve runs/42/winner --workers 2
    """
    try:
        from fairway.serve.replica import run
    except ModuleNotFoundError as error:
        raise UnsupportedError(f"serving needs {error.name}", hint="pip install 'fairway[serve]'") from error
    options = _read_options(folder, source, given)
    try:
        return run.run_replica(options, _greet)
    except FairwayError as error:
        trace = getattr(error, "trace", "")
        if trace:
            error.hint = error.hint or "the lines above show where"
        raise


def _read_options(folder: str, source: str, given: dict[str, Any]) -> Any:
    from pathlib import Path

    from fairway.serve.control.sources import resolve_source
    from fairway.serve.replica.options import ReplicaOptions

    if given["host"] not in ("127.0.0.1", "localhost", "::1") and not given["token_file"]:
        raise ConfigError(
            f"--host {given['host']} lets other machines in, and nothing asks who they are",
            hint="give a --token-file, or deploy it: endpoints have keys for each caller",
        )
    loader: dict[str, Any] = {name: parse_value(text) for name, text in parse_pairs(given["more"], "--option").items()}
    loader |= {"trust": True} if given["trust"] else {}
    loader |= {"method": given["method"]} if given["method"] else {}
    loader |= {} if given["batch"] is None else {"batch": given["batch"]}
    found = resolve_source(source, folder)
    return ReplicaOptions(
        folder=found.folder,
        schema=given["schema"],
        name=given["name"] or found.name,
        host=given["host"],
        port=given["port"],
        grpc_port=given["grpc_port"],
        workers=given["workers"],
        limits=read_limits(given["limits"]),
        options=loader,
        token=Path(given["token_file"]).read_text(encoding="utf-8").strip() if given["token_file"] else "",
        certificate=given["tls_cert"] or "",
        key=given["tls_key"] or "",
        quiet=given["quiet"],
    )


def _greet(front: Front, listening: dict[str, Any]) -> None:
    """Say where it is and how to try it: data on stdout, talk on stderr."""
    url = listening["url"]
    print(url, flush=True)
    lines = [f"{paint('ready', 'green', sys.stderr)}: {front.name} ({front.package.kind}) at {url}"]
    if "grpc" in listening:
        lines.append(f"  gRPC at {listening['grpc']}")
    lines.append(f"  try it: {url}/docs")
    if front.package.example is not None:
        body = json.dumps(front.package.example)
        file = os.path.join(front.package.folder, "example.json")
        data = f"'{body}'" if len(body) < 300 and "'" not in body else f"@{file}" if os.path.exists(file) else ""
        if data:
            lines.append(f"  curl -s {url}/predict -H 'content-type: application/json' -d {data}")
    lines.append("  Ctrl-C ends it once what is under way is answered")
    sys.stderr.write("\n".join(lines) + "\n")
