"""`fairway test`: send an endpoint a request, show the answer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from fairway.cli.arguments import on_option, output_option
from fairway.cli.listing import print_json
from fairway.cli.serving import endpoint_argument, open_served, say
from fairway.errors import ConfigError, TaskFailed

_TYPES = {".csv": "text/csv", ".txt": "text/plain"}


@click.command("test")
@endpoint_argument
@click.option("--data", default="", metavar="FILE|JSON", help="What to send, `-` for stdin; else the model's example, or one made up.")
@click.option("--path", default="/predict", metavar="PATH", show_default=True, help="Below the endpoint: /score, /invocations, …")
@click.option("--revision", type=click.IntRange(1), metavar="N", help="This revision, whatever the weights.")
@output_option
@on_option
@click.pass_obj
def command(folder: str, name: str, data: str, path: str, revision: int | None, output: str | None) -> int:
    """Send the endpoint NAME a request, and show what it answers.

    It goes through the gateway as any caller's does; you need no key.

    \b
    Examples:
      fairway test risk
      fairway test risk --data request.json
      fairway test risk --data '{"inputs": [[1, 2]]}' --revision 4
    """
    served = open_served(folder)
    view = served.get(name)
    body, kind = _read(data) if data else (_example(view), "application/json")
    asked = {"body": body, "content_type": kind, "path": path, "revision": revision or 0}
    found = served.api.send("POST", served.path(name, "/ask"), asked)
    if output == "json":
        print_json(found)
    else:
        sys.stdout.write(_pretty(found["body"], found["content_type"]))
        sys.stdout.flush()
        say(f"{found['status']} from revision {found['revision']} in {found['took_ms']:.3g} ms; id {found['id']}")
    if found["status"] >= 400:
        raise TaskFailed(f"{name} answered {found['status']}", hint=f"what its replicas wrote: {served.words} logs {name}")
    return 0


def _example(view: dict[str, Any]) -> str:
    if view.get("example") is None and view.get("schema") is not None:
        from fairway.serve.schema import load_schema
        from fairway.serve.schema.examples import example_body

        body = example_body(load_schema(view["schema"]))
        if body is not None:
            text = json.dumps(body, ensure_ascii=False)
            say(f"there is no example; this request is made up from the schema: {text if len(text) < 300 else text[:300] + '…'}")
            return text
    if view.get("example") is None:
        raise ConfigError(
            f"{view['endpoint']['name']!r} has no example request",
            hint="say what to send: --data FILE; or put example.json beside the model",
        )
    return json.dumps(view["example"])


def _read(data: str) -> tuple[str, str]:
    """(text, content type) of a file, of stdin, or of what stands there itself."""
    if data == "-":
        return sys.stdin.read(), "application/json"
    if data.lstrip()[:1] in ("{", "["):
        return data, "application/json"
    path = Path(data)
    try:
        return path.read_text(encoding="utf-8"), _TYPES.get(path.suffix, "application/json")
    except OSError as error:
        raise ConfigError(f"--data {data}: {error.strerror}", hint="name a file, or write the JSON itself") from None
    except UnicodeDecodeError:
        raise ConfigError(f"--data {data}: it is no text", hint="send binary files with curl --data-binary") from None


def _pretty(text: str, kind: str) -> str:
    if "json" in kind:
        try:
            return json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
        except ValueError:
            pass
    return text if text.endswith("\n") else text + "\n"
