"""`fairway why`: what it says of hits and misses, for each part of a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fairway.spec.event import AttemptPlanned, RunStarted
from fairway.spec.record import replace
from tests.cli.project import Package, Project, copy_run

EARLIER = "20200101-000000-aaaaa"
LATER = "20990101-000000-zzzzz"


def why(project: Project, task: str, run: str = "last") -> str:
    said = project.ask("why", run, task)
    assert said.status == 0, said.text
    return said.out


def line_of(project: Project, name: str, text: str) -> str:
    """ "FILE:LINE" of the line with that text."""
    lines = (project.root / name).read_text().splitlines()
    return f"{name}:{next(n for n, line in enumerate(lines, 1) if text in line)}"


def with_steps(event: Any, name: str, **changes: Any) -> Any:
    """The event with another definition of a step."""
    if not isinstance(event, RunStarted):
        return event
    graph = event.graph
    return replace(event, graph=replace(graph, steps={**graph.steps, name: replace(graph.steps[name], **changes)}))


def test_an_edited_constant_is_named_with_its_line_and_the_way_to_it(project: Project) -> None:
    first = project.run()
    project.edit("helpers.py", "SCALE = 2", "SCALE = 3")
    project.run()
    lines = why(project, "train.1").splitlines()
    assert lines[0] == "train[1] ran: its code was edited"
    assert lines[1] == f"  helpers.SCALE was edited ({line_of(project, 'helpers.py', 'SCALE = 3')})"
    assert lines[2].startswith("    reached through flow.train (flow.py:")
    assert f"→ helpers.scale ({line_of(project, 'helpers.py', 'def scale')}) → helpers.SCALE" in lines[2]
    assert lines[3:] == ["    - SCALE = 2", "    + SCALE = 3", f"compared with train[1] of run {first.id}"]


def test_an_edited_line_of_the_step_itself_is_named(project: Project) -> None:
    project.run()
    project.edit("flow.py", "    return sum(xs)", '    """Adds."""\n\n    # all of them\n    return sum(xs) + 0')
    project.run()
    lines = why(project, "total").splitlines()
    assert lines[1] == f"  flow.total was edited ({line_of(project, 'flow.py', 'sum(xs)')})"
    assert lines[2:4] == ["    - return sum(xs)", "    + return sum(xs) + 0"]


def test_a_function_that_is_newly_reached_is_told_by_who_calls_it(project: Project) -> None:
    project.run()
    project.edit("flow.py", "    return scale(x)", "    return other(x)")
    project.run()
    assert "+ return other(x)" in why(project, "train.0")


def test_code_that_is_only_removed_from_reach_is_named(project: Project) -> None:
    project.edit("flow.py", "import fairway as fw", "import fairway as fw\nimport extra")
    project.write("extra.py", "import os\nos.environ['A'] = '1'\nos.environ['B'] = '2'\n")
    project.run()
    project.write("extra.py", "import os\nos.environ['A'] = '1'\n")
    project.run()
    said = why(project, "load")
    assert "what importing extra does was edited" in said
    assert "- os.environ['B'] = '2'" in said


def test_an_input_is_told_from_what_to_what_and_where_it_comes_from(project: Project) -> None:
    project.run()
    project.run("--count", "4")
    assert "  input count changed: 3 → 4, the parameter count\n" in why(project, "load")
    assert "  input xs changed: [0,2,4] → [0,2,4,6], from collect(train)\n" in why(project, "total")


def test_a_new_item_of_a_map_is_compared_with_the_most_similar_one(project: Project) -> None:
    first = project.run()
    project.run("--count", "4")
    said = why(project, "train[3]")
    assert "  input x changed: 2 → 3, an item of load\n" in said
    assert said.endswith(f"compared with train[2] of run {first.id}\n")


def test_a_hit_says_which_run_made_it_and_what_was_the_same(project: Project) -> None:
    first = project.run()
    project.edit("helpers.py", "return x + 1", "return x + 2")
    project.run()
    said = why(project, "train.2")
    assert said.startswith(f"train[2] came from the cache: run {first.id} made it\n")
    assert "code: none of the 3 functions and constants it reaches was edited" in said
    assert "edited since, but out of its reach: helpers.py" in said
    assert "inputs: the same (x=2)" in said


def test_a_hit_on_another_tasks_result_names_that_task(project: Project) -> None:
    project.edit("flow.py", "report(total(train(fw.each(load(count)))))", "train(train.options(name='again')(count))")
    project.edit("helpers.py", "SCALE = 2", "SCALE = 1")
    project.run()
    project.run()
    assert "as again" in why(project, "train") or "as train" in why(project, "again")


def test_a_package_that_moved_is_named(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = Package(tmp_path, monkeypatch, "1.0")
    project.edit("flow.py", "import fairway as fw", "import fairway as fw\nimport greet")
    project.edit("flow.py", "    return scale(x)", "    return greet.hello(x)")
    project.run()
    package.install("1.1")
    run = project.run()
    assert {name for name, task in run.tasks.items() if task.attempts} == {"train[0]", "train[1]", "train[2]"}
    assert "train[0] ran: packages changed\n  greet changed: 1.0 → 1.1\n" in why(project, "train.0")
    project.run()
    assert "packages: the same (greet 1.1)" in why(project, "train.0")


def test_another_python_is_named(project: Project) -> None:
    project.run()
    copy_run(project, EARLIER, other_python)
    said = why(project, "load")
    assert "load ran: Python changed" in said and "Python changed: 3.9 → 3." in said


def other_python(event: Any) -> Any:
    if isinstance(event, RunStarted):
        return replace(event, environment={**event.environment, "python": "3.9.1"})
    return replace(event, keys=("0" * 64,) * len(event.items)) if isinstance(event, AttemptPlanned) else event


def other_key(event: Any, **changes: Any) -> Any:
    event = with_steps(event, "load", **changes)
    return replace(event, keys=("0" * 64,) * len(event.items)) if isinstance(event, AttemptPlanned) else event


def test_other_surroundings_are_named(project: Project) -> None:
    from fairway.spec.environment import Environment
    from fairway.spec.graph import Port

    project.run()
    old = Environment(variables={"A": "1"}, image="img:1", packages=("greet",))
    changes = {"environment": old, "secrets": ("TOKEN",), "outputs": (Port("result", "int"),), "qualname": "read"}
    copy_run(project, EARLIER, lambda event: other_key(event, **changes))
    said = why(project, "load")
    for text in (
        "the variable A changed: 1 → not set",
        "the image changed: img:1 → none",
        "its requirements changed: ",
        'the secrets it may use changed: ["TOKEN"] → []',
        "the step is another function: flow:read → flow:load",
        "the declared outputs changed: ",
    ):
        assert text in said


def test_packages_of_two_locks_are_compared(project: Project) -> None:
    from fairway.spec.environment import Environment

    folder = project.root / ".fairway" / "envs" / "locks"
    project.run()
    folder.mkdir(parents=True)
    (folder / "10c1").write_text("# Python 3.12\ngreet==1.0 \\\n    --hash=sha256:00\nsame==2\n")
    (folder / "10c2").write_text("# Python 3.12\ngreet==1.1 \\\n    --hash=sha256:01\nsame==2\n")
    copy_run(project, EARLIER, lambda event: other_key(event, environment=Environment(packages=("greet",), lock="10c1")))
    copy_run(project, LATER, lambda event: with_steps(event, "load", environment=Environment(packages=("greet",), lock="10c2")))
    said = why(project, "load", LATER)
    assert "compared with load of run" in said
    assert "its environment changed: your own interpreter → 10c2" in said  # the nearest run had none
    from fairway.engine.keydiff import moved, pinned

    home = str(project.root / ".fairway")
    assert list(moved(pinned("10c1", home), pinned("10c2", home))) == [("greet", "1.0", "1.1")]
    assert pinned("gone", home) == {}


def test_the_first_time_is_said_to_be_it(project: Project) -> None:
    project.run()
    said = why(project, "load")
    assert said.startswith("load ran for the first time\n  no earlier run of flow that is still kept has done it\n")


def test_a_cache_that_is_off_is_the_reason(project: Project) -> None:
    project.run()
    project.run("--no-cache")
    assert "the cache was switched off for this run (--no-cache)" in why(project, "load")
    project.edit("flow.py", "@fw.step\ndef load", "@fw.step(cache=False)\ndef load")
    project.run()
    assert "the cache is switched off for this step (cache=False)" in why(project, "load")
    project.edit("flow.py", "@fw.step(cache=False)\ndef load", "@fw.step\ndef load")


def test_a_result_that_was_deleted_is_the_reason(project: Project) -> None:
    project.edit("flow.py", "return list(range(count))", "return list(range(count)) * 400")
    project.edit("flow.py", "total(train(fw.each(load(count))))", "total(load(count))")
    first = project.run()
    blob = first.tasks["load"].outputs["result"].digest
    (project.root / ".fairway" / "blobs" / "sha256" / blob[:2] / blob[2:]).unlink()
    project.run()
    assert f"nothing has changed since run {first.id}, but its result was deleted" in why(project, "load")


def test_a_task_that_failed_before_left_no_result(project: Project) -> None:
    project.edit("flow.py", "    return sum(xs)", "    raise ValueError('no sum')")
    first = project.run()
    assert why(project, "report").startswith("report was skipped\n  what it needs failed: total\n")
    assert "total ran and failed for the first time" in why(project, "total")
    project.run()
    assert f"nothing has changed, but it failed in run {first.id}: ValueError: no sum" in why(project, "total")


def test_a_task_that_has_not_started_says_what_it_waits_for(project: Project) -> None:
    project.run()
    copy_run(project, LATER, lambda event: event if isinstance(event, RunStarted) else None)
    assert why(project, "total", LATER) == "total has not started\n  it waits for train\n"


CONDITION = """
import fairway as fw

@fw.step
def score(x: int) -> int:
    return x

@fw.step
def publish(x: int) -> int:
    return x

@fw.step
def after(x: int) -> int:
    return x

@fw.step
def goodbye(status: str) -> None:
    print(status)

@fw.step
def give_up(x: int) -> int:
    fw.skip("not today")

@fw.pipeline(on_exit=goodbye)
def flow(x: int = 1):
    made = score(x)
    give_up(made)
    with fw.when(made > 5):
        after(publish(made))
"""


def test_what_was_skipped_says_which_condition(project: Project) -> None:
    project.write("flow.py", CONDITION)
    project.run()
    assert why(project, "publish") == "publish was skipped\n  its condition did not hold: score > 5 is false\n"
    assert "was skipped" in why(project, "after")


def test_a_dynamic_steps_own_tasks_are_explained(project: Project) -> None:
    project.write(
        "flow.py",
        """
        import fairway as fw
        import helpers

        @fw.step
        def grow(x: int) -> int:
            return helpers.scale(x)

        @fw.dynamic
        def tune(n: int) -> int:
            return grow(grow(n))

        @fw.pipeline
        def flow(n: int = 2):
            return tune(n)
        """,
    )
    first = project.run()
    project.run()
    assert f"tune/grow came from the cache: run {first.id} made it" in why(project, "tune/grow")
    assert f"tune came from the cache: run {first.id} made it" in why(project, "tune")
    project.edit("helpers.py", "SCALE = 2", "SCALE = 3")
    project.run()
    assert "helpers.SCALE was edited" in why(project, "tune/grow-2")
    assert "helpers.SCALE was edited" in why(project, "tune")


def test_a_command_names_the_line_of_its_script(project: Project) -> None:
    project.write("count.sh", "echo one > $1\n")
    project.write(
        "flow.py",
        """
        import fairway as fw

        count = fw.command(["sh", "count.sh", fw.Out("words")], name="count")

        @fw.pipeline
        def flow():
            return count()
        """,
    )
    project.run()
    project.write("count.sh", "# counts\necho two > $1\n")
    project.run()
    said = why(project, "count")
    assert "count.sh was edited (count.sh:1)" in said
    project.edit("flow.py", '"count.sh", fw', '"-e", "count.sh", fw')
    project.run()
    assert "the command changed: " in why(project, "count")


GANG = """
import fairway as fw

@fw.step(gang=fw.gang(replicas=2), cpu=0.1)
def fit(n: int) -> int:
    return n

@fw.pipeline
def together(n: int = 1):
    return fit(n)
"""


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("gang=fw.gang(replicas=1)", "the gang's number of replicas changed: 2 → 1"),
        ("gang=fw.gang(replicas=2, processes=2)", "the gang's processes of each replica changed: 1 → 2"),
        ("retries=0", "it is no gang any more: a gang → a plain step"),
        ("gang=fw.gang(replicas=2, restarts=1)", "fit came from the cache"),
    ],
)
def test_a_gang_of_another_size_is_named_and_how_often_it_may_start_is_no_reason(project: Project, written: str, says: str) -> None:
    project.write("together.py", GANG)
    assert project.ask("run", "together.py").status == 0
    project.write("together.py", GANG.replace("gang=fw.gang(replicas=2)", written))
    assert project.ask("run", "together.py").status == 0
    assert says in project.ask("why", "last", "fit").text


def test_a_script_of_a_command_is_no_reason_for_other_steps(project: Project) -> None:
    project.write("count.sh", "echo one > $1\n")
    project.edit("flow.py", "@fw.pipeline", 'words = fw.command(["sh", "count.sh", fw.Out("words")], name="words")\n\n\n@fw.pipeline')
    project.edit("flow.py", "    return report", "    words()\n    return report")
    project.run()
    project.write("count.sh", "echo two > $1\n")
    project.edit("flow.py", "    return sum(xs)", "    return sum(xs) + 0")
    project.run()
    assert "count.sh" in why(project, "words")
    said = why(project, "total")
    assert "+ return sum(xs) + 0" in said and "count.sh" not in said


def test_an_included_file_is_named_with_its_line(project: Project) -> None:
    project.write("fairway.toml", 'include = ["*.sql"]\n')
    project.write("one.sql", "select 1\nfrom a\n")
    project.edit("flow.py", "    return list(range(count))", "    query = 'one.sql'\n    return list(range(count))")
    project.run()
    project.write("one.sql", "select 1\nfrom b\n")
    project.run()
    assert "one.sql was edited (one.sql:2)\n    - from a\n    + from b\n" in why(project, "load")


def test_after_a_resume_what_was_kept_and_what_was_redone_is_explained(project: Project) -> None:
    project.edit("flow.py", "    return sum(xs)", "    raise ValueError('no sum')")
    run = project.run()
    project.edit("flow.py", "    raise ValueError('no sum')", "    return sum(xs)")
    assert project.ask("resume", "last").status == 0
    assert "load was not done again when the run was resumed" in why(project, "load")
    said = why(project, "total")
    assert "- raise ValueError('no sum')" in said
    assert said.endswith(f"compared with total of run {run.id}\n")


def test_the_code_of_an_earlier_run_may_be_gone(project: Project) -> None:
    import shutil

    first = project.run()
    shutil.rmtree(project.root / ".fairway" / "bundles" / first.state().bundle)
    project.edit("helpers.py", "SCALE = 2", "SCALE = 3")
    project.run()
    assert f"the code of run {first.id} is not kept" in why(project, "train.0")


def test_it_speaks_json(project: Project) -> None:
    first = project.run()
    project.edit("helpers.py", "SCALE = 2", "SCALE = 3")
    project.run()
    said = project.ask("why", "last", "train.0", "-o", "json").data
    assert (said["task"], said["status"], said["run"], said["other"]) == ("train[0]", "succeeded", first.id, "train[0]")
    (reason,) = said["reasons"]
    assert (reason["part"], reason["name"], reason["before"], reason["after"]) == ("code", "helpers.SCALE", "SCALE = 2", "SCALE = 3")
    assert reason["where"] == line_of(project, "helpers.py", "SCALE = 3")
    assert [link.partition(" ")[0] for link in reason["chain"]] == ["flow.train", "helpers.scale", "helpers.SCALE"]


def test_of_several_tasks_the_first_is_explained_and_an_unknown_one_is_refused(project: Project) -> None:
    project.run()
    assert project.ask("why", "last", "trian").status == 2
    said = project.ask("why", "last", "train")
    assert said.status == 0 and said.out.startswith("train[0]")
    assert said.err == "train is 3 tasks; this is the first\n"
