"""A run's configuration from a YAML file, a mapping and overrides; every mistake becomes one sentence.

Only :mod:`meshtune.config.yaml_reader` knows YAML, and :mod:`meshtune.config.config_errors` words the mistakes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from meshtune.config.config_errors import SHOWN, sentence, setting_shown
from meshtune.config.run_config import RunConfig
from meshtune.config.yaml_reader import parse_yaml, read_yaml
from meshtune.errors import UserError
from meshtune.files import shown_path
from meshtune.printable import printable

Overrides = Sequence[str] | Mapping[str, Any]
"""Settings that override others: ``key=value`` texts, with values read as YAML, or values by dotted key."""


def load_config(
    source: Path | str | Mapping[str, Any] | None, overrides: Overrides = (), where: str | None = None
) -> RunConfig:
    """Return the configuration in a YAML file or a mapping, checked.

    Args:
        source: the file; or keys and values, which are copied; None to start from nothing.
        overrides: applied in order: ``["train.rounds=2"]``, or ``{"train.rounds": 2}``.
        where: the source's name in errors, if not its path.

    Raises:
        UserError: the file is missing or not YAML, a key is unknown (names the nearest) or given twice, or a
            value is impossible.
    """
    if source is None or isinstance(source, Mapping):
        return override(deepcopy(dict(source or {})), overrides, where or "the configuration")
    file = Path(source)
    tree: Any = read_yaml(file, "configuration file")
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        kind = type(tree).__name__
        raise UserError(f"{shown_path(file)} holds a {kind}: a configuration is a mapping of keys to values")
    return override(tree, overrides, where or shown_path(file))


def override(tree: dict[str, Any], overrides: Overrides, where: str) -> RunConfig:
    """Apply ``overrides`` to ``tree``, in place, and validate; ``where`` names its origin in errors.

    Raises:
        UserError: the first mistake, in one sentence.
    """
    if isinstance(overrides, Mapping):
        given = {f"{key}={value}": (key, deepcopy(value)) for key, value in overrides.items()}
        for text, (key, value) in given.items():
            _put(tree, key, value, text)
        return validate(tree, where, list(given))
    for text in overrides:
        _put(tree, *_parsed(text), text)
    return validate(tree, where, overrides)


def validate(tree: Mapping[str, Any], where: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the configuration in ``tree``.

    Args:
        tree: keys and values.
        where: names its origin in errors.
        overrides: the overrides applied to it; if the mistake is in one of them, that one is named instead.

    Raises:
        UserError: the first mistake, in one sentence.
    """
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise UserError(sentence(RunConfig, error, where, overrides)) from error


def expand(path: str) -> str:
    """Return ``path`` with ``~`` and $VARIABLES expanded.

    Raises:
        UserError: a variable is not set.
    """
    full = os.path.expandvars(os.path.expanduser(path))
    if "$" in full:
        raise UserError(f"{path} names an environment variable that is not set: set it or give a path")
    return full


def _parsed(override: str) -> tuple[str, Any]:
    """Return the key and the value of ``key=value``."""
    name, sign, text = override.partition("=")
    if not sign or not name:
        raise UserError(
            f"`overrides` {printable(override, SHOWN)} is not key=value, for example the setting `train.rounds=2`"
        )
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{setting_shown(override)}: the value is not valid YAML: {error}") from error
    return name, _number(value) if isinstance(value, str) else value


def _put(tree: dict[str, Any], key: str, value: Any, shown: str) -> None:
    """Store ``value`` under the dotted ``key``; errors name both as ``shown``."""
    *path, last = key.split(".")
    node = tree
    for part in path:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise UserError(f"{setting_shown(shown)}: {printable(part, SHOWN)} is not a group of keys")
    node[last] = value


def _number(text: str) -> Any:
    """YAML 1.1 reads 1e-3 as text; people mean a number."""
    try:
        return float(text)
    except ValueError:
        return text
