"""``lori_uniform``: ``lori`` with one threshold per layer, so every layer keeps the same share of its positions."""

from __future__ import annotations

from meshtune.methods.catalogue.lori import Lori, MagnitudeMasks


class LoriUniform(Lori):
    """LoRI with equal densities."""

    name = "lori_uniform"
    masks = MagnitudeMasks("lori_uniform", by_layer=True)


METHOD = LoriUniform()
