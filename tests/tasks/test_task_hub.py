"""The hub path: what ``datasets`` is asked for, and what comes of its answers and its failures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from meshtune.errors import UserError
from meshtune.tasks import load

datasets = pytest.importorskip("datasets")

ROW: dict[str, dict[str, Any]] = {
    "boolq": {"question": "q", "passage": "p", "answer": True},
    "piqa": {"goal": "g", "sol1": "a", "sol2": "b", "label": 0},
    "social_i_qa": {
        "context": "c",
        "question": "q",
        "answerA": "a",
        "answerB": "b",
        "answerC": "c",
        "label": "1",
    },
    "hellaswag": {"ctx": "c", "activity_label": "l", "endings": ["a", "b"], "label": "0"},
    "arc_easy": {"question": "q", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "1"},
    "scienceqa": {"question": "q", "choices": ["a", "b"], "answer": 0, "hint": ""},
    "gsm8k": {"question": "q", "answer": "a\n#### 1"},
    "mbpp": {"text": "t", "code": "def f(): pass", "test_list": ["assert f"], "test_setup_code": ""},
}
ROW["arc_challenge"] = ROW["arc_easy"]
PARQUET = "refs/convert/parquet"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Replace ``load_dataset``: it notes what it is asked, then returns or raises what it was given."""

    def install(answer: Any) -> list[Any]:
        asked: list[Any] = []

        def load_dataset(path: str, name: str | None = None, *, split: str, revision: str | None = None) -> Any:
            asked.append((path, name, split, revision))
            if isinstance(answer, Exception):
                raise answer
            return datasets.Dataset.from_list(answer)

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        monkeypatch.delenv("MESHTUNE_DATA", raising=False)
        return asked

    return install


@pytest.mark.parametrize(
    ("task", "train", "test"),
    [
        ("boolq", ("google/boolq", None, "train", None), "validation"),
        ("piqa", ("ybisk/piqa", None, "train", PARQUET), "validation"),
        ("social_i_qa", ("allenai/social_i_qa", None, "train", PARQUET), "validation"),
        ("hellaswag", ("Rowan/hellaswag", None, "train", None), "validation"),
        ("arc_easy", ("allenai/ai2_arc", "ARC-Easy", "train", None), "test"),
        ("arc_challenge", ("allenai/ai2_arc", "ARC-Challenge", "train", None), "test"),
        ("scienceqa", ("derek-thomas/ScienceQA", None, "train", None), "test"),
        ("gsm8k", ("openai/gsm8k", "main", "train", None), "test"),
        ("mbpp", ("google-research-datasets/mbpp", "full", "train", None), "test"),
    ],
)
def test_what_is_asked_of_the_hub(hub: Callable[..., list[Any]], task: str, train: Any, test: str) -> None:
    asked = hub([ROW[task]])
    assert len(load(task, "train", "hub")) == 1
    assert load(task, "test")[0].answer == 0
    assert asked == [train, (*train[:2], test, train[3])]


def test_dolly_has_one_split_on_the_hub_and_both_are_cut_from_it(hub: Callable[..., list[Any]]) -> None:
    rows = [{"instruction": f"Why {n}?", "context": "", "response": "So.", "category": "open_qa"} for n in range(60)]
    asked = hub([*rows, {**rows[0], "category": "brainstorming"}])
    train, test = load("dolly_open_qa", "train", "hub"), load("dolly_open_qa", "test", "hub")
    assert set(asked) == {("databricks/databricks-dolly-15k", None, "train", None)}
    assert sorted(int(q.id) for q in [*train, *test]) == list(range(60))
    assert train
    assert test
    assert [q.id for q in load("dolly_open_qa", "test", "hub")] == [q.id for q in test]


def test_humaneval_has_no_training_rows(hub: Callable[..., list[Any]]) -> None:
    asked = hub([])
    with pytest.raises(UserError, match=r"openai/openai_humaneval has no train split: give a \.jsonl file"):
        load("openai_humaneval", "train", "hub")
    with pytest.raises(UserError, match="holds no question of task openai_humaneval"):
        load("openai_humaneval", "test", "hub")
    assert asked == [("openai/openai_humaneval", None, "test", None)]


def test_an_empty_variable_means_the_hub(hub: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hub([ROW["piqa"]])
    monkeypatch.setenv("MESHTUNE_DATA", "")
    load("piqa", "train")
    assert len(asked) == 1


def test_rows_with_an_image_are_left_out(hub: Callable[..., list[Any]]) -> None:
    image = {"bytes": b"not decoded", "path": None}
    hub(
        [
            {**ROW["scienceqa"], "image": None},
            {**ROW["scienceqa"], "image": image},
            {**ROW["scienceqa"], "image": None},
        ]
    )
    assert [q.id for q in load("scienceqa", "train", "hub")] == ["0", "2"]


def test_hub_rows_with_an_empty_option_are_left_out_with_a_warning(hub: Callable[..., list[Any]]) -> None:
    hub([ROW["piqa"], {**ROW["piqa"], "sol2": " "}, ROW["piqa"]])
    with pytest.warns(UserWarning, match="left out 1 rows of ybisk/piqa"):
        assert [q.id for q in load("piqa", "train", "hub")] == ["0", "2"]


def test_any_other_fault_of_a_hub_row_is_placed(hub: Callable[..., list[Any]]) -> None:
    hub([ROW["piqa"], {**ROW["piqa"], "label": -1}])
    with pytest.raises(UserError, match=r"ybisk/piqa \(train\) row 2: field 'label' is -1, .* answers are hidden"):
        load("piqa", "train", "hub")


@pytest.mark.parametrize("error", [ConnectionError("no\nroute"), RuntimeError("no\nroute"), LookupError("no\nroute")])
def test_an_unreachable_hub_is_one_sentence(hub: Callable[..., list[Any]], error: Exception) -> None:
    hub(error)
    with pytest.raises(UserError, match=r"cannot load google/boolq \(train\) from the hub \(\w+: no route\)") as caught:
        load("boolq", "train", "hub")
    assert "MESHTUNE_DATA" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match="needs the package 'datasets'"):
        load("boolq", "train", "hub")
