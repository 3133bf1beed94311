"""Frozen projections A, regenerated anywhere from a few integers (eq. 16; method section 2).

``orthogonal``: block b owns rows b r .. (b+1) r - 1 of one randomised cosine transform per (federation seed, site, k),
so A_i A_j^T = 0 for different blocks and A A^T = I. ``gaussian``: independent N(0, 1/k) entries; their coherence is
sqrt(r / (k + r + 1)), small but not zero. Only integer random streams are used; floats follow by documented formulas.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshtune.errors import MalformedError, UserError
from meshtune.printable import quoted
from meshtune.seeds import key
from meshtune.wire.plain_values import fact, floats, text, whole

KINDS = ("orthogonal", "gaussian")
PROBES = 8
_HASH = 16  # hexadecimal digits of a fingerprint's hash
MOST = (1 << 31) - 1
"""The highest of a recipe's integers other than the seed."""


@dataclass(frozen=True)
class Recipe:
    """Regenerates every A of a task group; this is what is sent instead of A.

    Attributes:
        seed: the federation's seed.
        kind: ``orthogonal`` or ``gaussian``.
        block: which rows the group owns.
        rank: r, the number of rows of A.
        generator: version of the formulas below.
    """

    seed: int
    kind: str
    block: int
    rank: int
    generator: int = 1

    def to_json(self) -> list[Any]:
        """Return plain values for a message."""
        return [self.seed, self.kind, self.block, self.rank, self.generator]

    @staticmethod
    def from_json(data: Any) -> Recipe:
        """The inverse of :meth:`to_json`.

        Raises:
            PayloadError: it is not five values of these types, or one is out of bounds.
        """
        if not isinstance(data, list | tuple) or len(data) != 5:
            raise MalformedError(f"a recipe is {quoted(data)}: expected seed, kind, block, rank and generator")
        seed, kind, block, rank, generator = data
        return Recipe(
            whole(seed, "a recipe's seed", 0, None),
            text(kind, "a recipe's kind"),
            whole(block, "a recipe's block", 0, MOST),
            whole(rank, "a recipe's rank", 1, MOST),
            whole(generator, "a recipe's generator", 1, MOST),
        )


@dataclass(frozen=True)
class Fingerprint:
    """A check that two devices generate the same A: a hash of the integers and a few probe values A v.

    Floats are compared, never hashed, because their last bits differ between processors.
    """

    integers: str
    probes: tuple[float, ...]

    def matches(self, other: Fingerprint) -> bool:
        """Return whether both describe the same projections (probes to 1e-4 relative)."""
        mine, theirs = np.asarray(self.probes), np.asarray(other.probes)
        if self.integers != other.integers or mine.shape != theirs.shape:
            return False
        return bool(np.all(np.abs(mine - theirs) <= 1e-4 * max(1e-12, float(np.abs(mine).max()))))

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a message."""
        return {"integers": self.integers, "probes": [float(f"{p:.6g}") for p in self.probes]}

    @staticmethod
    def from_json(data: Any, rank: int) -> Fingerprint:
        """The inverse of :meth:`to_json`, for projections of ``rank`` rows.

        Raises:
            PayloadError: a part is missing, is of another type or length, or is not finite.
        """
        if not isinstance(data, Mapping):
            raise MalformedError(f"a fingerprint is {quoted(data)}: expected integers and probes")
        integers = text(fact(data, "integers"), "a fingerprint's integers", _HASH)
        return Fingerprint(integers, floats(fact(data, "probes"), "a fingerprint's probes", min(PROBES, rank)))


def projection(recipe: Recipe, site: str, k: int) -> NDArray[np.float32]:
    """Return A (r, k) of ``recipe`` at ``site`` for k input features.

    Raises:
        UserError: the kind or generator version is unknown, or the rows are not among the k rows.
    """
    if recipe.generator != 1:
        raise UserError(f"projection generator {recipe.generator} is not known to this version: update meshtune")
    if recipe.kind == "orthogonal":
        return _cosine_rows(recipe, site, k)
    if recipe.kind == "gaussian":
        return _gaussian(recipe.seed, recipe.block, recipe.rank, site, k)
    raise UserError(f"adapter.projection={recipe.kind} is not known: choose from {', '.join(KINDS)}")


def fingerprint(recipe: Recipe, widths: Mapping[str, int]) -> Fingerprint:
    """Return the fingerprint of ``recipe`` over the sites in ``widths`` (site to k).

    The probes are the first entries of A v, v = (0 .. k-1)/k, at the narrowest site.
    """
    text = repr((recipe, sorted(widths.items())))
    site = min(widths, key=lambda name: (widths[name], name))
    k = widths[site]
    probes = projection(recipe, site, k).astype(np.float64) @ (np.arange(k) / k)
    return Fingerprint(
        hashlib.blake2b(text.encode(), digest_size=_HASH // 2).hexdigest(), tuple(probes[:PROBES].tolist())
    )


def coherence(a: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return |A_i A_j^T|_F / |A_i A_i^T|_F of two projections (r, k)."""
    mine, theirs = a.astype(np.float64), other.astype(np.float64)
    return float(np.linalg.norm(mine @ theirs.T) / np.linalg.norm(mine @ mine.T))


@lru_cache(maxsize=64)
def _shuffle(seed: int, site: str, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the permutation p (k,) and the signs (k,) of one transform: ranks and low bits of a Philox stream."""
    raw = np.random.Philox(key=key(seed, "projection", "orthogonal", site, k)).random_raw(2 * k)
    order = np.argsort(raw[:k], kind="stable").astype(np.int64)
    return order, 1.0 - 2.0 * (raw[k:] & np.uint64(1)).astype(np.float64)


def _cosine_rows(recipe: Recipe, site: str, k: int) -> NDArray[np.float32]:
    """Entry (j, n) = sqrt(2/k) cos(pi (2n+1) p_j / 2k) sign_n, and 1/sqrt(k) sign_n for p_j = 0."""
    start, stop = recipe.block * recipe.rank, (recipe.block + 1) * recipe.rank
    if not 0 <= start < stop <= k:
        raise UserError(
            f"block {recipe.block} of rank {recipe.rank} needs {stop} rows, {site} has {k} inputs: "
            "lower adapter.rank or set adapter.projection=gaussian"
        )
    order, signs = _shuffle(recipe.seed, site, k)
    p = order[start:stop, None]
    # The angle is a multiple of pi/2k; reduced modulo 2 pi in integers to keep precision at large p n.
    turns = (p * (2 * np.arange(k, dtype=np.int64) + 1)) % (4 * k)
    rows = np.sqrt(2.0 / k) * np.cos(np.pi * turns / (2 * k))
    rows[p[:, 0] == 0] = 1.0 / np.sqrt(k)
    return np.ascontiguousarray(rows * signs, dtype=np.float32)


def _gaussian(seed: int, block: int, rank: int, site: str, k: int) -> NDArray[np.float32]:
    """N(0, 1/k) by Box-Muller in float64: u = (53 high bits + 1/2) / 2^53 of a Philox stream, pairs (u, v)."""
    count = rank * k
    half = (count + 1) // 2
    raw = np.random.Philox(key=key(seed, "projection", "gaussian", block, site, k)).random_raw(2 * half)
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    radius, angle = np.sqrt(-2.0 * np.log(uniform[:half])), 2.0 * np.pi * uniform[half:]
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
    return np.ascontiguousarray(normal.reshape(rank, k) / np.sqrt(k), dtype=np.float32)
