from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from meshtune.cli.advice import a_question, try_next
from meshtune.cli.main import app
from meshtune.config.config_file import validate
from meshtune.config.demo_config import demo_config, is_demo
from meshtune.tasks import registry


def whole(**keys: Any) -> dict[str, Any]:
    return validate({"tasks": ["piqa"], **keys}, "here").model_dump(mode="json")


def piqa(folder: Path, *goals: str) -> dict[str, Any]:
    """A configuration whose only task asks ``goals``."""
    rows = [{"goal": goal, "sol1": "saw", "sol2": "spoon", "label": 0} for goal in goals]
    (folder / "piqa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = str(folder / "piqa.jsonl")
    return whole(tasks=[{"task": "piqa", "train": file, "test": file}])


def test_a_question_is_short_and_of_one_line(tmp_path: Path) -> None:
    config = piqa(tmp_path, "Cut it " + "again and " * 40 + "again", "Cut\nit", "--cut a board", "Cut a board")
    asked, options = a_question(config) or ("", ())
    assert "Cut a board" in asked
    assert not asked.startswith("Question:")
    assert options == ("saw", "spoon")
    assert a_question(piqa(tmp_path, "Cut\nit")) is None
    assert a_question(piqa(tmp_path, "-5 m of board")) is None  # the command line would take it for an option
    assert a_question(whole(data=str(tmp_path / "gone"))) is None
    assert a_question({"tasks": 5}) is None


@pytest.mark.parametrize(
    "goal", ["Cut a board", "Cut Ann's board", 'Cut the "board" for $5 & `more`!', "Cut C:\\board"]
)
def test_commands_can_be_pasted(tmp_path: Path, goal: str) -> None:
    run = tmp_path / "my runs" / "one"
    config = piqa(tmp_path, goal)
    ask, new, compare = (shlex.split(command) for command in try_next(run, config))
    assert ask[:3] + ask[4:] == ["meshtune", "ask", str(run), "--options", "saw|spoon"]
    assert goal in ask[3]
    lean = str(run.parent / "lean")
    assert new == [
        "meshtune", "run", str(run / "config.json"), "--out", lean, "--set", "adapter.density=0.05"
    ]  # fmt: skip
    assert compare == ["meshtune", "compare", str(run), lean]


def test_what_is_there_is_not_suggested_again(tmp_path: Path) -> None:
    config = whole(data="gone", adapter={"density": 0.05})
    (tmp_path / "lean").mkdir()
    assert try_next(tmp_path / "lean", config)[0].endswith(f"--out {tmp_path}/lean-lean --set adapter.density=0.025")
    plain = whole(data="gone", methods=["lora", "local"])
    assert try_next(tmp_path / "one", plain)[0].endswith(f"--out {tmp_path}/sparse --set methods=[proposed,lora,local]")


def test_the_demo_needs_no_file(tmp_path: Path) -> None:
    config = demo_config().model_dump(mode="json")
    assert is_demo(config)
    assert not is_demo({**config, "seed": 1})
    new = next(command for command in try_next(tmp_path / "demo", config) if "--set" in command)
    assert new.startswith(f"meshtune demo --out {tmp_path}/lean --set adapter.density=")


def test_only_verbs_that_exist_are_suggested(tmp_path: Path) -> None:
    verbs = {command.name for command in app.registered_commands}
    assert {shlex.split(command)[1] for command in try_next(tmp_path / "one", piqa(tmp_path, "Cut it"))} <= verbs


def test_written_answers_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from meshtune.tasks.catalogue.boolq import BoolQ

    class Written(BoolQ):
        written = True

        def body(self, row: Any) -> str:
            return str(row["passage"])

        def options(self, row: Any) -> list[str]:
            return ["yes"]

        def answer(self, row: Any) -> int:
            return 0

    monkeypatch.setitem(registry.TASKS._made, "boolq", Written())  # type: ignore[attr-defined]
    config = piqa(tmp_path, "Cut a board")
    (tmp_path / "boolq.jsonl").write_text('{"question": "is it", "passage": "It is.", "answer": true}\n')
    file = str(tmp_path / "boolq.jsonl")
    config = whole(tasks=[{"task": "boolq", "train": file, "test": file}, *config["tasks"]])
    asked, options = a_question(config) or ("", ())
    assert asked == "It is."
    assert options == ()
