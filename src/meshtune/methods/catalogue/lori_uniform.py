"""``lori_uniform``: ``lori`` with one threshold a layer, so that every layer keeps the same share of its positions."""

from __future__ import annotations

from meshtune.methods.catalogue.lori import Lori


class LoriUniform(Lori):
    """LoRI with equal densities."""

    name = "lori_uniform"
    masks = "lori_uniform"


METHOD = LoriUniform()
