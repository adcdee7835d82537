"""The page /docs: what the model takes, a form made from that which sends a real request, and the same as a command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any

from fairway.data.schema.modelschema import Column, ModelSchema, TensorSpec
from fairway.serve.schema.examples import example_body, example_csv, example_of
from fairway.serve.schema.values import expectation

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: its own script and style, nothing inline, nothing of anybody else's."""
HEADERS = (
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)
_SCRIPT, _STYLE = b"text/javascript; charset=utf-8", b"text/css; charset=utf-8"
_STATIC = {"docs.js": _SCRIPT, "request.js": _SCRIPT, "docs.css": _STYLE, "icon.svg": b"image/svg+xml"}
_MANY_FIELDS = 12


def find_static(name: str) -> tuple[bytes, bytes] | None:
    """A file of the page and its content type."""
    kind = _STATIC.get(name)
    if kind is None:
        return None
    return resources.files("fairway.serve.schema").joinpath("static", name).read_bytes(), kind


def render_docs(schema: ModelSchema, name: str, version: str = "", *, methods: Sequence[str] = (), is_open: bool = True) -> str:
    """The page; its links are relative, so it stands wherever it is reached."""
    title = str(schema.document.get("title", "")) or name
    about = str(schema.document.get("description", ""))
    first = f'<p class="about">{escape(about)}</p>' if about else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)} · try it</title>
<link rel="icon" href="docs/icon.svg">
<link rel="stylesheet" href="docs/docs.css">
<script type="module" src="docs/docs.js"></script>
</head>
<body>
<header class="top">
<div><h1>{escape(title)}</h1>{f'<span class="version">version {escape(version)}</span>' if version else ""}</div>
<nav><a href="#try">Try it</a> <a href="#takes">What it takes</a> <a href="#ways">Other ways</a> <a href="openapi.json">OpenAPI</a></nav>
</header>
<main>
{first}
<section id="try" class="try">
{_form(schema, methods, is_open)}
{_ANSWER}
</section>
{_takes(schema)}
{_ways(schema, name)}
</main>
</body>
</html>
"""


_ANSWER = """<div class="answer" aria-live="polite">
<div class="line"><h2>Answer</h2><span id="status" class="status"></span></div>
<div id="faults" class="faults" hidden></div>
<pre id="answer" class="code" tabindex="0">Send a request to see what the model answers.</pre>
<div class="line"><h2>The same as a command</h2><button type="button" id="copy" class="small">Copy</button></div>
<pre id="curl" class="code" tabindex="0"></pre>
</div>"""


def _form(schema: ModelSchema, methods: Sequence[str], is_open: bool) -> str:
    has_fields = bool(schema.columns or schema.tensors)
    body = example_body(schema)
    text = _pretty(body) if body is not None else '{"inputs": null}' if not schema.takes_body and schema.is_known else "{}"
    tabs = """<div class="tabs" role="tablist">
<button type="button" role="tab" id="tab-fields" aria-controls="fields" aria-selected="true">Form</button>
<button type="button" role="tab" id="tab-json" aria-controls="json" aria-selected="false">JSON</button>
</div>"""
    choices = "".join(f"<option>{escape(method)}</option>" for method in methods)
    method = f'<label class="field short">Method <select id="method"><option value="">as served</option>{choices}</select></label>'
    return f"""<form id="form" novalidate data-kind="{schema.kind}" data-body="{"1" if schema.takes_body else ""}">
<div class="line"><h2>Request</h2>{tabs if has_fields else ""}</div>
<div id="fields" role="tabpanel"{"" if has_fields else " hidden"}>{_fields(schema)}</div>
<div id="json" role="tabpanel"{" hidden" if has_fields else ""}>
<label class="visually-hidden" for="text">The request's body</label>
<textarea id="text" class="code" spellcheck="false" rows="14">{escape(text)}</textarea>
</div>
<div class="line send">{method if len(methods) > 1 else ""}
<label class="field short" id="key-field"{" hidden" if is_open else ""}>Key
<input id="key" type="password" autocomplete="off" placeholder="fk1.…"></label>
<button type="submit" id="send">Send</button></div>
</form>"""


def _fields(schema: ModelSchema) -> str:
    example = example_of(schema)
    if schema.kind == "tensors":
        arrays = example if isinstance(example, dict) else {}
        return '<div class="grid">' + "".join(_array(spec, arrays.get(spec.name)) for spec in schema.tensors) + "</div>"
    row: Any = example[0] if isinstance(example, list) and example else example
    if isinstance(row, list):
        row = dict(zip(schema.names, row, strict=False))
    values: dict[str, Any] = row if isinstance(row, dict) else {}
    dense = " dense" if len(schema.columns) > _MANY_FIELDS else ""
    return f'<div class="grid{dense}">' + "".join(_field(n, column, values) for n, column in enumerate(schema.columns)) + "</div>"


def _field(number: int, column: Column, values: dict[str, Any]) -> str:
    """A label, an input, what is expected, and where a fault is told."""
    value = values.get(column.name)
    needs = "" if column.required else '<span class="quiet">optional</span>'
    lack = "null" if column.nullable else "left out"
    said = {
        "class": "value",
        "id": f"f{number}",
        "data-name": column.name,
        "data-type": column.type,
        "aria-describedby": f"h{number} e{number}",
    }
    if not column.required:
        said["data-optional"] = "1"
    if column.nullable:
        said["data-nullable"] = "1"
    attributes = " ".join(f'{key}="{escape(text)}"' for key, text in said.items())
    may_lack = column.nullable or not column.required
    if column.choices or column.type == "boolean":
        choices = [choice for choice in column.choices if choice is not None] or [True, False]
        options = [f'<option value="">({lack})</option>'] if may_lack else []
        for choice in choices:
            text = json.dumps(choice, ensure_ascii=False)
            picked = " selected" if choice == value and type(choice) is type(value) else ""
            options.append(f'<option value="{escape(text)}"{picked}>{escape(choice if isinstance(choice, str) else text)}</option>')
        control = f"<select {attributes}>{''.join(options)}</select>"
    else:
        is_text = isinstance(value, str) and column.type == "string"
        shown = "" if value is None else str(value) if is_text else json.dumps(value, ensure_ascii=False)
        mode = ' inputmode="decimal"' if column.type in ("number", "integer") else ""
        empty = f' placeholder="{lack}"' if may_lack else ""
        control = f'<input type="text"{mode}{empty} autocomplete="off" value="{escape(shown)}" {attributes}>'
    about = escape(column.description or expectation(column))
    return f"""<div class="field"><label for="f{number}">{escape(column.name)} {needs}</label>{control}
<p class="hint" id="h{number}">{about}</p><p class="fault" id="e{number}" hidden></p></div>"""


def _array(spec: TensorSpec, value: Any) -> str:
    shape = " × ".join("any" if size < 0 else str(size) for size in spec.shape)
    name, about = escape(spec.name), escape(f"{spec.description} {spec.datatype} of shape {shape}, as nested lists".strip())
    return f"""<div class="field wide"><label for="t-{name}">{name}</label>
<textarea class="value code" id="t-{name}" data-name="{name}" data-type="array" rows="6" spellcheck="false">
{escape(_pretty(value))}</textarea>
<p class="hint">{about}</p><p class="fault" hidden></p></div>"""


def _takes(schema: ModelSchema) -> str:
    rows = [
        (column.name, expectation(column) + ("" if column.required else " (may be left out)"), column.datatype, column.description)
        for column in schema.columns
    ]
    rows += [
        (spec.name, f"an array of shape {list(spec.shape)}".replace("-1", "any"), spec.datatype, spec.description)
        for spec in schema.tensors
    ]
    if not rows:
        said = _pretty(schema.inputs) if schema.is_known else "Nothing is said of what this model takes: any JSON goes through."
        return f'<section id="takes"><h2>What it takes</h2><pre class="code" tabindex="0">{escape(said)}</pre></section>'
    return f'<section id="takes"><h2>What it takes</h2>{_table(rows)}{_gives(schema)}</section>'


def _gives(schema: ModelSchema) -> str:
    rows = [
        (
            one.name,
            expectation(one) if isinstance(one, Column) else f"an array of shape {list(one.shape)}".replace("-1", "any"),
            one.datatype,
            one.description,
        )
        for one in schema.outputs
    ]
    return f"<h2>What it gives</h2>{_table(rows)}" if rows else ""


def _table(rows: Sequence[tuple[str, str, str, str]]) -> str:
    has_about = any(row[3] for row in rows)
    head = "<th>Field</th><th>Expected</th><th>Datatype</th>" + ("<th>About</th>" if has_about else "")
    lines = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(what)}</td><td><code>{escape(datatype)}</code></td>"
        + (f"<td>{escape(about)}</td>" if has_about else "")
        + "</tr>"
        for name, what, datatype, about in rows
    )
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def _ways(schema: ModelSchema, name: str) -> str:
    """The other protocols, one line each."""
    predict = "Rows as JSON, CSV, an Arrow stream or Parquet" if schema.kind == "columns" else "JSON, as above"
    ways = [
        ("POST predict", predict + "; the answer as JSON, CSV, events"),
        ("POST score", "Azure ML's: the body goes to the script, what it returns comes back"),
        (f"POST v1/models/{name}:predict", "TensorFlow Serving's and KServe's V1"),
        ("POST invocations", "MLflow's"),
        (f"POST v2/models/{name}/infer", "Open Inference Protocol, also with binary tensors; by gRPC on its own port"),
        ("GET health/ready", "200 when it can be asked"),
    ]
    lines = "".join(f"<tr><th scope='row'><code>{escape(way)}</code></th><td>{escape(what)}</td></tr>" for way, what in ways)
    csv = f'<h3>As CSV</h3><pre class="code" tabindex="0">{escape(example_csv(schema))}</pre>' if schema.columns else ""
    table = f'<div class="scroll" tabindex="0"><table><tbody>{lines}</tbody></table></div>'
    return f'<section id="ways"><h2>Other ways to ask</h2>{table}{csv}</section>'


def _pretty(value: Any) -> str:
    """JSON as people write it: lists of numbers stay on one line."""
    if isinstance(value, list) and value and isinstance(value[0], list | int | float):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, indent=2)
