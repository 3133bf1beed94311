"""``paper_masked``: ``paper``, each position averaged over the members whose mask uses it (``masked_mean``).

A position that only one member trains keeps its value, while the mean over all members shrinks it by their number.
"""

from __future__ import annotations

from meshtune.methods.catalogue.paper import Paper


class PaperMasked(Paper):
    """Eq. 24 with the mean per position over those that train it."""

    name = "paper_masked"
    masked = True


METHOD = PaperMasked()
