"""Passes side by side: in order, and the same on any number of cores."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

from meshtune.adapter.entropy import spectral_entropy
from meshtune.adapter.expert import Projections, SparseExpert
from meshtune.adapter.projection import Recipe
from meshtune.adapter.sites import places, sizes
from meshtune.config.learning_config import TINY, ModelConfig, TrainConfig
from meshtune.model.cores import side_by_side
from meshtune.model.encoding import Row
from meshtune.model.loading import load
from meshtune.model.packing import Packed
from meshtune.seeds import stream
from meshtune.training.calibration import entropies, layer_inputs, prompt_means
from meshtune.training.trainer import Job, train


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def learnt(cores: int) -> list[torch.Tensor]:
    """Return what three devices learn on ``cores`` cores, from ragged rows in several micro-batches."""
    torch.set_num_threads(cores)
    base = load(ModelConfig(name=TINY, device="cpu"))
    draw = stream(0, "cores")
    jobs = []
    for device in range(3):
        masks = [torch.arange(device, size, 7 + device) for size in sizes(base.adapters.layers, 8)]
        projections = Projections(Recipe(seed=0, kind="orthogonal", block=device, rank=8))
        expert = SparseExpert(base.adapters.layers, projections, masks, 2.0)
        rows = [Row(tuple(draw.integers(1, 250, int(draw.integers(9, 40))).tolist()), 6) for _ in range(12)]
        jobs.append(Job(expert, [rows[at : at + 4] for at in (0, 4, 8)], 1e-2))
    train(base, jobs, TrainConfig(micro_tokens=64))
    assert torch.get_num_threads() == cores  # as it was
    return [job.expert.values for job in jobs]


def test_training_is_bit_equal_on_any_number_of_cores(threads: None) -> None:
    one = learnt(1)
    assert all(values.abs().sum() > 0 for values in one)
    for cores in (2, 3):
        assert all(torch.equal(a, b) for a, b in zip(one, learnt(cores), strict=True))


def test_results_come_in_the_order_of_the_work(threads: None) -> None:
    torch.set_num_threads(3)
    base = load(ModelConfig(name=TINY, device="cpu"))

    def do(number: int) -> int:
        time.sleep(0.02 * (5 - number))
        assert torch.get_num_threads() == 1
        return number

    assert list(side_by_side(base, do, range(6))) == list(range(6))


def test_what_goes_wrong_in_a_pass_is_raised_and_the_threads_come_back(threads: None) -> None:
    torch.set_num_threads(2)
    base = load(ModelConfig(name=TINY, device="cpu"))

    def do(number: int) -> int:
        raise ValueError(f"pass {number}")

    with pytest.raises(ValueError, match="pass 0"):
        list(side_by_side(base, do, range(4)))
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("threads")
def test_entropies_are_every_layers_own_on_any_number_of_cores() -> None:
    base = load(ModelConfig(name=TINY, device="cpu"))
    layers, draw = base.adapters.layers, torch.Generator().manual_seed(4)
    inputs = {place: torch.randn(k, 24, generator=draw) for place, k in places(layers).items()}
    found = []
    for cores in (1, 2, 3):
        torch.set_num_threads(cores)
        found.append(entropies(base, inputs))
    assert found[0] == found[1] == found[2]
    alone = [spectral_entropy(base.adapters.weight(layer), inputs[layer.place]) for layer in layers]
    assert found[0] == pytest.approx(alone, rel=1e-12)


@pytest.mark.usefixtures("threads")
def test_what_a_device_reads_off_its_prompts_is_bit_equal_on_any_number_of_cores() -> None:
    base = load(ModelConfig(name=TINY, device="cpu"))
    draw = stream(0, "prompts")
    prompts = [tuple(draw.integers(1, 250, int(draw.integers(5, 40))).tolist()) for _ in range(24)]
    means, inputs = [], []
    for cores in (1, 2, 5):
        torch.set_num_threads(cores)
        means.append(prompt_means(base, prompts, 1, 64))
        inputs.append(layer_inputs(base, prompts, 200))
    for other in (1, 2):
        assert (means[0] == means[other]).all()
        assert all(torch.equal(h, inputs[other][place]) for place, h in inputs[0].items())


@pytest.mark.usefixtures("threads")
def test_a_block_is_read_by_several_threads_at_a_time() -> None:
    base = load(ModelConfig(name=TINY, device="cpu"))
    rows = [tuple(range(1 + n, 9 + 2 * n)) for n in range(12)]
    with torch.no_grad():
        expected = [base.model(torch.tensor([row]), output_hidden_states=True).hidden_states[2][0] for row in rows]
    torch.set_num_threads(4)
    with base.stopped_at(2) as read:
        for found, right in zip(
            side_by_side(base, lambda row: read(Packed([row], base.device)), rows), expected, strict=True
        ):
            torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-6)
