"""``meshtune models``: the tested architectures, and the models in $MESHTUNE_MODELS."""

from __future__ import annotations

import json
import os
from pathlib import Path

from meshtune.errors import UserError
from meshtune.files import read_file

# model_type of config.json, and a well-known model of it; the adapter tests run each as a small random copy.
TESTED = {
    "llama": "SmolLM2, Llama 3; also as a GGUF file",
    "qwen2": "Qwen2.5",
    "qwen3": "Qwen3",
    "gemma3_text": "Gemma 3",
    "gpt2": "GPT-2",
    "opt": "OPT",
}
LONGEST = 2**20
"""Bytes of the largest config.json that is read."""


def models() -> None:
    """List the tested architectures, and the models in $MESHTUNE_MODELS.

    For example: MESHTUNE_MODELS=my_models meshtune models
    """
    from meshtune.cli.show import show_tables
    from meshtune.config.learning_config import TINY
    from meshtune.report.result_tables import Table

    note = (
        "Any causal language model that transformers loads may work: give model.name a hub id, a folder or a "
        f".gguf file. {TINY} needs no download: a random base that shows the mechanics only."
    )
    tested = [[kind, known] for kind, known in TESTED.items()]
    made = [Table("Tested architectures", ["model_type", "for example"], tested, labels=2, note=note)]
    where = os.environ.get("MESHTUNE_MODELS", "")
    if where:
        found = at_hand(Path(where))
        note = "" if found else "There is no model folder and no .gguf file in it."
        columns = ["model.name", "model_type", "size"]
        made.append(Table("In $MESHTUNE_MODELS", columns, found, labels=2, note=note))
    show_tables(made)


def at_hand(folder: Path) -> list[list[str]]:
    """Return name, model_type and size on disk of every model folder and GGUF file in ``folder``."""
    from meshtune.report.result_tables import bytes_text

    rows = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix == ".gguf" and path.is_file():
            rows.append([f"$MESHTUNE_MODELS/{path.name}", "GGUF", bytes_text(path.stat().st_size)])
        elif (path / "config.json").is_file():
            try:
                config = json.loads(read_file(path / "config.json", LONGEST, "configuration"))
                kind = str(config.get("model_type", "?"))
            except (UserError, ValueError, AttributeError, RecursionError):
                kind = "unreadable config.json"
            size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
            rows.append([f"$MESHTUNE_MODELS/{path.name}", kind, bytes_text(size)])
    return rows
