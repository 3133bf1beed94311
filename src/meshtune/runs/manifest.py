"""A run's configuration, and its manifest, which the other files of its folder are checked against.

``config.json`` is the bare configuration, which can be run again. ``manifest.json`` holds a copy of it, how many lines
the logs have, and a checksum.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshtune.errors import UserError
from meshtune.files import resuming
from meshtune.printable import printable
from meshtune.runs import checksums as checked
from meshtune.runs.disk import read_bytes, replace_file

CONFIG = "config.json"
MANIFEST = "manifest.json"
FORMAT, VERSION = "meshtune-run", 2
SHOWN = 6
"""The most keys that a sentence names."""
_SOURCES = ("source", "train", "test")


class DamagedError(UserError):
    """A file of a run is not what was written; a substitute is used if there is one."""


class Manifest:
    """The configuration and the manifest in the folder ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def missing(self) -> bool:
        """Whether there is no manifest, as in a folder of an earlier version."""
        return not (self.path / MANIFEST).exists()

    def config(self) -> dict[str, Any]:
        """Return the configuration the run was made with; only the locations of data and model may have been edited.

        Raises:
            UserError: something else in it was edited, or it is damaged beyond repair.
        """
        try:
            manifest = self.read()
        except DamagedError:  # files made with another configuration are refused by their digest
            manifest = None
        try:
            content = self.parsed_config()
        except DamagedError:
            if manifest is None:
                raise
            return dict(manifest["config"])
        if manifest is not None:
            made, now = bound(manifest["config"]), bound(content)
            try:
                changed = differences(made, now) or ("" if made == now else "a key without a value is another")
            except RecursionError:
                changed = "it is nested too deeply"
            if changed:
                raise UserError(
                    f"{self.path / CONFIG} was edited after the run was made ({changed}): undo that, or start a "
                    "separate run in another folder"
                )
        return content

    def parsed_config(self) -> dict[str, Any]:
        """Return the content of ``config.json`` itself.

        Raises:
            DamagedError: it is not a JSON mapping.
        """
        return self._parsed(CONFIG)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write ``config.json``."""
        write_json(self.path / CONFIG, config)

    def finished(self, name: str) -> int | None:
        """Return the least number of lines in the log ``name``; None in a folder of an earlier version."""
        manifest = self.read()
        return None if manifest is None else int(manifest["lines"].get(name, 0))

    def count(self, name: str, count: int) -> None:
        """Record that the log ``name`` has ``count`` lines."""
        manifest = self.read()
        assert manifest is not None
        self.write(manifest["config"], {**manifest["lines"], name: count})

    def write(self, config: Mapping[str, Any], lines: Mapping[str, int]) -> None:
        """Write the manifest, all or nothing."""
        content = {"format": FORMAT, "version": VERSION, "config": config, "lines": lines}
        write_json(self.path / MANIFEST, checked.sealed(checked.plain(content)))

    def read(self) -> dict[str, Any] | None:
        """Return the manifest; None in a folder of an earlier version.

        Raises:
            DamagedError: it is damaged.
        """
        if self.missing:
            return None
        try:
            content = checked.unsealed(self._parsed(MANIFEST))
            if content.get("format") != FORMAT:
                raise ValueError("it does not belong to a run")
            if content.get("version") != VERSION:
                has = printable(str(content.get("version")), 20)
                raise UserError(
                    f"{self.path / MANIFEST} has version {has} of the format, this meshtune reads {VERSION}: use the "
                    "meshtune that wrote it"
                )
            config, lines = content.get("config"), content.get("lines")
            if not isinstance(config, dict) or not isinstance(lines, dict):
                raise ValueError("it lacks config or lines")
            if not all(type(count) is int and count >= 0 for count in lines.values()):
                raise ValueError("a count of lines is invalid")
        except ValueError as error:
            raise self._damaged(MANIFEST, error) from error
        return content

    def _parsed(self, name: str) -> dict[str, Any]:
        try:
            content = checked.parse(read_bytes(self.path / name))
        except ValueError as error:
            raise self._damaged(name, error) from error
        if not isinstance(content, dict):
            raise self._damaged(name, "it holds no mapping")
        return content

    def _damaged(self, name: str, why: object) -> DamagedError:
        text = printable(str(why), 120)
        return DamagedError(
            f"{self.path / name} is damaged ({text}): {resuming(self.path)} repairs it if possible, else "
            "copy it from elsewhere"
        )


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file for people and programs to read, all or nothing."""
    replace_file(file, [checked.dumped(content, indent=1)])


def bound(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without locations: data and model are identified by digests, and folders may move."""
    found = {key: value for key, value in config.items() if key != "data"}
    if isinstance(found.get("model"), dict):
        found["model"] = {key: value for key, value in found["model"].items() if key not in ("name", "device")}
    if isinstance(found.get("tasks"), list):
        found["tasks"] = [
            {key: value for key, value in task.items() if key not in _SOURCES} if isinstance(task, dict) else task
            for task in found["tasks"]
        ]
    return found


def differences(old: Any, new: Any) -> str:
    """Return the keys of two trees that differ, as ``key: old -> new``; the first ones if many, empty if none."""
    before, after = flat(old), flat(new)
    changed = [
        key
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key) or type(before.get(key)) is not type(after.get(key))
    ]
    shown = [f"{printable(key, 80)}: {_shown(before.get(key))} -> {_shown(after.get(key))}" for key in changed[:SHOWN]]
    more = [f"and {len(changed) - SHOWN} more"] if len(changed) > SHOWN else []
    return "; ".join([*shown, *more])


def reason(error: DamagedError) -> str:
    """Return what is damaged and why, without the remedy."""
    return str(error).rpartition("): ")[0] + ")"


def _shown(value: Any) -> str:
    return printable(json.dumps(value), 80)


def flat(tree: Any) -> dict[str, Any]:
    """Return the leaves of a tree by their dotted keys."""
    found: dict[str, Any] = {}
    left = [("", tree)]
    while left:
        prefix, node = left.pop()
        if isinstance(node, dict) and node:
            left += [(f"{prefix}.{key}" if prefix else str(key), value) for key, value in node.items()]
        else:
            found[prefix] = node
    return found
