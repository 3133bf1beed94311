from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from meshtune import __version__
from meshtune.cli.main import app
from meshtune.tasks.registry import TASKS

HEAVY = ("torch", "transformers", "datasets", "matplotlib", "scipy", "pydantic", "numpy")
VERBS = ("demo", "run", "plan", "eval", "ask", "compare", "tasks", "methods", "models")


def call(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(args))
    return result.exit_code, result.stdout, result.stderr


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom meshtune.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.rstrip().endswith("[]")
    assert all(verb in shown for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    code, out, _ = call(verb, "--help")
    assert code == 0
    assert "Usage" in out
    assert "meshtune " in out.partition("Options:")[0].partition("\n")[2], "an example"


def test_version() -> None:
    assert call("--version")[:2] == (0, f"meshtune {__version__}\n")


def test_the_list_of_tasks_holds_what_is_registered() -> None:
    code, out, _ = call("tasks")
    assert code == 0
    for name, task in TASKS.items():
        line = next(line for line in out.splitlines() if line.split()[:1] == [name])
        assert (task.hub_id or "made here") in line
        assert task.licence in line
    made = [line.split() for line in out.splitlines() if "made here" in line]
    assert [[row[0], *row[3:6]] for row in made] == [
        ["claims", "test", "2", "0.50"],
        ["sequel", "test", "3", "0.33"],
        *([name, "test", "written", f"{TASKS[name].chance:.2f}"] for name in ("sums", "animals", "machines", "crowds")),
    ]
    assert call("tasks", "boolqq")[0] == 2
    assert "did you mean 'boolq'" in call("tasks", "boolqq")[2]


def test_options_and_chance_are_listed_as_their_papers_have_them() -> None:
    lines = [line.split("  ") for line in call("tasks")[1].splitlines()]
    rows = {cells[0]: cells for cells in ([cell.strip() for cell in line if cell.strip()] for line in lines) if cells}
    expected = {
        "boolq": ["2", "0.50"],
        "piqa": ["2", "0.50"],
        "social_i_qa": ["3", "0.33"],
        "hellaswag": ["4", "0.25"],
        "arc_easy": ["3 to 5", "0.25"],
        "arc_challenge": ["3 to 5", "0.25"],
        "scienceqa": ["2 to 5", "0.44"],
        "gsm8k": ["written", "-"],
    }
    assert {name: rows[name][3:5] for name in expected} == expected


@pytest.mark.parametrize(
    "args, words",
    [
        (["run", "absent.yaml"], "there is no configuration file absent.yaml"),
        (["demo", "--set", "trian.rounds=2"], "--set trian.rounds=2: there is no key trian: did you mean train"),
        (["demo", "--set", "tasks=[boolq]", "--set", "methods=[proposd]"], "did you mean proposed"),
        (["eval", "absent"], "there is no run absent"),
        (["ask", "absent", "Is 4 even?"], "there is no run absent"),
        (["compare", "absent"], "there is no run absent"),
    ],
)
def test_mistakes_end_in_one_sentence_and_exit_code_2(args: list[str], words: str) -> None:
    code, out, err = call(*args)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err
