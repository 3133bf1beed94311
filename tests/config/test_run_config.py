"""A configuration is read as it is meant, and every mistake in it ends in one sentence with a remedy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meshtune.cli.flags import in_flags
from meshtune.config.config_file import expand, load_config, validate
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError

TASK = "tasks: [boolq]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.yaml"


def refusal(file: Path, text: str, *overrides: str) -> str:
    """Return the sentence that ``text`` ends in on a command line, the file's path shown as FILE."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_config(file, overrides)
    sentence = in_flags(str(caught.value))
    assert "\n" not in sentence
    return sentence.replace(str(file), "FILE")


def read(file: Path, text: str, *overrides: str) -> RunConfig:
    file.write_text(text, encoding="utf-8")
    return load_config(file, overrides)


# What is read


def test_a_task_name_is_a_whole_configuration(file: Path) -> None:
    config = read(file, TASK)
    assert (config.tasks[0].task, config.tasks[0].key, config.tasks[0].source) == ("boolq", "boolq", None)
    assert config.methods == ("proposed", "lora", "hard_moe", "local")
    assert config == validate({"tasks": ["boolq"]}, "test") == load_config(None, ["tasks=[boolq]"])


def test_a_task_is_given_with_its_own_files(file: Path) -> None:
    text = "tasks: [{task: boolq, train: a.jsonl, test: b.jsonl, key: north}, {task: boolq, source: hub}, piqa]"
    own, plain, last = read(file, text).tasks
    assert (own.task, own.train, own.test, own.key) == ("boolq", "a.jsonl", "b.jsonl", "north")
    assert (plain.source, plain.train, plain.key) == ("hub", None, "boolq")
    assert last.key == "piqa"


@pytest.mark.parametrize("written, value", [("1e-3", 0.001), ("1E-3", 0.001), ("2", 2.0), ("0.5", 0.5)])
def test_numbers_are_read_as_people_write_them(file: Path, written: str, value: float) -> None:
    assert read(file, f"{TASK}train: {{lr: {written}}}").train.lr == value
    assert read(file, TASK, f"train.lr={written}").train.lr == value


def test_overrides_win_over_the_file_and_the_last_over_the_first(file: Path) -> None:
    text = f"{TASK}train: {{rounds: 9, steps: 7}}"
    config = read(file, text, "train.rounds=2", "methods=[lora, local]", "data=x=y", "train.rows=1e2", "train.rounds=3")
    assert (config.train.rounds, config.train.steps, config.train.rows) == (3, 7, 100)
    assert config.methods == ("lora", "local")
    assert config.data == "x=y"
    assert read(file, text, "data=").data is None


def test_a_method_named_twice_is_run_once(file: Path) -> None:
    assert read(file, f"{TASK}methods: [lora, local, lora]").methods == ("lora", "local")


@pytest.mark.parametrize(
    "devices, expected",
    [
        ({}, "ab"),
        ({"per_task": 2}, "abab"),
        ({"count": 5}, "ababa"),
        ({"count": 1}, "a"),
        ({"count": 3, "per_task": 9}, "aba"),
    ],
)
def test_devices_take_the_tasks_in_turn(devices: dict[str, int], expected: str) -> None:
    tasks = [{"task": "boolq", "key": "a"}, {"task": "piqa", "key": "b"}]
    config = validate({"tasks": tasks, "devices": devices}, "test")
    assert "".join(task.key for task in config.device_tasks) == expected


def test_a_configuration_survives_its_own_json(file: Path) -> None:
    config = read(file, "tasks: [{task: boolq, key: é}, piqa]\ntrain: {lr: 1e-3}\ndevices: {count: 4}")
    assert validate(config.model_dump(mode="json"), "test") == config


def test_a_task_may_be_tested_on_others_too(file: Path) -> None:
    text = "tasks: [{task: mbpp, key: code, also: [openai_humaneval]}, {task: piqa, also: [boolq, arc_easy]}]"
    config = read(file, text)
    taught = {"code": "code", "openai_humaneval": "code", "piqa": "piqa", "boolq": "piqa", "arc_easy": "piqa"}
    assert config.exams == taught
    assert list(config.exams) == list(taught)
    assert [task.key for task in config.device_tasks] == ["code", "piqa"]
    assert read(file, text, "eval.split=validation").exams == {"code": "code", "piqa": "piqa"}
    assert read(file, "tasks: [{task: openai_humaneval, train: mine.jsonl}]").exams.keys() == {"openai_humaneval"}


def test_answers_may_be_drawn(file: Path) -> None:
    found = read(file, f"{TASK}eval: {{samples: 10, temperature: 0.8, top_p: 0.95, pass_at: [1, 10]}}").eval
    assert (found.samples, found.temperature, found.top_p, found.pass_at) == (10, 0.8, 0.95, (1, 10))
    assert read(file, TASK, "eval.temperature=0.5").eval.samples == 1


# What is refused


@pytest.mark.parametrize("key", ["a\nb", "a\x1b[31mb", "\u202eab", " ab", "ab ", " ", "x" * 101])
def test_a_key_that_would_break_tables_is_refused(key: str) -> None:
    with pytest.raises(UserError, match="a key is shown in tables: give up to 100 characters on one line") as caught:
        validate({"tasks": [{"task": "piqa", "key": key}]}, "FILE")
    assert str(caught.value).isprintable()
    with pytest.raises(UserError, match="a NUL or bytes that are not UTF-8"):
        validate({"tasks": [{"task": "piqa", "key": "\ud83d"}]}, "FILE")
    assert validate({"tasks": [{"task": "piqa", "key": "north 2 (\u00e9)"}]}, "FILE").tasks[0].key == "north 2 (\u00e9)"


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
        (f"{TASK}exchange: {{values: int2}}", "FILE: exchange.values=int2: input should be 'float32', 'bfloat16', "),
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


def test_a_merged_yaml_anchor_is_no_key_given_twice(file: Path) -> None:
    first = "tasks:\n- &one {task: boolq, key: a, train: x.jsonl}\n"
    text = f"{first}- {{<<: *one, key: b}}\n- {{<<: [*one, *one], key: c}}"
    assert [(task.key, task.train) for task in read(file, text).tasks] == [(key, "x.jsonl") for key in "abc"]


@pytest.mark.parametrize(
    "override, sentence",
    [
        ("train.lr", "--set train.lr is not key=value, for example --set train.rounds=2"),
        ("=3", "--set =3 is not key=value"),
        ("train.lr=[", "--set train.lr=[: the value is not valid YAML: "),
        ("data=2024-13-45", "--set data=2024-13-45: the value is not valid YAML: "),
        (
            "data={a: 1, a: 2}",
            "--set data={a: 1, a: 2}: the value is not valid YAML: the key a is given twice",
        ),
        ("tasks.0.task=piqa", "--set tasks.0.task=piqa: tasks is not a group of keys"),
        ("seed.x=1", "--set seed.x=1: seed is not a group of keys"),
        ("train.lrr=1", "--set train.lrr=1: there is no key train.lrr: did you mean train.lr?"),
        ("train..lr=1", "--set train..lr=1: there is no key train.: known keys: rounds, "),
        ("train.lr=fast", "--set train.lr=fast: give a learning rate, 1e-12 to 1e+06, or auto"),
        ("adapter.density=2", "--set adapter.density=2: give a share of B's positions, a number in (0, 1], or planned"),
        ("train={lr: fast}", "--set train={lr: fast}: train.lr=fast: give a learning rate"),
        ("trian.lr=1", "--set trian.lr=1: there is no key trian: did you mean train?"),
        ("places.positions=[[0, far]]", "--set places.positions=[[0, far]]: places.positions.0.1=far: input should be"),
        ("eval.samples=5", "FILE with --set eval.samples=5: eval: 5 samples at temperature 0 would all be the same"),
        ("faults.late=1", "FILE with --set faults.late=1: faults need a radio and its clock"),
        ("seed=" + "1" * 50, f"--set seed={'1' * 50}: give 0 to 9,223,372,036,854,775,807"),
    ],
)
def test_a_mistaken_override_ends_in_one_sentence(file: Path, override: str, sentence: str) -> None:
    assert refusal(file, f"{TASK}seed: 1", override).startswith(sentence)


def test_a_mapping_is_a_configuration_and_so_are_its_overrides() -> None:
    tree = {"tasks": ["boolq"], "train": {"rounds": 3}}
    found = load_config(tree, {"train.steps": 7, "methods": ["local"], "adapter.density": 0.5})
    assert (found.train.rounds, found.train.steps, found.methods, found.adapter.density) == (3, 7, ("local",), 0.5)
    assert tree == {"tasks": ["boolq"], "train": {"rounds": 3}}  # it is copied
    for overrides, sentence in {
        "train.lr": "`overrides` train.lr is not key=value, for example the setting `train.rounds=2`",
        "train.lr=`": "the setting `train.lr='`: the value is not valid YAML",
        "train.rounds=0": "the setting `train.rounds=0`: give 1 to 1,000,000",
        "eval.samples=5": "the configuration with the setting `eval.samples=5`: eval: 5 samples at temperature 0",
    }.items():
        with pytest.raises(UserError) as caught:
            load_config(tree, [overrides])
        assert str(caught.value).startswith(sentence)
    with pytest.raises(UserError, match=r"^the setting `train\.rounds=0`: give 1 to 1,000,000$"):
        load_config(tree, {"train.rounds": 0})


def test_without_a_file_the_sentence_names_the_configuration() -> None:
    with pytest.raises(UserError, match=r"^the configuration: the key tasks is missing$"):
        load_config(None)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_config(tmp_path / "none.yaml")
    assert str(caught.value) == f"there is no configuration file {tmp_path / 'none.yaml'}: check the path"
    (tmp_path / "config.yaml").write_text(TASK)
    with pytest.raises(UserError) as caught:
        load_config(tmp_path / "config.yml")
    assert str(caught.value).endswith(f"config.yml: did you mean {tmp_path / 'config.yaml'}?")
    assert load_config(tmp_path / "config.yaml").tasks[0].task == "boolq"  # as the remedy says


def test_a_file_that_is_no_text_is_not_yaml(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00tasks")
    with pytest.raises(UserError, match="is not valid YAML"):
        load_config(file)


def test_the_configuration_cannot_be_changed_later() -> None:
    config: Any = validate({"tasks": ["boolq"]}, "test")
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


# Paths


def test_a_path_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/somewhere")
    monkeypatch.setenv("HOME", "/home/me")
    assert expand("$PLACE/a") == expand("${PLACE}/a") == "/somewhere/a"
    assert expand("~/a") == "/home/me/a"
    assert expand("plain/a") == "plain/a"


@pytest.mark.parametrize("path", ["$NO_SUCH_PLACE/a", "${NO_SUCH_PLACE}"])
def test_a_variable_that_is_not_set_is_an_error(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_PLACE", raising=False)
    with pytest.raises(UserError) as caught:
        expand(path)
    assert str(caught.value) == f"{path} names an environment variable that is not set: set it or give a path"


# Speed


def test_the_settings_alone_do_not_load_numpy() -> None:
    code = "import sys, meshtune.config.run_config; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"


def test_reading_a_configuration_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom meshtune.config.config_file import load_config\n"
        "load_config(None, ['tasks=[boolq, piqa]', 'methods=[proposed, lora]'])\n"
        "print(*sorted({'torch', 'transformers', 'datasets', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == ""
