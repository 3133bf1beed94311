"""Read untrusted YAML: plain values only, and no more of them than a configuration has.

With aliases and merges a few lines can expand to billions of values. So the expanded values are counted while a
document is read, not afterwards. No other module in the package reads YAML.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from meshtune.errors import UserError
from meshtune.files import read_file, shown_path
from meshtune.printable import printable

BYTES = 2**17
"""Most bytes of a file."""
VALUES = 10_000
"""Most values of a document, keys included, with every alias expanded."""
DEPTH = 30
"""Deepest nesting of lists and mappings."""
DIGITS = 60
"""Most characters of a number."""
REASON = 200
"""Characters of PyYAML's reason that are shown."""


def read_yaml(path: Path, what: str) -> Any:
    """Return the one document in the file ``path``; errors call it ``what``.

    Raises:
        UserError: the file cannot be read, is too long, is not YAML, gives a key twice or holds too much.
    """
    held = read_file(path, BYTES, what)
    try:
        return parse_yaml(held.decode("utf-8-sig"))
    except ValueError as error:
        raise UserError(f"{shown_path(path)} is not valid YAML: {error}") from error


def parse_yaml(text: str) -> Any:
    """Return the one document in ``text``.

    Raises:
        ValueError: it is not a document; the message has no line ends and at most :data:`REASON` characters.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an invalid date (2024-13-45)
        raise ValueError(_one_line(error)) from error
    except Exception as error:  # PyYAML fails on a value that does not fit its tag (!!bool 7, !!int "")
        raise ValueError(f"a value does not fit its tag ({type(error).__name__}: {_one_line(error)})") from error


def _one_line(error: Exception) -> str:
    text = str(error)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem is not None:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        text = ": ".join(filter(None, (error.context, error.problem))) + where
    return printable(" ".join(text.split()), REASON)


class _Loader(yaml.SafeLoader):
    """Refuses duplicate keys, since one of the values would be lost silently, and anything out of bounds."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = 0
        self._depth = 0
        self._counts: dict[int, int] = {}  # by the id of a node: how many values it expands to

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._values
        alias = self.anchors.get(event.anchor) if isinstance(event, yaml.AliasEvent) else None
        if alias is not None and id(alias) not in self._counts:
            raise ComposerError(None, None, f"*{event.anchor} stands inside of what it names", event.start_mark)
        self._values += 1 if alias is None else self._counts[id(alias)]
        self._depth += 1
        if self._values > VALUES:
            raise ComposerError(
                None,
                None,
                f"there are more than {VALUES:,} values, aliases filled in: a configuration has a few dozen",
                event.start_mark,
            )
        if self._depth > DEPTH:
            raise ComposerError(
                None, None, f"there are more than {DEPTH} lists and mappings inside one another", event.start_mark
            )
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is not None:
            self._counts[id(node)] = self._values - before
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise ConstructorError(None, None, f"the key {key.value} is given twice", node.start_mark)
                seen.add(key.value)
        return node

    def construct_number(self, node: yaml.ScalarNode) -> Any:
        """Return an integer or float; a number of thousands of digits is refused, because it takes long to read."""
        if len(node.value) > DIGITS:
            cut = f"{node.value[:20]}… has {len(node.value):,} characters: numbers have at most {DIGITS}"
            raise ConstructorError(None, None, cut, node.start_mark)
        if node.tag == "tag:yaml.org,2002:int":
            return self.construct_yaml_int(node)
        return self.construct_yaml_float(node)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)
