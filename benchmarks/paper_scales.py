"""At which sizes the paper's figures are made: a configuration each, and what it leaves out or calls differently.

``tiny`` needs no download, ``small`` a SmolLM2 and the real tasks, and ``paper`` and ``paper-7b`` name the paper's own
models on the hub, which take a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from meshtune.config.config_file import load_config
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError

CONFIGS = Path(__file__).parents[1] / "configs"
CLUSTERS = "clusters"
AIR = {"": (), CLUSTERS: ("radio={}",)}
"""Settings by network: free links between all devices, or the default radio and the clusters it forms."""


@dataclass(frozen=True)
class Scale:
    """One size of the experiments.

    Attributes:
        config: its YAML file.
        pair: the two tasks whose spectral entropies are compared.
        settings: on top of the file, for every figure.
        devices: on top of these, for accuracy against the number of devices, which has many runs.
        seeds: for figures that train.
        without: methods whose messages are too large for it.
    """

    config: Path
    pair: tuple[str, str]
    settings: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    without: tuple[str, ...] = ()


QWEN = CONFIGS / "qwen2.5-paper.yaml"
SCALES = {
    "tiny": Scale(CONFIGS / "embedded-paper.yaml", ("claims", "sums"), seeds=(0,)),
    "small": Scale(CONFIGS / "smollm2-paper.yaml", ("boolq", "gsm8k"), devices=("eval.write=false",)),
    "paper": Scale(QWEN, ("boolq", "gsm8k"), without=("fpft",)),
    "paper-7b": Scale(QWEN, ("boolq", "gsm8k"), ("model.name=Qwen/Qwen2.5-7B-Instruct",), without=("fpft",)),
}


@dataclass(frozen=True)
class Request:
    """What a figure is asked for.

    Attributes:
        scale: its size.
        out: folder of its runs.
        seeds: one run each, or one draw of places or prompts.
        methods: instead of the figure's own; ``NAME@clusters`` runs over the default radio, in clusters.
        counts: numbers of devices, where the figure varies them.
        settings: ``key=value``, on top of everything else.
    """

    scale: Scale
    out: Path
    seeds: Sequence[int]
    methods: Sequence[str] | None = None
    counts: Sequence[int] = tuple(range(2, 16))
    settings: Sequence[str] = field(default_factory=tuple)

    def config(self, *settings: str) -> RunConfig:
        """Return the scale's configuration under ``settings``, which those of the request override.

        Raises:
            UserError: a key is unknown or a value impossible.
        """
        return load_config(self.scale.config, [*self.scale.settings, *settings, *self.settings])

    def chosen(self, methods: Sequence[str]) -> list[str]:
        """Return the methods asked for, or else those of ``methods`` that fit the scale.

        Raises:
            UserError: one asks for an unknown network.
        """
        chosen = self.methods or [name for name in methods if name not in self.scale.without]
        unknown = next((name for name in chosen if name.partition("@")[2] not in AIR), None)
        if unknown is not None:
            raise UserError(f"the method {unknown}: give NAME, or NAME@{CLUSTERS}")
        return list(chosen)
