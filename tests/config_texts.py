"""Configurations written as text: read from a file, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshtune.cli.flags import in_flags
from meshtune.config.config_file import load_config
from meshtune.config.run_config import RunConfig
from meshtune.errors import UserError

TASK = "tasks: [boolq]\n"


def refusal(file: Path, text: str, *overrides: str) -> str:
    """Return the sentence that ``text`` ends in on a command line, the file's path shown as FILE."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_config(file, overrides)
    sentence = in_flags(str(caught.value))
    assert "\n" not in sentence
    return sentence.replace(str(file), "FILE")


def read(file: Path, text: str, *overrides: str) -> RunConfig:
    file.write_text(text, encoding="utf-8")
    return load_config(file, overrides)
