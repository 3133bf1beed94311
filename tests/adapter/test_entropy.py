"""Spectral entropy against a brute-force SVD."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from meshtune.adapter.entropy import spectral_entropies, spectral_entropy


@pytest.mark.parametrize("d,k,n", [(24, 40, 12), (40, 24, 64), (8, 30, 30), (33, 7, 5)])
def test_entropy_equals_brute_force(d: int, k: int, n: int) -> None:
    """The small SVD of R1 R2^T against numpy's SVD of the d x k matrix W H H^T / n."""
    rng = np.random.default_rng(d)
    w, h = rng.standard_normal((d, k)), rng.standard_normal((k, n)) * rng.uniform(0.1, 9, (k, 1))
    sigma = np.linalg.svd(w @ (h @ h.T / n), compute_uv=False)
    found = spectral_entropy(torch.from_numpy(w), torch.from_numpy(h))
    assert found == pytest.approx(entropy(sigma / sigma.sum()), rel=1e-9)


def test_entropies_of_one_site_are_the_single_ones() -> None:
    torch.manual_seed(0)
    h = torch.randn(20, 15)
    weights = [torch.randn(8, 20), torch.randn(30, 20)]
    assert spectral_entropies(weights, h) == [spectral_entropy(w, h) for w in weights]


@pytest.mark.parametrize("chunk", [1, 45, 100, 10**6])
def test_weights_are_read_some_rows_at_a_time(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in float64 one by one, two by two or all at once: the same product, of bfloat16 weights too."""
    monkeypatch.setattr("meshtune.adapter.entropy.CHUNK", chunk)
    torch.manual_seed(1)
    w, h = torch.randn(33, 20).bfloat16(), torch.randn(20, 15)
    sigma = np.linalg.svd(w.double().numpy() @ (h @ h.T).double().numpy(), compute_uv=False)[:15]
    assert spectral_entropies(iter([w, w.T.contiguous().T]), h) == pytest.approx([entropy(sigma / sigma.sum())] * 2)


def test_entropy_of_known_spectra() -> None:
    """m equal directions give ln m; one gives 0; nothing gives 0."""
    assert spectral_entropy(torch.eye(6), torch.eye(6)[:, :4]) == pytest.approx(math.log(4))
    assert spectral_entropy(torch.ones(5, 6), torch.ones(6, 3)) == pytest.approx(0, abs=1e-9)
    assert spectral_entropy(torch.ones(5, 6), torch.zeros(6, 3)) == 0
