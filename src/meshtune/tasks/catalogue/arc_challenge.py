"""ARC-Challenge (Clark et al. 2018): the questions of ARC that word overlap and retrieval got wrong."""

from __future__ import annotations

from meshtune.tasks.catalogue.arc_easy import ArcEasy


class ArcChallenge(ArcEasy):
    """The hard part of ARC, in the schema and the templates of ARC-Easy."""

    name = "arc_challenge"
    hub_config = "ARC-Challenge"
