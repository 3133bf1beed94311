"""A configuration is read as it is meant, and every mistake in it ends in one sentence with a remedy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config_texts import TASK, read, refusal
from meshtune.config.config_file import load_config, validate


def test_a_task_name_is_a_whole_configuration(file: Path) -> None:
    config = read(file, TASK)
    assert (config.tasks[0].task, config.tasks[0].key, config.tasks[0].source) == ("boolq", "boolq", None)
    assert config.methods == ("proposed", "lora", "oracle", "local")
    assert config == validate({"tasks": ["boolq"]}, "test") == load_config(None, ["tasks=[boolq]"])


def test_a_method_named_twice_is_run_once(file: Path) -> None:
    assert read(file, f"{TASK}methods: [lora, local, lora]").methods == ("lora", "local")


def test_a_configuration_survives_its_own_json(file: Path) -> None:
    config = read(file, "tasks: [{task: boolq, key: é}, piqa]\ntrain: {lr: 1e-3}\ndevices: {count: 4}")
    assert validate(config.model_dump(mode="json"), "test") == config


def test_answers_may_be_drawn(file: Path) -> None:
    found = read(file, f"{TASK}eval: {{samples: 10, temperature: 0.8, top_p: 0.95, pass_at: [1, 10]}}").eval
    assert (found.samples, found.temperature, found.top_p, found.pass_at) == (10, 0.8, 0.95, (1, 10))
    assert read(file, TASK, "eval.temperature=0.5").eval.samples == 1


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("", "FILE: the key tasks is missing"),
        ("task: [boolq]", "FILE: there is no key task: did you mean tasks?"),
        (f"{TASK}trian: {{lr: 1}}", "FILE: there is no key trian: did you mean train?"),
        (
            f"{TASK}adapter: {{densty: 1}}",
            "FILE: there is no key adapter.densty: did you mean adapter.density?",
        ),
        ("tasks: [{tsk: boolq}]", "FILE: there is no key tasks.0.tsk: did you mean tasks.0.task?"),
        (f"{TASK}devices: {{zzz: 1}}", "FILE: there is no key devices.zzz: known keys: per_task, count"),
        ("tasks: [{key: boolq}]", "FILE: the key tasks.0.task is missing"),
        ("tasks: [boolq, boolq]", "FILE: tasks: the task key boolq appears twice: use devices.per_task for "),
        ("tasks: [{task: piqa, key: boolq}, boolq]", "FILE: tasks: the task key boolq appears twice: use "),
        (f"{TASK}exchange: {{values: int3}}", "FILE: exchange.values=int3: input should be 'float32', 'bfloat16', "),
        (f"{TASK}exchange: {{block: 4}}", "FILE: exchange.block=4: input should be greater than or equal to 8"),
        (
            f"{TASK}exchange: {{block: 8192}}",
            "FILE: exchange.block=8192: input should be less than or equal to 4096",
        ),
        ("tasks: []", "FILE: tasks: tuple should have at least 1 item"),
        ("tasks: boolq", "FILE: tasks=boolq: input should be a valid tuple"),
        ("tasks: [boolk]", "unknown task 'boolk': did you mean 'boolq'? the tasks are boolq, piqa, "),
        ("tasks: [{task: ARC-Easy}]", "unknown task 'ARC-Easy': did you mean 'arc_easy'?"),
        ("tasks: [qqqq]", "unknown task 'qqqq': the tasks are boolq, piqa, "),
        (f"{TASK}methods: [propsed]", "there is no method called propsed: did you mean proposed?"),
        (f"{TASK}methods: [zz]", "there is no method called zz: choose from proposed, lora, "),
        (f"{TASK}train: {{rates: {{propsed: 1}}}}", "there is no method called propsed: did you mean proposed?"),
        (
            f"{TASK}train: {{rates: {{lora: 0}}}}",
            "FILE: train.rates.lora=0: give a learning rate, 1e-12 to 1e+06, or auto",
        ),
        (f"{TASK}methods: []", "FILE: methods: tuple should have at least 1 item"),
        (
            f"{TASK}adapter: {{density: 0}}",
            "FILE: adapter.density=0: give a share of B's positions, a number in (0, 1], or planned",
        ),
        (f"{TASK}adapter: {{density: -0.1}}", "FILE: adapter.density=-0.1: give a share of B's positions"),
        (f"{TASK}adapter: {{density: 1.01}}", "FILE: adapter.density=1.01: give a share of B's positions"),
        (f"{TASK}adapter: {{density: .nan}}", "FILE: adapter.density=nan: give a share of B's positions"),
        (f"{TASK}devices: {{count: 0}}", "FILE: devices.count=0: give 1 to 200,000"),
        (f"{TASK}devices: {{count: two}}", "FILE: devices.count=two: input should be a valid integer"),
        (f"{TASK}train: {{rounds: 2.5}}", "FILE: train.rounds=2.5: input should be a valid integer"),
        (f"{TASK}seed: -1", "FILE: seed=-1: give 0 to 9,223,372,036,854,775,807"),
        (
            f"{TASK}graph: {{kind: star}}",
            "FILE: graph.kind=star: input should be 'full', 'ring', 'random', 'exponential' or 'geometric'",
        ),
        (f"{TASK}train: 3", "FILE: train=3: input should be a valid dictionary"),
        ("tasks: [{task: mbpp, also: [humaneval]}]", "unknown task 'humaneval': did you mean 'openai_humaneval'?"),
        ("tasks: [{task: piqa, also: [piqa]}]", "FILE: tasks: two exams are called piqa: take it out of also, or "),
        ("tasks: [{task: piqa, also: [boolq]}, boolq]", "FILE: tasks: two exams are called boolq: take it out of "),
        (
            "tasks: [openai_humaneval]",
            "FILE: tasks: openai_humaneval is for testing only: name it in the also of a task, for example "
            "{task: mbpp, also: [openai_humaneval]}",
        ),
        (
            f"{TASK}eval: {{samples: 5}}",
            "FILE: eval: 5 samples at temperature 0 would all be the same: set eval.temperature=0.8",
        ),
        (
            f"{TASK}eval: {{samples: 5, temperature: 1, pass_at: [1, 10]}}",
            "FILE: eval: pass@10 needs as many samples: set eval.samples=10",
        ),
        (f"{TASK}eval: {{pass_at: [0]}}", "FILE: eval.pass_at.0=0: give 1 to 10,000"),
        (f"{TASK}eval: {{top_p: 0}}", "FILE: eval.top_p=0: input should be greater than or equal to 0.000001"),
        (f"{TASK}1: 2", "FILE: 1=1: keys should be strings"),
        (f"{TASK}train: [", "FILE is not valid YAML: "),
        (f"{TASK}data: 2024-13-45", "FILE is not valid YAML: month must be in 1..12"),
        (f"{TASK}train: {{lr: 1, lr: 2}}", "FILE is not valid YAML: the key lr is given twice"),
        (f"{TASK}{TASK}", "FILE is not valid YAML: the key tasks is given twice"),
        ("a: " + "[" * 5000, "FILE is not valid YAML: "),
        ("[boolq]", "FILE holds a list: a configuration is a mapping of keys to values"),
        ("boolq", "FILE holds a str: a configuration is a mapping of keys to values"),
    ],
)
def test_a_mistake_ends_in_one_sentence(file: Path, text: str, sentence: str) -> None:
    assert refusal(file, text).startswith(sentence)


@pytest.mark.parametrize("density", [1, 1e-9])
def test_the_ends_of_the_density_are_where_they_are_said_to_be(density: float) -> None:
    assert validate({"tasks": ["boolq"], "adapter": {"density": density}}, "test").adapter.density == density


def test_the_configuration_cannot_be_changed_later() -> None:
    config: Any = validate({"tasks": ["boolq"]}, "test")
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


def test_the_settings_alone_do_not_load_numpy() -> None:
    code = "import sys, meshtune.config.run_config; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"
