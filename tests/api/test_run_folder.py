"""The Python interface from a configuration to answers, on a run of seconds; and the CLI beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import meshtune
from meshtune.cli.main import app

ROUNDS, STEPS = 2, 2


@pytest.fixture(scope="module")
def told() -> list[meshtune.Event]:
    return []


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, whole_settings: dict[str, Any], told: list[meshtune.Event]
) -> meshtune.Run:
    config = meshtune.load_config(
        whole_settings, {"methods": ["bank", "local"], "eval.questions": 2, "train.steps": STEPS}
    )
    return meshtune.run(config, tmp_path_factory.mktemp("runs") / "mine", on_event=told.append)


def test_events_come_typed_and_in_order(finished: meshtune.Run, told: list[meshtune.Event]) -> None:
    kinds = [type(event) for event in told]
    assert set(kinds) == {
        meshtune.PhaseStarted,
        meshtune.Progress,
        meshtune.StepDone,
        meshtune.RoundDone,
        meshtune.Scored,
        meshtune.Note,
        meshtune.RunDone,
    }
    assert told[-1] == meshtune.RunDone(finished.path)
    phases = [event for event in told if isinstance(event, meshtune.PhaseStarted)]
    assert phases == [
        meshtune.PhaseStarted("load", 1),
        meshtune.PhaseStarted("prepare", 3),
        meshtune.PhaseStarted("score", 3),
    ]
    for phase in phases:
        steps = [e for e in told if isinstance(e, meshtune.Progress) and e.phase == phase.phase]
        assert steps == [meshtune.Progress(phase.phase, n + 1, phase.total) for n in range(phase.total)]
        assert told.index(phase) < told.index(steps[0])
    steps_done = [event for event in told if isinstance(event, meshtune.StepDone)]
    assert [(e.round, e.step) for e in steps_done] == [(r, s) for r in (1, 2) for s in range(1, STEPS + 1)]
    assert all((e.rounds, e.steps) == (ROUNDS, STEPS) and e.tokens_per_second > 0 for e in steps_done)
    assert set(steps_done[0].losses) == {f"{method}/{n}" for method in ("bank", "local") for n in range(3)}
    rounds = [event for event in told if isinstance(event, meshtune.RoundDone)]
    assert [event.round for event in rounds] == [1, 2]
    assert 0 < sum(rounds[0].bytes["bank"].values()) < sum(rounds[1].bytes["bank"].values())
    assert sum(rounds[1].bytes["local"].values()) == 0
    order = [e for e in told if isinstance(e, meshtune.StepDone | meshtune.RoundDone)]
    assert [type(e) for e in order] == ([meshtune.StepDone] * STEPS + [meshtune.RoundDone]) * ROUNDS
    for task in ("boolq", "arc_easy", "piqa"):
        counts = [e for e in told if isinstance(e, meshtune.Scored) and e.task == task]
        assert counts[-1].done == counts[-1].total
        assert [e.done for e in counts] == sorted(e.done for e in counts)


def test_a_run_says_what_it_is_and_what_it_found(finished: meshtune.Run) -> None:
    opened = meshtune.open_run(str(finished.path))
    assert opened.path == finished.path
    assert opened.config == finished.config
    assert opened.config.train.rounds == ROUNDS
    assert opened.devices == {0: "boolq", 1: "arc_easy", 2: "piqa"}
    raw = json.loads((finished.path / "results.json").read_text())
    assert [row.value for row in opened.results.rows] == [row["value"] for row in raw["rows"]]
    assert repr(opened) == f"meshtune.open_run('{finished.path}')"


def test_devices_share_one_base_and_answer_as_the_command_does(finished: meshtune.Run) -> None:
    told: list[meshtune.Event] = []
    opened = meshtune.open_run(finished.path, told.append)
    first, second = opened.device(1), opened.device(2, "local")
    assert [e for e in told if isinstance(e, meshtune.PhaseStarted)] == [meshtune.PhaseStarted("load", 1)]
    assert (first.id, first.method, first.router) == (1, "bank", "whitened")
    for device, more in ((first, []), (second, ["--method", "local"])):
        reply = device.ask("Cut board 3", tokens=6)
        asked = ["ask", str(finished.path), "Cut board 3", "--tokens", "6", "--format", "json"]
        shown = json.loads(CliRunner().invoke(app, [*asked, "--device", str(device.id), *more]).stdout)
        assert shown["answer"] == reply.answer
        assert [e["gate"] for e in shown["experts"]] == [weight.gate for weight in reply.weights]
    chosen = first.choose("Is 4 even?", ["yes", "no"])
    assert chosen.answer in ("yes", "no")
    assert sum(odds for _, odds in chosen.options) == pytest.approx(1)
    assert opened.device(1, router="top1").router == "top1"
    assert opened.device(1).router == "whitened"


def test_a_callback_that_raises_stops_the_run_and_the_same_call_goes_on(finished: meshtune.Run, tmp_path: Path) -> None:
    def stop(event: meshtune.Event) -> None:
        if isinstance(event, meshtune.RoundDone):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        meshtune.run(finished.config, tmp_path / "cut", stop)
    with pytest.raises(meshtune.UserError, match=r"no results\.json: finish the run first"):
        _ = meshtune.open_run(tmp_path / "cut").results
    notes: list[str] = []
    done = meshtune.run(
        finished.config, tmp_path / "cut", lambda e: notes.append(e.text) if isinstance(e, meshtune.Note) else None
    )
    assert "resuming after round 1 of 2" in notes
    assert [row.value for row in done.results.rows] == [row.value for row in finished.results.rows]


def test_the_exam_is_sat_again(finished: meshtune.Run, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "copy")
    opened = meshtune.open_run(tmp_path / "copy")
    opened.evaluate(questions=1, routers=["arrow"])
    results = opened.results
    assert "bank:arrow" in results.methods
    assert {row.n for row in results.rows if row.metric == "acc" and row.method == "bank"} == {1}
    with pytest.raises(meshtune.UserError, match="there is no router called arow: did you mean arrow"):
        opened.evaluate(routers=["arow"])


def test_errors_name_arguments_and_no_options(finished: meshtune.Run, tmp_path: Path) -> None:
    device = finished.device()
    (tmp_path / "file").write_text("")
    other = meshtune.load_config(finished.config.model_dump(), {"seed": 5})
    for refused, words in (
        (lambda: meshtune.open_run(tmp_path / "absent"), "there is no run"),
        (lambda: meshtune.open_run(tmp_path), "holds no run: it has no config.json"),
        (lambda: meshtune.run(finished.config, tmp_path / "file"), f"`out` {tmp_path / 'file'} is a file: name a"),
        (lambda: meshtune.run(other, finished.path), f"`out` {finished.path} holds another run (seed: 0 -> 5)"),
        (lambda: finished.device(9), "there is no device 9"),
        (lambda: finished.device(router="top2"), "there is no router called top2: did you mean top1?"),
        (lambda: finished.device(method="local", router="top1"), "`router` top1: local has no router"),
        (lambda: device.ask("Is it?", tokens=256), "`tokens` 256 leaves no room for the prompt"),
        (lambda: device.ask("Is it?", tokens=0), "`tokens` 0 is below 1: give 1 or more"),
        (lambda: device.stream("Is it?", temperature=-1.0), "`temperature` -1 is out of range: give 0, or 0.001 to"),
        (lambda: device.choose("Is it?", ["yes"]), "`options` needs two or more different answers"),
    ):
        with pytest.raises(meshtune.UserError) as caught:
            refused()
        assert words in str(caught.value)
        assert "--" not in str(caught.value)
