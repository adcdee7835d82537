"""What the cache sees: each edit, and the tasks that run again; how it is switched off; what a hit says; what it costs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.project import Project, cached, done

TRAIN = {"train[0]", "train[1]", "train[2]"}
ALL = {"load", *TRAIN, "total", "report"}


def test_nothing_changed_nothing_runs(project: Project) -> None:
    first = project.run()
    assert (done(first), cached(first)) == (ALL, set())
    second = project.run()
    assert (done(second), cached(second)) == (set(), ALL)
    assert second.outputs["result"].load() == first.outputs["result"].load() == "6"


def test_a_hit_is_shown_as_one_with_the_run_it_came_from(project: Project) -> None:
    first = project.run()
    said = project.ask("run", "flow.py")
    assert f"≡ train 3/3 cached from {first.id[-5:]}" in " ".join(said.err.split())
    assert f"cached from {first.id}" in project.ask("show", "last", "train.1").text
    assert project.ask("show", "last", "train.1", "-o", "json").data[0]["cached_from"] == {"run": first.id, "task": "train[1]"}


NO_RUN = [
    ("flow.py", "    return scale(x)", "    return scale(x)  # twice"),
    ("flow.py", "    return scale(x)", '    """Scales."""\n    return (\n        scale(x)\n    )'),
    ("flow.py", "@fw.step\ndef train", "@fw.step(retries=2, cpu=0.5)\ndef train"),
    ("helpers.py", "def other(x):\n    return x + 1", "def other(x):\n    return x + 2"),
    ("helpers.py", "SCALE = 2\n", "# how much\n\nSCALE = 2\n\n"),
]


@pytest.mark.parametrize(("name", "old", "new"), NO_RUN)
def test_an_edit_of_no_meaning_runs_nothing(project: Project, name: str, old: str, new: str) -> None:
    project.run()
    project.edit(name, old, new)
    assert done(project.run()) == set()


def test_a_helper_edit_reruns_only_its_callers_and_what_follows(project: Project) -> None:
    project.run()
    project.edit("helpers.py", "SCALE = 2", "SCALE = 3")
    run = project.run()
    assert (done(run), cached(run)) == ({*TRAIN, "total", "report"}, {"load"})
    assert run.outputs["result"].load() == "9"


def test_an_edit_that_changes_no_output_stops_there(project: Project) -> None:
    project.run()
    project.edit("helpers.py", "return x * SCALE", "return SCALE * x")
    run = project.run()
    assert (done(run), cached(run)) == (TRAIN, {"load", "total", "report"})


def test_going_back_to_older_code_finds_its_results(project: Project) -> None:
    project.run()
    project.edit("helpers.py", "SCALE = 2", "SCALE = 3")
    project.run()
    project.edit("helpers.py", "SCALE = 3", "SCALE = 2")
    assert done(project.run()) == set()


def test_a_parameter_reruns_what_its_value_reaches_item_by_item(project: Project) -> None:
    project.run()
    run = project.run("--count", "4")
    assert (done(run), cached(run)) == ({"load", "train[3]", "total", "report"}, TRAIN)


def test_the_pipelines_own_wiring_is_no_code_of_a_step(project: Project) -> None:
    project.run()
    project.edit(
        "flow.py", "    return report(total(train(fw.each(load(count)))))", "    made = train(fw.each(load(count)))\n    return total(made)"
    )
    assert done(project.run()) == set()


def test_a_file_is_known_by_its_content(project: Project) -> None:
    project.write(
        "flow.py",
        """
        import fairway as fw

        @fw.step
        def count(path: fw.File) -> int:
            return len(open(path).read())

        @fw.pipeline
        def flow(path: fw.File = "a.txt"):
            return count(path)
        """,
    )
    project.write("a.txt", "abc")
    project.write("b.txt", "abc")
    project.run()
    project.write("a.txt", "abc")  # touched
    assert cached(project.run()) == cached(project.run("--path", "b.txt")) == {"count"}
    project.write("a.txt", "abcd")
    assert done(project.run()) == {"count"}


def test_an_include_counts_for_the_steps_that_name_it(project: Project) -> None:
    project.write("fairway.toml", 'include = ["*.sql"]\n')
    project.write("one.sql", "select 1\n")
    project.edit("flow.py", "    return list(range(count))", "    query = 'one.sql'\n    return list(range(count))")
    project.run()
    project.write("one.sql", "select 2\n")
    assert done(project.run()) == {"load"}


OFF = """
import fairway as fw

@fw.step(cache=False)
def clock() -> int:
    return 1

@fw.step
def double(x: int) -> int:
    return 2 * x

@fw.pipeline
def flow():
    return double(double.options(cache=False)(clock()))
"""


def test_the_cache_is_switched_off_for_a_step_and_for_one_call(project: Project) -> None:
    project.write("flow.py", OFF)
    first = project.run()
    run = project.run()
    assert first.status == run.status == "succeeded"
    assert (done(run), cached(run)) == ({"clock", "double"}, {"double-2"})


def test_the_cache_is_switched_off_for_a_run_and_still_kept_for_the_next(project: Project) -> None:
    project.run()
    assert done(project.run("--no-cache")) == ALL
    project.edit("helpers.py", "SCALE = 2", "SCALE = 3")
    project.run("--no-cache")
    assert done(project.run()) == set()


DYNAMIC = """
import fairway as fw
import helpers


@fw.step
def grow(x: int) -> int:
    return helpers.scale(x)


@fw.step
def finish(x: int) -> int:
    return helpers.other(x)


@fw.dynamic
def tune(n: int) -> int:
    made = 1
    for _ in range(n):
        made = grow(made)
    return finish(made)


@fw.pipeline
def flow(n: int = 2):
    return tune(n)
"""


def test_a_dynamic_step_and_what_it_calls_are_cached_by_their_own_code(project: Project) -> None:
    project.write("flow.py", DYNAMIC)
    assert project.run().outputs["result"].load() == 5
    again = project.run()
    assert done(again) == set()
    assert again.outputs["result"].load() == 5
    project.edit("helpers.py", "return x + 1", "return x + 10")
    run = project.run()
    assert run.outputs["result"].load() == 14
    assert done(run) == {"tune", "tune/finish"}
    assert cached(run) == {"tune/grow", "tune/grow-2"}


def test_a_result_that_is_gone_is_made_again(project: Project) -> None:
    project.edit("flow.py", "return list(range(count))", "return list(range(count)) * 400")  # too large to travel in its reference
    project.edit("flow.py", "total(train(fw.each(load(count))))", "total(load(count))")
    first = project.run()
    blob = first.tasks["load"].outputs["result"].digest
    (project.root / ".fairway" / "blobs" / "sha256" / blob[:2] / blob[2:]).unlink()
    assert "load" in done(project.run())


CHILD = """
import sys
from fairway.cli import main
status = main(["run", "flow.py"])
heavy = {"asyncio", "click", "dataclasses", "difflib", "inspect", "logging", "pathlib", "rich", "shutil", "subprocess", "tempfile"}
print(*sorted(heavy & set(sys.modules)), file=sys.stderr)
sys.exit(status)
"""


def test_a_run_of_hits_imports_nothing_heavy_and_starts_no_attempt(project: Project) -> None:
    project.run()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FAIRWAY_")}
    finished = subprocess.run([sys.executable, "-c", CHILD], cwd=project.root, env=environ, capture_output=True, text=True, check=False)
    assert finished.returncode == 0
    assert finished.stderr.splitlines()[-1] == ""
    assert all(not task.attempts for task in project.last().tasks.values())
