"""Steps defined in a script that is run, and in a notebook's cells."""

from __future__ import annotations

import json
from pathlib import Path

from tests.semantics.rig import Rig, outputs, statuses

SCRIPT = """
from dataclasses import dataclass

@dataclass
class Point:
    x: int

@fw.step
def double(n: int) -> int:
    return 2 * n

@fw.step
def points(ns: list[int]) -> list:
    return [Point(n) for n in ns]

@fw.pipeline
def main(ns: list[int] = [1, 2]):
    return points(double(fw.each(ns)))
"""
RUN = """
run = fw.run(main)
made = run.outputs["result"].load()
print(run.status, made, type(made[0]) is Point)
"""
TOLD = "succeeded [Point(x=2), Point(x=4)] True\n"


def test_a_script_runs_its_own_steps(rig: Rig) -> None:
    path = rig.write(SCRIPT + "\nif __name__ == '__main__':\n" + RUN.replace("\n", "\n    "))
    done = rig.python(path)
    assert done.stdout == TOLD, done.stderr


def test_a_script_that_runs_at_its_top_level_is_run_once(rig: Rig) -> None:
    path = rig.write(SCRIPT + f"\nwith open({str(rig.root / 'times')!r}, 'a') as file:\n    file.write('x')\n" + RUN)
    done = rig.python(path)
    assert done.stdout == TOLD, done.stderr
    assert rig.count_runs() == 1, "being imported by the workers, it started no run"


def test_the_command_line_runs_such_a_script_once_and_finds_its_results_in_the_cache(rig: Rig) -> None:
    path = rig.write(SCRIPT + RUN)
    assert rig.python(path).returncode == 0
    done = rig.fairway("run", path)
    assert done.returncode == 0, done.stderr
    assert "True" not in done.stdout, "what stands below fw.run is not for it"
    assert rig.count_runs() == 2
    assert set(statuses(rig.last()).values()) == {"cached"}, "the same steps, whoever runs them"


def test_what_stands_below_the_run_is_no_part_of_the_steps(rig: Rig) -> None:
    path = rig.write(SCRIPT + RUN)
    rig.python(path)
    path.write_text(path.read_text() + 'print("edited")\n')
    assert rig.python(path).stdout.endswith("edited\n")
    assert set(statuses(rig.last()).values()) == {"cached"}


def test_a_module_run_by_its_name(rig: Rig) -> None:
    folder = rig.root / "shop"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "churn.py").write_text("import fairway as fw\n" + SCRIPT + RUN)
    done = rig.python("-m", "shop.churn")
    assert done.stdout == TOLD, done.stderr
    assert rig.last().state().graph.steps["double"].module == "shop.churn"


def test_a_module_that_runs_a_pipeline_whenever_it_is_imported_is_named(rig: Rig) -> None:
    rig.write(SCRIPT + RUN, "library.py")
    path = rig.write("import library\n" + SCRIPT.replace("def main", "def outer") + "\nfw.run(outer)\n")
    done = rig.python(path)
    assert done.returncode == 1
    assert "the module 'library' runs a pipeline whenever it is imported" in done.stderr


def test_a_name_that_no_worker_could_import_is_refused(rig: Rig) -> None:
    done = rig.python(rig.write(SCRIPT + RUN, "statistics.py"))
    assert "statistics.py has the name of a module of Python itself" in done.stderr
    assert rig.python(rig.write(SCRIPT + RUN, "my-script.py")).stdout == TOLD


def test_a_prompt_whose_lines_nobody_keeps_is_told_so(rig: Rig) -> None:
    done = rig.python("-c", "import fairway as fw\n" + SCRIPT + RUN)
    assert done.returncode == 1
    assert "the source of `double` is not known" in done.stderr


CELLS = [
    "import fairway as fw\nimport math\nimport pandas as pd\nfrom dataclasses import dataclass",
    "FACTOR = 3\n\ndef scale(x):\n    return x * FACTOR + math.floor(0.5)\n",
    "@dataclass\nclass Point:\n    x: int\n    y: int = 0\n",
    "@fw.step\ndef triple(n: int) -> int:\n    return scale(n)\n",
    "@fw.step\ndef points(ns: list[int]) -> list:\n    return [Point(n) for n in ns]\n",
    "@fw.pipeline\ndef demo(ns: list[int] = [1, 2]):\n    return points(triple(fw.each(ns)))\n",
    "made = fw.run(demo).outputs['result'].load()\nprint(made, type(made[0]) is Point)",
    "FACTOR = 4",
    "print(fw.run(demo).outputs['result'].load())",
    "table = pd.DataFrame({'a': [1]})\n\n@fw.step\ndef held() -> int:\n    return len(table)\n",
    "@fw.pipeline\ndef holding():\n    held()\n",
    "try:\n    fw.run(holding)\nexcept fw.FairwayError as error:\n    print(error.message, '|', error.hint)",
]


def play_cells(rig: Rig, cells: list[str]) -> str:
    """What the cells print when they are run as a kernel does: compiled from no file, their source in `linecache`."""
    program = (
        "import json, linecache, sys\n"
        "namespace = vars(sys.modules['__main__'])\n"
        "for n, text in enumerate(json.loads(sys.argv[1])):\n"
        "    name = f'<ipython-input-{n}>'\n"
        "    linecache.cache[name] = (len(text), None, text.splitlines(True), name)\n"
        "    exec(compile(text, name, 'exec'), namespace)\n"
    )
    done = rig.python("-c", program, json.dumps(cells))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_steps_of_a_notebooks_cells_run_with_what_they_reach(rig: Rig) -> None:
    first, second, refused = play_cells(rig, CELLS).splitlines()
    assert first == "[Point(x=3, y=0), Point(x=6, y=0)] True"
    assert second == "[Point(x=4, y=0), Point(x=8, y=0)]", "an edited cell counts"
    assert refused.startswith("`held` uses `table`, a pandas.DataFrame that exists only in this session | give `table` to the step")


def test_a_notebooks_failure_names_the_line(rig: Rig) -> None:
    cells = [
        "import fairway as fw",
        "@fw.step\ndef broken(n: int) -> int:\n    return 1 // n\n\n@fw.pipeline\ndef main():\n    return broken(0)\n",
        "print(fw.run(main, check=False).tasks['broken'].error.frames[-1].source)",
    ]
    assert play_cells(rig, cells) == "return 1 // n\n"


def test_a_notebooks_run_is_resumed_with_its_recorded_code(rig: Rig) -> None:
    cells = [
        "import fairway as fw\nimport os",
        "@fw.step\ndef fragile(path: str) -> int:\n    assert os.path.exists(path)\n    return 1\n",
        "@fw.pipeline\ndef main(path: str):\n    return fragile(path)\n",
        f"print(fw.run(main, path={str(rig.root / 'go')!r}, check=False).status)",
    ]
    assert play_cells(rig, cells) == "failed\n"
    Path(rig.root, "go").touch()
    assert rig.fairway("resume", "last").returncode == 0
    assert outputs(rig.last()) == {"result": 1}


def test_an_error_in_a_script_shows_what_to_do_below_the_message(rig: Rig) -> None:
    done = rig.python(rig.write(SCRIPT + "\nfw.run(main, sn=[1])\n"))
    assert done.returncode == 1
    *_, message, hint = done.stderr.strip().splitlines()
    assert "has no parameter 'sn'" in message
    assert hint == "its parameters: ns"


def test_a_script_may_read_its_own_arguments_at_its_top_level(rig: Rig) -> None:
    parsing = (
        "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--n', type=int, default=1)\nn = parser.parse_args().n\n"
    )
    path = rig.write(SCRIPT + parsing + RUN.replace("fw.run(main)", "fw.run(main, ns=[n])"))
    done = rig.python(path, "--n", "4")
    assert done.stdout == "succeeded [Point(x=8)] True\n", done.stderr


def test_a_script_that_cannot_be_imported_without_arguments_is_told_what_to_do(rig: Rig) -> None:
    path = rig.write(SCRIPT + "\nimport sys\nif len(sys.argv) < 2:\n    sys.exit('give a number')\n" + RUN)
    done = rig.python(path, "4")
    assert done.returncode == 1
    assert "ended with sys.exit('give a number') while it was imported for its steps" in done.stderr
    assert 'under `if __name__ == "__main__":`' in done.stderr
    refused = rig.fairway("run", path)
    assert refused.returncode == 2
    assert "ended with sys.exit('give a number')" in refused.stderr
