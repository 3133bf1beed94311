"""Making the embedded base model, on a tiny scale: a function of its seed, whether it was stopped or not."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import meshtune
from meshtune.seeds import stream
from meshtune.tasks import TASKS
from meshtune.tasks.generated import GeneratedTask
from meshtune.world.corpus import documents
from script_modules import load_script

SCRIPT = Path(__file__).parents[2] / "scripts" / "pretrain_base.py"
TINY = "--steps 6 --width 32 --blocks 1 --mlp 32 --heads 2 --rows 2 --tokens 64 --save-every 2".split()  # noqa: SIM905
GENERATED = [name for name, task in TASKS.items() if isinstance(task, GeneratedTask)]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(SCRIPT)


@pytest.fixture(scope="module")
def tokenizer(script: ModuleType) -> Any:
    return script.train_tokenizer(0, 768)


@pytest.fixture
def train(script: ModuleType, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the script with tiny settings; return the weights before they are rounded to bf16."""
    monkeypatch.setattr(script, "train_tokenizer", lambda seed, vocabulary: tokenizer)
    last: dict[str, torch.Tensor] = {}
    finish = script.finish

    def finished(args: Any, model: Any, *others: Any) -> None:
        last.update({name: value.clone() for name, value in model.state_dict().items()})
        finish(args, model, *others)

    monkeypatch.setattr(script, "finish", finished)

    def run(out: Path, *more: str) -> dict[str, torch.Tensor]:
        last.clear()
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--out", str(out), *TINY, *more])
        script.main()
        return dict(last)

    return run


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def test_weights_are_a_function_of_the_seed(train: Any, tmp_path: Path) -> None:
    first, again, other = train(tmp_path / "a"), train(tmp_path / "b"), train(tmp_path / "c", "--seed", "1")
    assert first
    assert same(first, again)
    assert not same(first, other)
    written = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in "abc"]
    assert written[0] == written[1] != written[2]


@pytest.mark.parametrize("behind", [1, 4])
def test_a_stopped_training_ends_in_the_same_weights(
    train: Any,
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    behind: int,
) -> None:
    whole = train(tmp_path / "whole")
    batch = script.batch
    steps: list[int] = []

    def stopping(tokenizer: Any, args: Any, purpose: str, step: int, device: str) -> Any:
        steps.extend([step] if purpose == "train" else [])
        if steps == list(range(behind + 1)):
            raise KeyboardInterrupt
        return batch(tokenizer, args, purpose, step, device)

    monkeypatch.setattr(script, "batch", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", "--save-every", "1")
    stopped = tmp_path / "stopped"
    assert (stopped / "checkpoint.pt").exists()
    assert not (stopped / "model.safetensors").exists()
    assert "going on" not in capsys.readouterr().out
    steps.clear()
    assert same(train(stopped), whole)
    assert steps == list(range(behind, 6))
    assert f"going on behind step {behind}\n" in capsys.readouterr().out
    assert (stopped / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert not (stopped / "checkpoint.pt").exists()


def test_the_folder_is_a_model_and_its_card_says_how_good(
    train: Any, script: ModuleType, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = train(tmp_path)
    written = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(value, exact[name].to(torch.bfloat16)) for name, value in written.items())
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    size = sum(p.numel() for p in model.parameters())
    # 2 tied embeddings once; q, k, v with biases and o; gate, up, down; three norms.
    blocks = (32 * 32 + 32) + 2 * (32 * 16 + 16) + 32 * 32 + 3 * 32 * 32 + 2 * 32
    assert size == len(tokenizer) * 32 + blocks + 32
    card = (tmp_path / "CARD.md").read_text()
    assert f"{size:,} parameters (1 blocks, width 32, {len(tokenizer)} tokens" in card
    assert "seed 0, 6 steps, 768 tokens seen" in card
    settings = re.search(r"--out DIR` with (.*)\n", card)
    assert settings
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--out", "x", *settings[1].split()])
    args = script.arguments()
    losses = []
    for number in range(8):
        tokens, weights = script.batch(tokenizer, args, "held-out", number, "cpu")
        with torch.no_grad():
            chances = model(tokens[:, :-1]).logits.double().softmax(-1)
        found = chances.gather(-1, tokens[:, 1:, None])[..., 0]
        losses.append(-(found.log() * weights).sum() / weights.sum())
    stated = re.search(r"held-out loss ([0-9.]+)", card)
    assert stated
    assert float(stated[1]) == pytest.approx(float(sum(losses)) / 8, abs=1e-3)


def test_the_loaded_tokenizer_reads_as_the_trained_one(train: Any, tokenizer: Any, tmp_path: Path) -> None:
    train(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    texts = [" ".join(piece for piece, _ in found) for found in itertools.islice(documents(stream(5)), 100)]
    texts += ["", "x", "Question: Is 12 + 7 = 19?\nAnswer:", "naïve 東京 \t\n\n don't", "<|end|>Ann<|end|>"]
    for text in texts:
        tokens = tokenizer(text)["input_ids"]
        assert loaded(text)["input_ids"] == tokens
        assert loaded.decode(tokens) == text
    assert loaded.eos_token_id == tokenizer.eos_token_id == loaded("<|end|>")["input_ids"][0]
    assert len(loaded) == len(tokenizer) <= 768


def test_a_tokenizer_is_a_function_of_what_it_read(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    few = list(itertools.islice(documents(stream(3)), 300))
    monkeypatch.setattr(script, "documents", lambda draw: itertools.cycle(few))
    assert script.train_tokenizer(0, 400).get_vocab() == script.train_tokenizer(0, 400).get_vocab()


def test_the_shipped_tokenizer_is_the_one_that_is_trained(tokenizer: Any) -> None:
    """Were the world told in other words, the shipped model would have to be trained again."""
    shipped = AutoTokenizer.from_pretrained(Path(meshtune.__file__).parent / "assets" / "base")
    assert shipped.get_vocab() == tokenizer.get_vocab()
    texts = [" ".join(piece for piece, _ in found) for found in itertools.islice(documents(stream(6)), 100)]
    assert shipped(texts)["input_ids"] == tokenizer(texts)["input_ids"]


def test_answers_fit_into_the_tokens_they_may_have(tokenizer: Any) -> None:
    """As the shipped tokenizer cuts them, and a word of the world costs few tokens."""
    for name in GENERATED:
        task = TASKS[name]
        assert isinstance(task, GeneratedTask)
        rows = list(itertools.islice(task.rows("train", 0), 500))
        answers = {option for row in rows for option in row["options"]}
        longest = max(len(tokenizer(f" {answer}")["input_ids"]) for answer in answers)
        assert longest <= task.longest_answer - 1  # one is left for the end


def test_rows_are_documents_and_weights_mark_what_can_be_known(
    script: ModuleType, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--out", "x", "--rows", "3", "--told", "0.25", "--seed", "9"])
    tokens, weights = script.batch(tokenizer, script.arguments(), "train", 7, "cpu")
    assert tokens.shape == (3, 257)
    assert weights.shape == (3, 256)
    assert set(weights.unique().tolist()) == {0.25, 1.0}
    found = documents(stream(9, "train", 7))
    for row, weight in zip(tokens.tolist(), weights.tolist(), strict=True):
        text, known = "", ""
        while len(tokenizer(text)["input_ids"]) < len(row):
            document = next(found)
            text += " ".join(piece for piece, _ in document) + "<|end|>"
            known += "".join(f" {piece}" for piece, can_be_known in document if can_be_known)
        assert row == tokenizer(text)["input_ids"][: len(row)]
        marked = tokenizer.decode([token for token, value in zip(row[1:], weight, strict=True) if value == 1.0])
        assert known.startswith(marked)
        assert len(known) - len(marked) < 600


def test_the_rate_rises_stays_and_falls_to_nothing(script: ModuleType) -> None:
    for steps in (1000, 30, 1):
        rates = [script.schedule(step, steps) for step in range(steps)]
        rise = max(1, steps // 50)
        assert rates[:rise] == pytest.approx([(step + 1) / rise for step in range(rise)])
        assert max(rates) == 1.0
        assert rates[rise:] == sorted(rates[rise:], reverse=True)
        assert rates[-1] == pytest.approx(0, abs=3 / steps)
        assert sum(rate == 1.0 for rate in rates) >= 0.3 * steps


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (16, 16)])
def test_steps_of_muon_are_nearly_orthogonal(script: ModuleType, shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    found = script.orthogonal(matrix)
    assert found.shape == shape
    inner = u.T @ found @ v.T  # of U diag(f(s)) V^T this is diag(f(s))
    assert torch.allclose(inner, torch.diag(inner.diag()), atol=1e-4)
    assert ((inner.diag() > 0.6) & (inner.diag() < 1.3))[s > 0.05 * s.max()].all()
