"""Streams of rows: each row reads as it does alone, whatever stands beside it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tests.architectures import ARCHITECTURES, tiny
from torch import nn

from meshtune.model.base import Base
from meshtune.model.packing import Packed
from meshtune.model.probes.probed_base import open_base

ROWS = [(5, 9, 3, 8, 7, 7, 2), (4, 4), (9,), (1, 2, 3, 4, 5, 6), tuple(range(1, 31))]


def alone(base: Base, row: tuple[int, ...]) -> torch.Tensor:
    decoder = base.model.get_decoder()
    found: torch.Tensor = decoder(input_ids=torch.tensor([row]), use_cache=False).last_hidden_state[0]
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_row_reads_as_alone(architecture: str) -> None:
    """Gemma3's sliding window of 16 is shorter than the longest row."""
    base = open_base(tiny(architecture).eval().double(), None, architecture)
    assert base.packs
    with torch.no_grad():
        expected = torch.cat([alone(base, row) for row in ROWS])
        found = base.read(Packed(ROWS, base.device))
        base.packs = False
        padded = base.read(Packed(ROWS, base.device))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)  # rotary angles are float32 in any model
    torch.testing.assert_close(padded, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_parts_of_a_row_do_not_see_each_other(architecture: str) -> None:
    """Two endings of one beginning side by side read as each alone behind it, also beyond a sliding window."""
    base = open_base(tiny(architecture).eval().double(), None, architecture)
    start, endings = tuple(range(1, 25)), [(7, 8, 9), (5, 6)]
    row = (*start, *endings[0], *endings[1])
    positions = [*range(24), 24, 25, 26, 24, 25]
    parts = [*[0] * 24, 1, 1, 1, 2, 2]
    other = (3, 1, 4, 1, 5)
    with torch.no_grad():
        found = base.read(Packed([row, other], base.device, [positions, range(5)], [parts, [0] * 5]))
        first, second = (alone(base, (*start, *ending)) for ending in endings)
        expected = torch.cat([first, second[24:], alone(base, other)])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_a_model_that_looks_past_a_rows_end_is_read_padded() -> None:
    """A causal convolution over the stream reaches into the row before; the model is tried out and read in rows."""

    class Leaky(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.inner(x)
            return y + F.pad(y, (0, 0, 1, 0))[:, :-1]

    model = tiny("llama").eval()
    model.model.layers[0].input_layernorm = Leaky(model.model.layers[0].input_layernorm)
    base = open_base(model, None, "leaky")
    assert not base.packs
    with torch.no_grad():
        torch.testing.assert_close(
            base.read(Packed(ROWS, base.device)), torch.cat([alone(base, row) for row in ROWS]), rtol=1e-4, atol=1e-5
        )


def test_eager_models_are_read_padded() -> None:
    model = tiny("llama").eval()
    model.set_attn_implementation("eager")
    assert not open_base(model, None, "eager").packs
