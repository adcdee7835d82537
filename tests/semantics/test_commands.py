"""Steps that are programs: files in, files out, values as words, exit codes mapped."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairway.errors import DefinitionError
from tests.semantics.rig import Rig, error_of, outputs, statuses

SORT = """
@fw.step
def write(words: list[str]) -> fw.File:
    with open("words.txt", "w") as file:
        file.write("".join(word + "\\n" for word in words))
    return fw.File("words.txt")

@fw.step
def read(words: fw.File) -> list[str]:
    return words.read_text().split()

sort = fw.command(["sort", fw.In("words"), "-o", fw.Out("sorted")])

@fw.pipeline
def main(words: list[str] = ["pear", "fig", "apple"]):
    return read(sort(words=write(words)).sorted)
"""

ORDER = "open(sys.argv[2], 'w').write('\\n'.join(sorted(words, key=key)))\n"


def test_files_go_in_and_out_by_name(rig: Rig) -> None:
    run = rig.run(SORT)
    assert outputs(run) == {"result": ["apple", "fig", "pear"]}
    made = run.tasks["sort"].outputs["sorted"]
    assert Path(made.path()).read_text() == "apple\nfig\npear\n"


def test_a_command_is_cached_by_its_words_and_inputs(rig: Rig) -> None:
    path = rig.write(SORT)
    rig.fairway("run", path)
    rig.fairway("run", path)
    assert statuses(rig.last())["sort"] == "cached"
    path.write_text(path.read_text().replace('["sort", ', '["sort", "-r", '))
    rig.fairway("run", path)
    assert statuses(rig.last()) == {"write": "cached", "sort": "succeeded", "read": "succeeded"}
    assert outputs(rig.last()) == {"result": ["pear", "fig", "apple"]}


def test_modules_beside_a_commands_script_that_it_imports_are_a_part_of_its_code(rig: Rig) -> None:
    (rig.root / "tools").mkdir()
    (rig.root / "tools" / "order.py").write_text("import sys\nfrom keys import key\nwords = open(sys.argv[1]).read().split()\n" + ORDER)
    keys = rig.root / "tools" / "keys.py"
    keys.write_text("key = len\n")
    command = '["python", "tools/order.py", fw.In("words"), fw.Out("sorted")]'
    path = rig.write(SORT.replace('["sort", fw.In("words"), "-o", fw.Out("sorted")]', command))
    assert rig.fairway("run", path).returncode == 0
    assert outputs(rig.last()) == {"result": ["fig", "pear", "apple"]}
    keys.write_text("key = str\n")
    rig.fairway("run", path)
    assert outputs(rig.last()) == {"result": ["apple", "fig", "pear"]}


def test_a_commands_own_script_is_a_part_of_its_code(rig: Rig) -> None:
    script = rig.root / "count.sh"
    script.write_text("wc -l < $1 > $2\n")
    path = rig.write(
        SORT.replace('["sort", fw.In("words"), "-o", fw.Out("sorted")]', '["sh", "count.sh", fw.In("words"), fw.Out("sorted")]')
        .replace("sort =", "count =")
        .replace("sort(", "count(")
    )
    assert rig.fairway("run", path).returncode == 0
    assert outputs(rig.last()) == {"result": ["3"]}
    script.write_text("wc -c < $1 > $2\n")
    rig.fairway("run", path)
    assert outputs(rig.last()) == {"result": ["15"]}


FORMS = """
import pandas as pd

show = fw.command(["sh", "-c", 'echo "$1" "$2" "$3" > "$4"; cat "$5" >> "$4"', "show", fw.In("n", int), fw.In("word", str, default="none"),
    fw.In("both", list), fw.Out("text", str), fw.In("table")])

one_text = fw.command(["sh", "-c", "echo {param:n} > {out:text}; cat {in:table} >> {out:text}"], outputs=[fw.Out("text", str)])

numbers = fw.command(["sh", "-c", "echo '[1, 2]' > $0", fw.Out("numbers", list[int])])

folder = fw.command(["sh", "-c", "mkdir -p $0 && touch $0/a $0/b", fw.Out("made", fw.Directory)])

beside = fw.command(["sh", "-c", "echo 7 > answer.json"], outputs=[fw.Out("answer", int)])

@fw.step
def table() -> dict:
    return {"a": 1}

@fw.step
def frame() -> pd.DataFrame:
    return pd.DataFrame({"a": [1, 2]})

@fw.step
def listed(made: fw.Directory) -> list[str]:
    return sorted(file.name for file in made.files())

@fw.pipeline
def main(n: int = 3):
    return {
        "show": show(n=n, both=[1, "x"], table=table()).text,
        "one": one_text(n=n, table=table()).text,
        "csv": one_text(n=n, table=frame()).text,
        "numbers": numbers().numbers,
        "folder": listed(folder().made),
        "beside": beside().answer,
    }
"""


def test_values_are_words_tables_are_files_and_outputs_are_of_their_type(rig: Rig) -> None:
    assert outputs(rig.run(FORMS)) == {
        "show": '3 none [1, "x"]\n{"a": 1}',
        "one": '3\n{"a": 1}',
        "csv": "3\na\n1\n2\n",
        "numbers": [1, 2],
        "folder": ["a", "b"],
        "beside": 7,
    }


EXITS = """
run = fw.command(
    ["sh", "-c", 'echo made > $1; [ -e "$2" ] || exit {param:code}', "sh", fw.Out("out"), fw.In("marker", str), fw.In("code", int)],
    exit_codes={3: "skip", 75: "retry", 4: "ok", 5: "fail"}, retry=fw.retry(2, backoff=0), name="run",
)

@fw.step
def after(out: fw.File) -> str:
    return out.read_text()

@fw.pipeline
def main(code: int, marker: str = "/does/not/exist"):
    return after(run(code=code, marker=marker).out)
"""


@pytest.mark.parametrize(
    ("code", "status", "tries", "ended"),
    [
        (0, "succeeded", 1, "succeeded"),
        (4, "succeeded", 1, "succeeded"),
        (3, "skipped", 1, "succeeded"),
        (75, "failed", 2, "failed"),
        (5, "failed", 1, "failed"),
        (9, "failed", 2, "failed"),
    ],
)
def test_exit_codes_mean_what_they_are_said_to_mean(rig: Rig, code: int, status: str, tries: int, ended: str) -> None:
    run = rig.run(EXITS, {"code": code})
    assert (run.status, run.tasks["run"].status, len(run.tasks["run"].attempts)) == (ended, status, tries)
    if status == "failed":
        assert error_of(run).kind == f"exit:{code}"
        assert f"ended with exit code {code}" in error_of(run).message
        assert "log" in error_of(run).hint


def test_its_lines_are_the_steps_log(rig: Rig) -> None:
    run = rig.run("""
        talk = fw.command(["sh", "-c", "echo out; echo err >&2"], name="talk")

        @fw.pipeline
        def main():
            talk()
    """)
    assert sorted(run.tasks["talk"].logs().split()) == ["err", "out"]


FAILING = {
    "an output that was not written": ('["true", fw.Out("made")]', "wrote no output 'made'", "output"),
    "no such program": ('["no-such-program-here"]', "there is no program 'no-such-program-here'", "UnsupportedError"),
    "killed by a signal": ('["sh", "-c", "kill -SEGV $$"]', "SIGSEGV", "crash"),
    "no JSON where some is declared": ('["sh", "-c", "echo x > $0", fw.Out("n", int)]', "wrote no JSON", "output"),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_command_that_fails_says_why(rig: Rig, case: str) -> None:
    argv, message, kind = FAILING[case]
    run = rig.run(f"run = fw.command({argv})\n\n@fw.pipeline\ndef main():\n    run()\n")
    assert run.status == "failed"
    assert message in error_of(run).message
    assert error_of(run).kind == kind


WRONG = {
    'fw.command("sort words.txt")': ("takes a list of words", '["sh", "-c"'),
    "fw.command([])": ("takes a list of words", "Rscript"),
    'fw.command(["a", None])': ("not a word of a command line", "fw.In"),
    'fw.command(["a", fw.In("x"), fw.Out("x")])': ("both an input and an output", "two names"),
    'fw.command(["a"], exit_codes={300: "ok"})': ("from 0 to 255", "skip"),
    'fw.command(["a"], exit_codes={3: "okay"})': ("one of ok, skip, retry, fail", "skip"),
    'fw.command(["a"], memry="1Gi")': ("no setting `memry`", "memory"),
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_is_refused_with_the_line(rig: Rig, line: str) -> None:
    message, hint = WRONG[line]
    with pytest.raises(DefinitionError) as caught:
        rig.load(f"{line}\n\n@fw.pipeline\ndef main(): ...\n")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.where.endswith(":3")


def test_a_missing_argument_is_refused_before_the_run(rig: Rig) -> None:
    with pytest.raises(DefinitionError, match="`sort` is called without `words`"):
        rig.run(SORT.replace("sort(words=write(words))", "sort()"))


def test_the_words_see_the_tasks_seed(rig: Rig) -> None:
    run = rig.run("""
        seeded = fw.command(["sh", "-c", "echo $FAIRWAY_SEED > $0", fw.Out("seed", int)], cache=False)

        @fw.step
        def seed() -> int:
            return fw.context().seed

        @fw.pipeline
        def main():
            return seeded().seed
    """)
    assert outputs(run)["seed"] > 0


def test_a_command_finds_what_its_try_before_has_saved(rig: Rig) -> None:
    run = rig.run("""
        script = '''
            cd "$FAIRWAY_CHECKPOINTS"
            if [ -e five ]; then cat five > "$0"; exit 0; fi
            echo 5 > five.part; mv five.part five; exit 1
        '''
        train = fw.command(["sh", "-c", script, fw.Out("best", int)], cache=False, retry=fw.retry(2, backoff=0), name="train")

        @fw.pipeline
        def main():
            return train().best
    """)
    assert outputs(run)["best"] == 5


def test_one_item_of_a_batch_does_not_pass_off_the_outputs_of_the_item_before_as_its_own(rig: Rig) -> None:
    run = rig.run("""
        make = fw.command(
            ["sh", "-c", "[ {param:n} = 2 ] || echo {param:n} > {out:made}; ls > left"], outputs=[fw.Out("left", str)], name="make"
        )

        @fw.pipeline
        def main():
            made = make(n=fw.each([1, 2], batch=2))
            return made.left
    """)
    assert run.status == "failed"
    assert statuses(run) == {"make[0]": "succeeded", "make[1]": "failed"}
    assert "wrote no output 'made'" in error_of(run).message
