"""Settings: where they are found, which wins, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairway.engine.project import load_project
from fairway.errors import ConfigError
from fairway.spec.target import Limits, TargetSettings


def write(folder: Path, text: str, name: str = "fairway.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def test_without_a_file_the_folder_is_the_root(tmp_path: Path) -> None:
    project = load_project(str(tmp_path), variables={})
    assert project.root == str(tmp_path)
    assert project.name == tmp_path.name
    assert project.home == str(tmp_path / ".fairway")
    assert project.journal == str(tmp_path / ".fairway" / "fairway.db")
    assert project.settings_file == ""


def test_a_folder_below_one_with_runs_belongs_to_it(tmp_path: Path) -> None:
    write(tmp_path / ".fairway", "", "fairway.db")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert load_project(str(below), variables={}).root == str(tmp_path)


def test_the_file_is_found_upward_and_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        'name = "churn"\nhome = "state"\nmax-parallel = 3\ntimeout = "2h"\ninclude = ["sql/*.sql"]\n'
        '[env]\npackages = ["numpy"]\nvariables = { A = "1" }\n[targets.local]\ncpu = 2\n',
    )
    below = tmp_path / "src"
    below.mkdir()
    project = load_project(str(below), variables={})
    assert (project.name, project.home, project.max_parallel, project.timeout_s) == ("churn", str(tmp_path / "state"), 3, 7200.0)
    assert project.include == ("sql/*.sql",)
    assert project.environment.packages == ("numpy",)
    assert project.environment.variables == {"A": "1"}
    assert project.targets == {"local": TargetSettings(limits=Limits(cpu=2.0))}
    assert project.settings_file == str(path)


def test_the_tool_table_of_pyproject_counts(tmp_path: Path) -> None:
    write(tmp_path, '[project]\nname = "other"\n[tool.fairway]\nname = "mine"\n', "pyproject.toml")
    assert load_project(str(tmp_path), variables={}).name == "mine"


def test_a_pyproject_without_our_table_is_passed_by(tmp_path: Path) -> None:
    write(tmp_path, 'name = "above"\n')
    write(tmp_path / "inner", '[project]\nname = "other"\n', "pyproject.toml")
    assert load_project(str(tmp_path / "inner"), variables={}).name == "above"


def test_settings_beside_the_pipeline_win_over_those_of_the_current_folder(tmp_path: Path) -> None:
    write(tmp_path / "here", 'name = "here"\n')
    write(tmp_path / "there", 'name = "there"\n')
    pipeline = write(tmp_path / "there", "", "pipeline.py")
    assert load_project(str(tmp_path / "here"), near=str(pipeline), variables={}).name == "there"


def test_flags_beat_variables_beat_the_file(tmp_path: Path) -> None:
    write(tmp_path, "max-parallel = 1\n")
    variables = {"FAIRWAY_MAX_PARALLEL": "2"}
    assert load_project(str(tmp_path), variables={}).max_parallel == 1
    assert load_project(str(tmp_path), variables=variables).max_parallel == 2
    assert load_project(str(tmp_path), variables=variables, overrides={"max-parallel": 3}).max_parallel == 3


def test_hooks_are_read_with_their_line(tmp_path: Path) -> None:
    path = write(tmp_path, '[[hooks]]\non = ["succeeded"]\npipelines = ["churn*"]\nslack = "${SLACK_URL}"\ntimeout = "3s"\n')
    (hook,) = load_project(str(tmp_path), variables={}).hooks
    assert (hook.kind, hook.target, hook.on, hook.pipelines, hook.timeout_s) == (
        "slack",
        ("${SLACK_URL}",),
        ("succeeded",),
        ("churn*",),
        3.0,
    )
    assert hook.where == f"{path}:4"


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ('nmae = "x"\n', 1, "there is no setting 'nmae'", "did you mean 'name'?"),
        ("\nname = 3\n", 2, "name must be a text, not 3", 'write name = "…"'),
        ("max-parallel = -1\n", 1, "max-parallel must be a whole number from 0, not -1", "write max-parallel = 4"),
        ("max-parallel = true\n", 1, "max-parallel must be a whole number from 0, not True", "write max-parallel = 4"),
        ('timeout = "soon"\n', 1, "timeout: not a duration: 'soon'", 'write "90s", "10m", "1h30m" or a number of seconds'),
        ('durability = "total"\n', 1, "durability cannot be 'total'", "write one of: process, power"),
        ('include = "a"\n', 1, "include must be a list of texts, not 'a'", 'write include = ["…"]'),
        ("[env]\npakages = []\n", 2, "there is no setting env.pakages", "did you mean 'packages'?"),
        ("[env]\npython = 3.12\n", 2, "env.python must be a text, not 3.12", 'write python = "…"'),
        ('[[hooks]]\nwebhook = "x"\n', 2, "hooks.webhook must be an http(s) URL, not 'x'", 'write webhook = "https://…" or "${NAME}"'),
        (
            '[[hooks]]\non = ["failed"]\n',
            1,
            "a hook has exactly one of: command, webhook, slack",
            'write for example webhook = "https://…"',
        ),
        ('[[hooks]]\ncommand = ["a"]\non = ["fialed"]\n', 3, "hooks.on knows no state 'fialed'", "did you mean 'failed'?"),
        ("[targets.local]\ncpus = 1\n", 2, "there is no setting targets.local.cpus", "did you mean 'cpu'?"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_line(tmp_path: Path, text: str, line: int, message: str, hint: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_project(str(tmp_path), variables={})
    assert (caught.value.message, caught.value.hint, caught.value.where) == (message, hint, f"{path}:{line}")


def test_broken_toml_is_refused_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "name =\n")
    with pytest.raises(ConfigError) as caught:
        load_project(str(tmp_path), variables={})
    assert caught.value.where == str(path)
    assert "line 1" in caught.value.message


def test_an_unknown_target_names_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path, '[targets.lab]\nkind = "kubernetes"\n')
    with pytest.raises(ConfigError) as caught:
        load_project(str(tmp_path), variables={}, overrides={"target": "lub"})
    assert "known targets: local, lab" in caught.value.hint


def test_a_targets_amounts_are_read_as_numbers(tmp_path: Path) -> None:
    write(tmp_path, '[targets.local]\nmemory = "2Gi"\ngrace = "500ms"\naccelerators = { "nvidia.com/gpu" = 2 }\n')
    own = load_project(str(tmp_path), variables={}).targets["local"]
    assert own == TargetSettings(limits=Limits(memory_bytes=2 << 30, accelerators={"nvidia.com/gpu": 2}), grace_s=0.5)


@pytest.mark.parametrize(
    "line", ['memory = "lots"', 'grace = "soon"', "cpu = 0", 'cpu = "two"', "accelerators = 2", 'accelerators = { x = "1" }']
)
def test_a_targets_amounts_are_checked_with_their_line(tmp_path: Path, line: str) -> None:
    write(tmp_path, f"[targets.local]\n{line}\n")
    with pytest.raises(ConfigError, match=f"targets.local.{line.split()[0]}") as caught:
        load_project(str(tmp_path), variables={})
    assert caught.value.where.endswith(":2") and caught.value.hint
