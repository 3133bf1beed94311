"""A configuration read from a file or a mapping, with overrides; each mistake is one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from config_texts import TASK, read, refusal
from meshtune.config.config_file import expand, load_config
from meshtune.errors import UserError


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


def test_reading_a_configuration_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom meshtune.config.config_file import load_config\n"
        "load_config(None, ['tasks=[boolq, piqa]', 'methods=[bank, lora]'])\n"
        "print(*sorted({'torch', 'transformers', 'datasets', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == ""
