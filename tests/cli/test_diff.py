"""`fairway diff`: each thing in which two runs may differ, and runs that do not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from fairway.engine import differ
from fairway.engine.differ import diff
from fairway.spec.event import AttemptEnded, RunEnded, RunStarted
from fairway.spec.record import from_plain, replace, to_plain
from tests.cli.project import Project, copy_run

HOME = ".fairway"


def found(project: Project, first: str, second: str = "last") -> dict[str, dict[str, tuple[Any, Any]]]:
    """Section -> what -> (before, after)."""
    said = project.ask("diff", first, second, "-o", "json")
    assert said.status == 0, said.text
    made: dict[str, dict[str, tuple[Any, Any]]] = {}
    for one in said.data:
        made.setdefault(one["section"], {})[one["what"]] = (one.get("before"), one.get("after"))
    return made


def changed(project: Project, run: str, change: Any) -> Any:
    """The state of the run, had its events been as `change` makes them."""
    from fairway.engine.apply import fold

    return fold(change(from_plain(type(event), to_plain(event))) for _, event in project.workspace.events(run))


@pytest.fixture
def any_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long runs took is not compared: on a busy machine that differs, though nothing else does."""
    monkeypatch.setattr(differ, "SAME_DURATION_S", math.inf)


@pytest.mark.usefixtures("any_pace")
def test_equal_runs_do_not_differ(project: Project) -> None:
    first, second = project.run("--no-cache"), project.run("--no-cache")
    said = project.ask("diff", first.id)
    assert (said.out, said.err) == ("", f"{first.id} and {second.id} do not differ\n")
    assert project.ask("diff", first.id, second.id, "-o", "json").data == []


def test_code_is_shown_as_a_diff(project: Project) -> None:
    first = project.run()
    project.edit("helpers.py", "SCALE = 2", "SCALE = 3")
    project.edit("flow.py", "import fairway as fw", "import fairway as fw\nimport extra")
    project.write("extra.py", "x = 1\n")
    second = project.run()
    lines = project.ask("diff", first.id).out.splitlines()
    assert lines[:4] == [f"- {first.id}", f"+ {second.id}", "", "code"]
    assert [line.strip() for line in lines if line.startswith(("  --- ", "  +++ "))] == [
        "--- /dev/null",
        "+++ b/extra.py",
        "--- a/flow.py",
        "+++ b/flow.py",
        "--- a/helpers.py",
        "+++ b/helpers.py",
    ]
    assert "  -SCALE = 2" in lines and "  +SCALE = 3" in lines


def test_the_diff_of_code_is_one_that_patch_takes(project: Project) -> None:
    first = project.run()
    project.edit("helpers.py", "SCALE = 2", "SCALE = 3")
    project.run()
    (code,) = [one for one in project.ask("diff", first.id, "-o", "json").data if one["section"] == "code"]
    lines = code["text"].splitlines()
    assert lines[:2] == ["--- a/helpers.py", "+++ b/helpers.py"]
    assert lines[2].startswith("@@ -1,") and {"-SCALE = 2", "+SCALE = 3"} <= set(lines)


def test_parameters_results_and_steps_are_compared(project: Project) -> None:
    first = project.run()
    project.edit("flow.py", "    return report(total(train(fw.each(load(count)))))", "    return total(train(fw.each(load(count))))")
    project.edit("flow.py", "@fw.step\ndef train", "@fw.step(cpu=0.5, cache=False)\ndef train")
    project.run("--count", "4")
    said = found(project, first.id)
    assert said["parameters"] == {"count": (3, 4)}
    assert said["results"] == {"result": ("6", 12)}
    assert said["pipeline"]["report"] == ("report(total=total)", None)
    assert said["pipeline"]["train.cache"] == (None, False)
    assert said["pipeline"]["train.resources"] == (None, {"cpu": 0.5})


@pytest.mark.usefixtures("any_pace")
def test_options_of_the_run_are_compared(project: Project) -> None:
    first = project.run()
    project.run("--no-cache", "--max-parallel", "2")
    assert found(project, first.id) == {"pipeline": {"cache": (None, False), "max_parallel": (None, 2)}}


def test_how_tasks_ended_is_compared(project: Project) -> None:
    first = project.run()
    project.edit("flow.py", "    return sum(xs)", "    raise ValueError('no')")
    project.run()
    said = found(project, first.id)
    assert said["results"]["status"] == ("succeeded", "failed")
    assert said["results"]["total"] == (None, "failed")
    assert said["results"]["report"] == (None, "skipped")


@pytest.mark.usefixtures("any_pace")
def test_input_files_are_compared_by_content(project: Project) -> None:
    project.write(
        "flow.py",
        """
        import fairway as fw

        @fw.step
        def size(path: fw.File, other: fw.File) -> int:
            return len(open(path).read()) + len(open(other).read())

        @fw.pipeline
        def flow(path: fw.File = "a.txt"):
            return size(path, "b.txt")
        """,
    )
    project.write("a.txt", "abc")
    project.write("b.txt", "abc")
    first = project.run()
    project.write("a.txt", "abd")
    project.write("b.txt", "abe")
    project.run()
    said = found(project, first.id)
    assert set(said) == {"parameters", "inputs"}
    before, after = said["parameters"]["path"]
    assert before != after and before.startswith("a.txt (3 bytes, ")
    assert set(said["inputs"]) == {"size.other"}


def test_metrics_are_compared(project: Project) -> None:
    project.edit("flow.py", "    return sum(xs)", "    fw.log(auc=sum(xs) / 7)\n    return sum(xs)")
    first = project.run()
    project.run("--count", "4")
    lines = project.ask("diff", first.id).out.splitlines()
    assert lines[lines.index("metrics") + 1] == "  auc  0.85714 → 1.7143"


def test_packages_hardware_and_python_are_compared(project: Project) -> None:
    run = project.run()
    before = project.workspace.state(run.id)

    def elsewhere(event: Any) -> Any:
        if not isinstance(event, RunStarted):
            return event
        facts = event.environment
        packages = {**facts["distributions"], "greet": "1.0", "click": "1.0"}
        del packages["pytest"]
        return replace(event, environment={**facts, "distributions": packages, "cpu": "Other", "gpus": ["H100"], "python": "3.9.1"})

    said = diff(before, changed(project, run.id, elsewhere), str(project.root / HOME))
    assert {one.what: (one.before, one.after) for one in said if one.section == "packages"} == {
        "click": (before.environment["distributions"]["click"], "1.0"),
        "pytest": (before.environment["distributions"]["pytest"], None),
        "greet": (None, "1.0"),
    }
    assert {one.what for one in said} == {"click", "pytest", "greet", "cpu", "gpus", "python"}


@pytest.mark.parametrize(("extra_s", "differs"), [(0.1, False), (2.0, True)])
def test_durations_are_compared_where_the_difference_is_worth_a_look(project: Project, extra_s: float, differs: bool) -> None:
    run = project.run()

    def slower(event: Any) -> Any:
        if isinstance(event, AttemptEnded):
            usage = replace(event.outcome.usage, wall_s=event.outcome.usage.wall_s + extra_s)
            return replace(event, outcome=replace(event.outcome, usage=usage))
        return replace(event, at=event.at + extra_s) if isinstance(event, RunEnded) else event

    said = diff(project.workspace.state(run.id), changed(project, run.id, slower), str(project.root / HOME))
    assert {one.what for one in said} == ({"run", "load", "train", "total", "report"} if differs else set())
    assert all(one.after > one.before + 1.9 for one in said)


def test_runs_that_differ_only_in_how_long_they_took_say_so(project: Project) -> None:
    run = project.run()
    later = "20990101-000000-zzzzz"
    copy_run(project, later, lambda event: replace(event, at=event.at + 9) if isinstance(event, RunEnded) else event)
    said = project.ask("diff", run.id, later)
    assert said.err == f"{run.id} and {later} do not differ but in how long they took\n"
    assert said.out.splitlines()[3] == "durations" and "  run  " in said.out


def test_code_that_is_not_kept_is_told_by_its_digest(project: Project) -> None:
    import shutil

    first = project.run()
    bundle = first.state().bundle
    project.edit("helpers.py", "SCALE = 2", "SCALE = 3")
    second = project.run()
    shutil.rmtree(project.root / HOME / "bundles" / bundle)
    assert found(project, first.id)["code"] == {"bundle": (bundle[:12], second.state().bundle[:12])}


def test_the_second_run_is_the_last_if_left_out(project: Project) -> None:
    first = project.run()
    project.run("--count", "4")
    assert project.ask("diff", first.id).out == project.ask("diff", first.id, "last").out
    assert project.ask("diff", "nothing").status == 2
