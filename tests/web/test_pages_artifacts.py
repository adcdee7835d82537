"""The pages of artifacts, over real runs: what was made, what it looks like, what it was made of; and that nothing in them acts on us."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

import fairway as fw
from fairway.dsl.load import load_pipeline
from fairway.engine.project import load_project
from fairway.engine.workspace import Workspace
from fairway.web.identity import Identity
from tests.web.recorded import Journals
from tests.web.rig import Server

STRANGER = "u1.stranger.secret"
SOURCE = """
import json
import os

import fairway as fw

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


@fw.step
def prepare(raw: fw.File) -> list[dict]:
    with open(raw) as file:
        return [dict(zip(("name", "paid"), line.strip().split(","))) for line in file]


@fw.step
def train(depth: int, rows: list[dict]) -> fw.Model:
    os.makedirs("model")
    with open("model/weights.txt", "w") as file:
        file.write(f"{depth} {len(rows)}")
    return fw.Model("model", metrics={"auc": depth / 10}, signature={"inputs": {"paid": "float64", EVIL: "int64"}})


@fw.step
def report(models: list[fw.Model]) -> fw.Table:
    return fw.Table([{"auc": m.metrics["auc"], "note": EVIL} for m in models], title=EVIL)


@fw.step
def best(models: list[fw.Model]) -> fw.Metrics:
    return fw.Metrics(auc=max(m.metrics["auc"] for m in models), n=len(models))


@fw.step
def page() -> fw.HTML:
    return fw.HTML("<h1>Hi</h1><script>parent.document.title = 'owned'</script>")


@fw.step
def notes() -> fw.Markdown:
    return fw.Markdown("# Title\\n\\n[x](javascript:alert(1)) " + EVIL)


@fw.step
def value() -> dict:
    return {"text": EVIL, "list": list(range(500)), "more": ["filling"] * 200}


@fw.step
def plot() -> fw.Figure:
    return fw.Figure('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>', title=EVIL)


@fw.step
def interactive() -> fw.Figure:
    class Plot:
        def to_plotly_json(self):
            return {"data": [], "layout": {"title": EVIL}}

        def to_json(self, engine):
            return json.dumps(self.to_plotly_json())

    return fw.Figure(Plot(), title=EVIL)


@fw.step
def folder() -> fw.Directory:
    os.makedirs("out/sub")
    files = {
        "page.html": "<script>1</script>",
        "pic.svg": "<svg/>",
        "readme.md": "![a](pic.svg) ![b](https://e.example/x.png)",
        "sub/run.py": "x = '<b>'",
    }
    for name, text in files.items():
        with open(f"out/{name}", "w") as file:
            file.write(text)
    with open("out/<b>.csv", "w") as file:
        file.write("a,b\\n1,x\\n2,y\\n")
    return fw.Directory("out")


@fw.step
def parts() -> dict:
    return {"raw": b"\\x00\\x01" * 2000, "names": ["a", "b"]}


class Odd:
    pass


@fw.step(trust=True)
def odd() -> Odd:
    return Odd()


@fw.step
def text() -> str:
    return ("a line with " + EVIL + "\\n") * 60


@fw.pipeline
def churn(raw: fw.File = "data.csv", depths: list[int] = [2, 4, 8]):
    rows = prepare(raw)
    models = train(fw.each(depths), rows)
    shown = {"page": page(), "notes": notes(), "value": value(), "plot": plot(), "interactive": interactive(), "text": text(), "odd": odd()}
    return {"models": models, "table": report(models), "metrics": best(models), "folder": folder(), "parts": parts(), **shown}


@fw.pipeline
def many(depths: list[int] = list(range(30))):
    return best(train(fw.each(depths), [{}]))
"""


class World:
    """A server over recorded runs, and a client of it that asks as a browser does."""

    def __init__(self, client: TestClient, home: Path, runs: dict[str, str]) -> None:
        self.client, self.home, self.runs = client, home, runs
        workspace = Workspace(load_project(str(home.parent), variables={}))
        self.refs = {name: {key: out.ref for key, out in _run(workspace, id).outputs.items()} for name, id in runs.items()}
        self.tasks = {
            task.address: task.output_refs["result"] for task in _run(workspace, runs["first"]).tasks.match("*") if task.output_refs
        }

    def get(self, path: str, *, token: str = "", **query: Any) -> Any:
        headers = {"accept": "text/html", **({"Fairway-Token": token} if token else {})}
        return self.client.get(f"http://server{path}?{urlencode(query, doseq=True)}", headers=headers)

    def see(self, name: str, what: str = "preview", run: str = "first", **query: Any) -> str:
        ref = self.refs[run].get(name) or self.tasks[name]
        answer = self.get(f"/artifacts/{ref.digest}{'/' + what if what else ''}", run=self.runs[run], **query)
        assert answer.status_code == 200, answer.text
        return answer.text


def _run(workspace: Workspace, id: str) -> Any:
    from fairway.engine.client import Run

    return Run(workspace, id)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, lasting_journals: Journals) -> Iterator[World]:
    root = tmp_path_factory.mktemp("artifacts")
    (root / "artifacts_flow.py").write_text(SOURCE)
    (root / "data.csv").write_text("ann,1\nbob,2\n")
    here = Path.cwd()
    os.chdir(root)
    try:
        churn, many = load_pipeline("artifacts_flow.py:churn"), load_pipeline("artifacts_flow.py:many")
        first = fw.run(churn, tags=["gold"])
        again = fw.run(churn)
        wide = fw.run(many)
    finally:
        os.chdir(here)
    home = Path(load_project(str(root), variables={}).home)
    server = Server(home, lasting_journals(home))
    server.users.by_token[STRANGER] = Identity("stranger", "admin", ("elsewhere",))
    with server.client() as client:
        yield World(client, home, {"first": first.id, "again": again.id, "wide": wide.id})


class Acting(HTMLParser):
    """Whatever in a piece of HTML could act."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.texts: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "object", "embed", "style", "link", "base", "form", "meta"):
            self.found.append(tag)
        self.found += [name for name in given if name.startswith("on") or name in ("style", "srcdoc")]
        for name in ("href", "src", "action", "hx-get"):
            if re.match(r"\s*(javascript|data|vbscript):", given.get(name) or "", re.IGNORECASE) and tag != "img":
                self.found.append(f"{tag} {name}={given[name]}")
        if tag == "iframe":
            assert given.get("sandbox") == "allow-scripts"
            assert (given["src"] or "").startswith("/content/")
        if tag == "img":
            assert (given["src"] or "").startswith(("/content/", "data:image/png"))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def text_of(markup: str) -> str:
    return re.sub(r"\s+", " ", "".join(Acting(markup).texts)).strip()


def test_what_runs_made_is_listed_newest_first(world: World) -> None:
    shown = world.get("/artifacts").text
    names = re.findall(r'class="name" href="[^"]*run=([^"]+)">([^<]+)<', shown)
    assert names[0] == (world.runs["wide"], "result")
    assert [name for run, name in names if run == world.runs["first"]] == list(world.refs["first"])
    assert "auc 0.8, n 3" in html.unescape(shown)


def test_the_list_is_filtered_by_words_pipeline_and_kind(world: World) -> None:
    def names(**query: Any) -> set[str]:
        return set(re.findall(r'class="name" [^>]*>([^<]+)<', world.get("/artifacts", **query).text))

    assert names(type="metrics") == {"metrics", "result"}
    assert names(pipeline="many") == {"result"}
    assert names(q="churn html") == {"page"}
    assert names(q=world.runs["wide"]) == {"result"}
    assert names(q="no such thing") == set()
    assert "Nothing like that" in world.get("/artifacts", q="no such thing").text


def test_the_beginning_of_a_digest_finds_what_tasks_made(world: World) -> None:
    ref = world.tasks["prepare"]
    shown = world.get("/artifacts", q=ref.digest[:9]).text
    assert f"/artifacts/{ref.digest}?run={world.runs['first']}" in html.unescape(shown)
    assert world.get("/artifacts", q="ffffff").text.count('class="name"') == 0


def test_the_list_goes_on_before_a_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairway.web.previews.made.ROWS", 1)
    first = world.get("/artifacts").text
    older = re.search(r'<a class="button" href="(/artifacts\?before=[^"]+)">Older', first)
    assert older is not None
    assert world.runs["again"] in world.client.get(f"http://server{html.unescape(older[1])}", headers={"accept": "text/html"}).text


def test_runs_that_may_not_be_seen_count_as_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairway.web.previews.made.LOOK_RUNS", 2)
    shown = world.get("/artifacts", token=STRANGER).text
    assert f"before={world.runs['again']}" in shown
    assert "2 runs looked at" in shown


def test_nobody_sees_what_other_projects_made(world: World) -> None:
    assert "Nothing has been made yet" in world.get("/artifacts", token=STRANGER).text
    ref = world.refs["first"]["table"]
    for what in ("", "/preview", "/table.json", "/origin", "/lineage", "/others", "/download"):
        assert world.get(f"/artifacts/{ref.digest}{what}", token=STRANGER, run=world.runs["first"]).status_code == 404


def test_the_page_says_which_data_made_a_model(world: World) -> None:
    said = text_of(world.see("train[2]", "origin"))
    raw = next(ref for ref in [_raw(world)])
    assert re.fullmatch(
        rf"Made by train\[2\] of run {world.runs['first'][-5:]} \(churn, [^)]*\) from prepare and the parameter depth = 8\. "
        rf"It goes back to the raw data data\.csv {raw[:10]}\.",
        said,
    )
    links = re.findall(r'href="([^"]+)"', html.unescape(world.see("train[2]", "origin")))
    assert f"/artifacts/{raw}?run={world.runs['first']}" in links
    assert f"/runs/{world.runs['first']}?task=train%5B2%5D" in links


def _raw(world: World) -> str:
    import hashlib

    return hashlib.sha256((world.home.parent / "data.csv").read_bytes()).hexdigest()


def test_of_lists_parameters_and_cached_results_it_is_said_too(world: World) -> None:
    assert text_of(world.see("models", "origin")).startswith("Collected from train[0], train[1] and train[2] of run")
    given = world.get(f"/artifacts/{_raw(world)}/origin", run=world.runs["first"]).text
    assert "as its parameter raw" in text_of(given)
    cached = text_of(world.see("table", "origin", run="again"))
    assert f"taken from the cache: report of run {world.runs['first'][-5:]}" in cached
    assert "taken from the cache" not in text_of(world.see("page", "origin"))


def labels(drawn: str) -> list[str]:
    return [html.unescape(label) for label in re.findall(r"<text x=[^>]*>([^<]*)</text>", drawn)]


def test_lineage_is_drawn_from_the_raw_data_to_what_was_made_of_it(world: World) -> None:
    drawn = world.see("train[1]", "lineage")
    assert {"data.csv", "prepare", "depth = 4", "train[1]", "table (report)", "metrics (best)"} <= set(labels(drawn))
    assert drawn.count('aria-current="true"') == 1
    near = labels(world.see("train[1]", "lineage", up=1, down=0))
    assert "data.csv" not in near and "table (report)" not in near
    assert "prepare" in near


def test_many_alike_are_drawn_as_one(world: World) -> None:
    drawn = labels(world.see("result", "lineage", run="wide"))
    assert "train × 30" in drawn
    assert len(drawn) < 8


def test_no_artifact_acts_on_the_page_that_shows_it(world: World) -> None:
    for name in (*world.refs["first"], "train[0]", "prepare"):
        for what in ("preview", "origin", "lineage", "others"):
            shown = world.see(name, what)
            assert Acting(shown).found == [], (name, what)
    whole = world.see("table", "")
    assert "alert(1)" not in "".join(re.findall(r"<script[^>]*>([^<]*)", whole))


def test_previews_fit_the_kind(world: World) -> None:
    assert 'data-table="/artifacts/' in world.see("table")
    assert ">0.8<" in world.see("metrics")
    assert "<h2>Title</h2>" in world.see("notes")
    assert re.search(r'<iframe class="sandbox" sandbox="allow-scripts" src="/content/', world.see("page"))
    assert re.search(r'<div class="picture"><img src="/content/', world.see("plot"))
    assert 'data-json="/artifacts/' in world.see("value")
    assert "a line with &lt;/script&gt;" in world.see("text")
    model = text_of(world.see("train[2]"))
    assert "auc0.8" in model and "paid" in model and "weights.txt" in model
    assert '"names": [' in text_of(world.see("parts")) and "3 items" in text_of(world.see("models"))


def test_a_pickle_is_not_opened(world: World) -> None:
    assert "A pickle is not opened here" in text_of(world.see("odd"))


def test_what_an_iframe_or_picture_is_given_has_no_rights(world: World) -> None:
    for name, media in (("page", "text/html; charset=utf-8"), ("plot", "image/svg+xml")):
        url = re.search(r'src="(/content/[^"]+)"', world.see(name))
        assert url is not None
        answer = world.client.get(f"http://server{url[1]}", headers={"Fairway-Token": ""})
        assert (answer.status_code, answer.headers["content-type"]) == (200, media)
        assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
        assert "allow-same-origin" not in answer.headers["content-security-policy"]


def test_an_interactive_figure_says_what_draws_it_or_draws_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    library = world.home / "envs" / "lock" / "lib" / "python3.11" / "site-packages" / "plotly" / "package_data" / "plotly.min.js"
    shown = text_of(world.see("interactive"))
    try:
        import plotly  # noqa: F401
    except ImportError:
        assert "pip install plotly" in shown
        library.parent.mkdir(parents=True)
        library.write_text("window.Plotly = {};")  # in the environment that a step of this home ran in
    found = re.search(
        r'<iframe class="sandbox figure" data-figure sandbox="allow-scripts" src="(/content/[^"]+)/figure.html"', world.see("interactive")
    )
    assert found is not None

    def fetch(name: str) -> Any:
        answer = world.client.get(f"http://server{found[1]}/{name}", headers={"Fairway-Token": ""})
        assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts; ")
        return answer

    assert '<script src="library.js">' in fetch("figure.html").text
    assert "Plotly" in fetch("library.js").text
    assert "newPlot" in fetch("draw.js").text
    text = fetch("figure.json.js").text
    assert json.loads(json.loads(text.removeprefix("window.fairwayFigure = ").removesuffix(";")))["data"] == []
    assert fetch("other.js").status_code == 404


def test_files_of_a_folder_have_previews_of_their_own(world: World) -> None:
    assert 'data-table="' in world.see("folder", file="<b>.csv")
    assert "&lt;b&gt;.csv" in world.see("folder")
    assert re.search(r'<iframe [^>]*src="/content/[^/"]+/page.html"', world.see("folder", file="page.html"))
    readme = world.see("folder", file="readme.md")
    assert re.search(r'<img src="/content/[^/"]+/pic.svg" alt="a"', readme)
    assert "e.example" not in readme
    assert '<span class="c2">' in world.see("folder", file="sub/run.py")
    assert "run.py" in world.see("folder", "part", under="sub")
    ref = world.refs["first"]["folder"]
    assert world.get(f"/artifacts/{ref.digest}/preview", run=world.runs["first"], file="../x").status_code == 404


def test_items_of_a_list_have_previews_of_their_own(world: World) -> None:
    found = re.search(r'hx-get="(/artifacts/(\w+)/preview\?[^"]+within=[^"]+)"', world.see("parts"))
    assert found is not None
    item = world.client.get(f"http://server{html.unescape(found[1])}", headers={"accept": "text/html"})
    assert "00 01 00 01" in item.text
    other = world.refs["first"]["table"].digest
    assert world.get(f"/artifacts/{found[2]}/preview", run=world.runs["first"], within=other).status_code in (404, 422)


def test_tables_are_read_for_the_page(world: World) -> None:
    digest = world.refs["first"]["table"].digest
    rows = world.get(f"/artifacts/{digest}/table.json", run=world.runs["first"], sort="-0", where="0:> 0.3", limit=1).json()
    assert (rows["matched"], rows["rows"][0][0]) == (2, 0.8)
    columns = world.get(f"/artifacts/{digest}/columns.json", run=world.runs["first"]).json()
    assert columns["columns"][0]["max"] == 0.8
    wrong = world.get(f"/artifacts/{digest}/table.json", run=world.runs["first"], where="0:> x").json()
    assert wrong["problem"] == "'auc' holds numbers, and 'x' is none"


def test_bytes_are_only_ever_saved(world: World) -> None:
    for name, ending in (("page", ".html"), ("plot", ".svg"), ("value", ".json"), ("metrics", ".json")):
        ref = world.refs["first"][name]
        answer = world.get(f"/artifacts/{ref.digest}/download", run=world.runs["first"])
        assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
        assert answer.headers["content-disposition"].endswith(ending)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


def test_ways_to_fetch_it_are_said(world: World) -> None:
    run = world.runs["first"]
    shown = html.unescape(world.see("table"))
    assert f"fairway artifacts get {run} table" in shown
    assert f'fw.runs["{run}"].outputs["table"].load()' in shown
    task = html.unescape(world.see("train[2]"))
    assert f"fairway artifacts get {run} 'train[2].result'" in task
    assert f'fw.runs["{run}"].tasks["train[2]"].outputs["result"].load()' in task


def test_other_runs_with_the_same_are_named(world: World) -> None:
    assert world.runs["again"] in world.see("table", "others")
    assert world.runs["wide"] not in world.see("table", "others")


def test_what_is_not_there_is_an_error_page(world: World) -> None:
    digest = world.refs["first"]["table"].digest
    for path, query in (
        (f"/artifacts/{digest}", {"run": "nothing"}),
        (f"/artifacts/{'0' * 64}", {"run": world.runs["first"]}),
        ("/artifacts/x", {"run": "y"}),
    ):
        answer = world.get(path, **query)
        assert answer.status_code == 404
        assert "<h1>" in answer.text
    assert world.get(f"/artifacts/{digest}").status_code == 422


def test_what_is_gone_from_the_store_is_said(world: World, tmp_path: Path) -> None:
    ref = world.refs["first"]["text"]
    path = world.home / "blobs" / "sha256" / ref.digest[:2] / ref.digest[2:]
    kept = tmp_path / "aside"
    path.rename(kept)
    try:
        answer = world.get(f"/artifacts/{ref.digest}/download", run=world.runs["first"])
        assert answer.status_code == 404
    finally:
        kept.rename(path)
