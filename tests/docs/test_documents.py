"""What the documentation shows is run: README and tutorial from top to bottom, each guide's pipelines one by one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.document import NOT_PLAYED, ROOT, blocks, commands, play, write_block

DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PLAYED = [ROOT / "README.md", ROOT / "docs" / "tutorial.md"]
GUIDES = [path for path in DOCUMENTS if path not in PLAYED and "reference" not in path.parts]
TRACED_ONLY = (
    {"pinned.py": "it installs packages from the network", "train_on_gpu.py": "it asks for GPUs"}
    | {
        f"with_{name}.py": "it needs the framework; tests/frameworks/test_gang_guide.py runs it"
        for name in ("torch", "accelerate", "tensorflow", "keras", "jax")
    }
    | {
        f"with_{name}.py": "it needs the framework; tests/frameworks/test_gang_guide_more.py runs it"
        for name in ("xgboost", "lightgbm", "sklearn", "dask", "ray", "mpi", "r", "mxnet")
    }
    | {
        f"with_{name}.py": "it needs the framework; tests/frameworks/test_gang_guide_trainers.py runs it"
        for name in ("lightning", "transformers", "ignite", "fsdp")
    }
)
MADE_LATER = ("benchmarks/results/", "benchmarks/results/DATE.json")
SET_UP = {"secretly.py": "API_TOKEN=abc ", "declared.py": "API_TOKEN=abcdef "}


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", PLAYED, ids=named)
def test_a_reader_who_follows_every_line_gets_what_it_says(document: Path, tmp_path: Path) -> None:
    played = 0
    for block in blocks(document):
        if block.language == "python":
            written = write_block(block, tmp_path)
            assert written, f"{document.name}:{block.line}: begin the block with the name of its file"
            compile(written.read_text(), written.name, "exec")
            if "fw.pipeline" not in written.read_text() and block.text.startswith(f"# {written.name}\n") and "fw.run(" in block.text:
                done = play(f"python {written.name}", tmp_path)
                assert done.status == 0, done.output
        elif block.language == "console":
            for command, expected in commands(block):
                if not command.startswith(NOT_PLAYED):
                    done = play(command, tmp_path, expected)
                    played += 1
                    assert done.status == expected, f"{document.name}:{block.line}: {command} ended with {done.status}\n{done.output}"
    assert played > 0


@pytest.mark.parametrize("document", GUIDES, ids=named)
def test_each_pipeline_of_a_guide_runs(document: Path, tmp_path: Path) -> None:
    for block in blocks(document):
        if block.language != "python":
            continue
        written = write_block(block, tmp_path)
        assert written, f"{document.name}:{block.line}: begin the block with the name of its file"
        command = (
            f"fairway graph {written.name}" if written.name in TRACED_ONLY else f"{SET_UP.get(written.name, '')}fairway run {written.name}"
        )
        done = play(command, tmp_path)
        assert done.status == 0, f"{document.name}:{block.line}: {command} ended with {done.status}\n{done.output}"
        if "__main__" in block.text:
            done = play(f"python {written.name}", tmp_path)
            assert done.status == 0, done.output
        if written.name.startswith("test_"):
            assert play(f"python -m pytest -q -p no:cacheprovider {written.name}", tmp_path).status == 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_leads_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) + re.findall(r'src="([^"]+)"', text):
        if not link.startswith(("http://", "https://")):
            assert (document.parent / link).exists(), f"{named(document)} links to {link}, which does not exist"


def test_every_document_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in seen:
            continue
        seen.add(document)
        for link in re.findall(r"\]\(([^)#]+\.md)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                waiting.append((document.parent / link).resolve())
    assert set(DOCUMENTS) <= seen, f"nobody links to {sorted(named(d) for d in set(DOCUMENTS) - seen)}"


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        ("run.svg", ["fairway run examples/default_risk/pipeline.py", "train_boosting", "succeeded in"]),
        ("mend.svg", ["fairway run houses.py --ks 0,1,4", "ZeroDivisionError", "fairway resume", "fairway why last load"]),
    ],
)
def test_the_readmes_pictures_show_real_runs_and_load_nothing_from_elsewhere(picture: str, words: list[str]) -> None:
    """They are drawn by tools/draw_readme.py; GitHub shows an SVG only if it stands alone."""
    drawn = (ROOT / "docs" / "images" / picture).read_text(encoding="utf-8")
    assert f"docs/images/{picture}" in (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.sub(r"<[^>]+>", "", drawn).replace("&#160;", " ")
    assert [word for word in words if word not in shown] == []
    assert re.findall(r"(?:href|url|src)\s*[=(]\s*[\"']?(?!#)(\S+)", drawn.replace('xmlns="http://www.w3.org/2000/svg"', "")) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_path_of_the_project_that_is_named_is_there(document: Path) -> None:
    named_paths = re.findall(r"`((?:tests|tools|src|benchmarks|examples)/[\w./-]*)`", document.read_text(encoding="utf-8"))
    assert [path for path in named_paths if not (ROOT / path).exists() and path not in MADE_LATER] == []
