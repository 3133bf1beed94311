"""The scripts behind docs/paper-figures.md, on a random model: what they run, write and draw, and how they go on."""

from __future__ import annotations

import importlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import yaml

from meshtune.config.config_file import load_config
from meshtune.errors import UserError

ROOT = Path(__file__).parents[2]
TINY = {
    "model": {"name": "tiny-random"},
    "tasks": ["claims", "sums"],
    "adapter": {"rank": 4, "calibration_batches": 1, "entropy_tokens": 16},
    "train": {"rounds": 1, "steps": 2, "batch": 2, "lr": 1e-3, "lora_lr": 1e-3, "full_lr": 1e-3, "max_tokens": 64},
    "paper": {"mask_steps": 1},
    "router": {"prompts": 8},
    "validation": 4,
    "eval": {"questions": 4},
}
SMALLER = {
    "train.rounds": 1, "train.steps": 1, "train.batch": 1, "train.max_tokens": 96, "train.lr": 1e-3,
    "train.lora_lr": 1e-3, "paper.mask_steps": 1, "router.prompts": 4, "adapter.calibration_batches": 1,
    "adapter.entropy_tokens": 16, "eval.questions": 2, "eval.write": "false",
}  # fmt: skip
DRAWN = (".json", ".md", ".pdf", ".svg")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("paper_figures")


@pytest.fixture
def part(script: Any) -> Any:
    """Import a module of the script by name."""
    return importlib.import_module


def call(script: Any, out: Path, name: str, *words: str, scale: str = "tiny") -> dict[str, Any]:
    script.main([name, "--scale", scale, "--out", str(out), *words])
    folder = out / scale / name
    assert all((folder / name).with_suffix(ending).stat().st_size > 50 for ending in DRAWN)
    assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    svg = (folder / f"{name}.svg").read_text(encoding="utf-8")
    assert 'width="252pt"' in svg  # 3.5 inches of 72 points
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    assert (folder / f"{name}.md").read_text(encoding="utf-8").strip() == script.FIGURES[name].table(found)
    return found


def mean_of(folder: Path, method: str, metric: str, tasks: list[str]) -> float:
    """Return the mean over tasks of the mean over devices, from a run's own rows."""
    rows = json.loads((folder / "results.json").read_text(encoding="utf-8"))["rows"]
    of = [row for row in rows if row["method"] == method and row["metric"] == metric]
    return fmean(fmean(row["value"] for row in of if row["task"] == task) for task in tasks)


def test_every_figure_is_made_and_goes_on_where_it_stopped(
    script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    tiny = replace(script.SCALES["tiny"], config=tmp_path / "tiny.yaml")
    monkeypatch.setitem(script.SCALES, "tiny", tiny)
    out = tmp_path / "out"
    words = ("--counts", "3", "1", "--methods", "lora", "paper@clusters", "--record", str(tmp_path / "all.json"))
    found = call(script, out, "devices", *words)
    methods = ["frozen", "lora", "paper@clusters"]
    assert [(row["devices"], row["method"]) for row in found["rows"]] == [(n, name) for n in (1, 3) for name in methods]
    assert found["first"] == ["claims"]
    for row in found["rows"][-2:]:
        name, _, network = row["method"].partition("@")
        folder = out / "tiny/devices/3-devices/seed-0" / network / name
        assert json.loads((folder / "config.json").read_text())["radio"] == (None if name == "lora" else found_radio())
        for metric in ("acc", "nll"):
            assert row[metric]["value"] == pytest.approx(mean_of(folder, name, metric, ["claims", "sums"]), abs=1e-4)
            first = mean_of(folder, name, metric, ["claims"])
            assert row[f"{metric}_first"]["value"] == pytest.approx(first, abs=1e-4)
    frozen, lora = found["rows"][3], found["rows"][4]
    gap = frozen["nll"]["value"] - lora["nll"]["value"]
    assert frozen["gap"]["nll"]["value"] == pytest.approx(gap, abs=2e-4)
    assert "gap" not in lora
    before = {file: file.stat().st_mtime_ns for file in out.rglob("round-*.safetensors")}
    picture = (out / "tiny/devices/devices.svg").read_bytes()
    assert len(before) == 4
    assert call(script, out, "devices", *words) == found
    assert {file: file.stat().st_mtime_ns for file in out.rglob("round-*.safetensors")} == before
    assert (out / "tiny/devices/devices.svg").read_bytes() == picture
    with pytest.raises(SystemExit):
        call(script, out, "devices", *words, "--set", "eval.questions=3")
    assert "devices: " in capsys.readouterr().err

    table = call(script, out, "table1", "--methods", "lora", "--seeds", "0", "1", "--set", "devices.count=2")
    assert [(row["method"], row["seed"]) for row in table["rows"]] == [
        ("frozen", 0), ("lora", 0), ("frozen", 1), ("lora", 1),
    ]  # fmt: skip
    assert set(table["rows"][1]["tasks"]["acc"]) == {"claims", "sums"}
    alone = call(script, out, "single", "--methods", "lora", "lori", "fpft")
    own = [
        mean_of(out / "tiny/single/seed-0" / task / "lora+lori+fpft", "lori", "nll", [task])
        for task in ("claims", "sums")
    ]
    assert alone["rows"][2]["nll"]["value"] == pytest.approx(fmean(own), abs=1e-4)
    assert alone["names"]["lori"] == "LoRI"

    layers = call(script, out, "entropy", "--seeds", "0", "1", "--record", str(tmp_path / "all.json"))
    assert [(row["task"], row["seed"]) for row in layers["rows"]] == [
        ("claims", 0), ("sums", 0), ("claims", 1), ("sums", 1),
    ]  # fmt: skip
    assert {len(row[key]) for row in layers["rows"] for key in ("entropies", "densities")} == {len(layers["layers"])}
    assert json.loads((tmp_path / "all.json").read_text()) == {"tiny/devices": found, "tiny/entropy": layers}


def found_radio() -> Any:
    return load_config(TINY, ["radio={}"]).model_dump(mode="json")["radio"]


def test_collision_rates_are_those_of_a_binomial(script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of M devices at density s, two or more use a position with 1 - (1-s)^M - M s (1-s)^(M-1)."""
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    monkeypatch.setitem(script.SCALES, "tiny", replace(script.SCALES["tiny"], config=tmp_path / "tiny.yaml"))
    found = call(script, tmp_path, "collisions", "--counts", "2", "5", "9", "--seeds", "0", "1")
    s = found["density"]
    for row in found["rows"]:
        many = row["devices"]
        rate = 1 - (1 - s) ** many - many * s * (1 - s) ** (many - 1)
        assert row["one_cluster"] == pytest.approx(rate, rel=0.05)  # a layer trains whole positions
        assert row["clusters"] <= found["s_max"] + 1e-9
        assert row["clusters"] <= row["one_cluster"] + 1e-9
    assert (tmp_path / "tiny/collisions/collisions.md").read_text().splitlines()[2].startswith("| 2 | 1 | 0.01")


def test_intervals_are_students_over_seeds_and_those_over_questions_of_a_single_one(part: Any) -> None:
    tables = part("paper_tables")
    half = 4.302653 / math.sqrt(3)  # t(0.975, 2) for 1, 2, 3, whose standard deviation is 1
    records = [{"value": value, "low": 0.0, "high": 9.0} for value in (1.0, 2.0, 3.0)]
    assert tables.ends_of(records) == pytest.approx((2, 2 - half, 2 + half), rel=1e-6)
    assert tables.shown(records[:1]) == "1.000 [0.000, 9.000]"
    assert tables.shown([0.25]) == tables.shown([0.25, 0.25]) == "0.250"
    assert tables.shown([None]) == "-"


def test_densities_are_compared_as_they_are_and_less_their_kinds_mean(part: Any) -> None:
    """Two kinds far apart agree; within each kind one task's densities rise where the other's fall."""
    layers = part("paper_layers")
    kinds = layers.kinds_of(["model.0.q", "model.0.v", "model.1.q", "model.1.v"])
    assert kinds == {"q": [0, 2], "v": [1, 3]}
    whole, rest = layers.correlations([0.1, 0.8, 0.2, 0.9], [0.2, 0.9, 0.1, 0.8], kinds.values())
    assert rest == pytest.approx(-1)
    assert whole == pytest.approx(np.corrcoef([0.1, 0.8, 0.2, 0.9], [0.2, 0.9, 0.1, 0.8])[0, 1])


def test_lines_differ_for_colour_blind_readers_and_in_print(part: Any) -> None:
    """The first six colours stay apart without red or green cones (Machado et al. 2009); lines look different too."""
    plots = part("paper_plots")
    blind = np.array(
        [
            [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        ]
    )
    colours = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in plots.COLOURS[:6]])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    for seen in np.einsum("bij,nj->bni", blind, linear).clip(0, 1) ** (1 / 2.2):
        gaps = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
        assert gaps[np.triu_indices(6, 1)].min() > 0.1
    assert len(set(plots.MARKERS)) == len(set(plots.DASHES)) == len(set(plots.COLOURS)) == 8


def test_methods_are_the_figures_own_or_those_asked_for(part: Any) -> None:
    scales = part("paper_scales")
    request = scales.Request(scales.SCALES["paper"], Path(), (0,))
    assert request.chosen(["fpft", "paper@clusters"]) == ["paper@clusters"]
    assert replace(request, methods=["fpft"]).chosen(["lora"]) == ["fpft"]
    with pytest.raises(UserError, match="paper@air: give NAME, or NAME@clusters"):
        replace(request, methods=["lora", "paper@air"]).chosen(["lora"])


def test_the_papers_scales_name_its_models_and_rank(part: Any) -> None:
    scales = part("paper_scales")
    hub = {"paper": "Qwen/Qwen2.5-1.5B-Instruct", "paper-7b": "Qwen/Qwen2.5-7B-Instruct"}
    for name, model in hub.items():
        config = scales.Request(scales.SCALES[name], Path(), (0,)).config()
        assert (config.model.name, config.adapter.rank, len(config.device_tasks)) == (model, 32, 10)
        assert set(config.exams) >= {"boolq", "piqa", "social_i_qa", "gsm8k", "arc_easy", "arc_challenge", "hellaswag"}
        assert "openai_humaneval" in config.exams


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["paper", "paper-7b"])
def test_the_papers_scales_start_with_a_small_model_of_their_family(
    script: Any, scale: str, tmp_path: Path, real_data: Path
) -> None:
    small_qwen2(tmp_path / "qwen2")
    smaller = {**SMALLER, "model.name": tmp_path / "qwen2", "model.dtype": "float32", "data": real_data}
    words = [word for key, value in smaller.items() for word in ("--set", f"{key}={value}")]
    seed = ("--seeds", "0")
    found = call(script, tmp_path, "devices", *words, *seed, "--counts", "2", scale=scale)
    assert [row["method"] for row in found["rows"]] == ["frozen", "proposed", "lora", "paper"]
    assert len(call(script, tmp_path, "collisions", *words, *seed, "--counts", "2", scale=scale)["rows"]) == 1
    assert {row["task"] for row in call(script, tmp_path, "entropy", *words, *seed, scale=scale)["rows"]} == {
        "boolq", "gsm8k",
    }  # fmt: skip
    two = ("--set", "tasks=[boolq, piqa]", "--set", "devices.count=2")
    every = call(script, tmp_path, "table1", *words, *seed, *two, scale=scale)
    assert [row["method"] for row in every["rows"]][1:] == [name for name in every["names"] if name != "fpft"]
    assert call(script, tmp_path, "single", *words, *seed, *two, scale=scale)["rows"]
    config = json.loads(next((tmp_path / scale / "table1").rglob("config.json")).read_text(encoding="utf-8"))
    assert config["adapter"]["rank"] == 32


def small_qwen2(folder: Path) -> None:
    """Write a random Qwen2 of two blocks, wide enough for ten projections of rank 32, with the embedded tokenizer."""
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    base = ROOT / "src/meshtune/assets/base"
    count = len(AutoTokenizer.from_pretrained(base))
    shape = Qwen2Config(
        vocab_size=count, hidden_size=320, intermediate_size=384, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, tie_word_embeddings=True,
    )  # fmt: skip
    Qwen2ForCausalLM(shape).save_pretrained(folder)
    for file in base.glob("tokenizer*"):
        shutil.copy(file, folder / file.name)


def test_the_page_has_the_tables_of_what_was_measured(script: Any) -> None:
    page = (ROOT / "docs" / "paper-figures.md").read_text(encoding="utf-8")
    measured = json.loads((ROOT / "results" / "paper_figures.json").read_text(encoding="utf-8"))
    assert set(measured) >= {"tiny/devices", "tiny/collisions", "tiny/entropy"}
    for key, found in measured.items():
        shown = page.split(f"<!-- {key} -->\n")[1].split(f"<!-- /{key} -->")[0]
        assert shown.strip() == script.FIGURES[found["figure"]].table(found)
