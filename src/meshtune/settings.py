"""What all settings share: they are frozen, refuse unknown keys, and keep their numbers finite and in bounds.

A value out of bounds gives a sentence with the bounds and their unit, so that a typo (``power_dbm: 1e5``) does not give
nonsense results.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationInfo, field_validator
from pydantic_core import CoreSchema, core_schema

from meshtune.printable import printable

COUNT = 10**9
"""The highest count of anything that takes no memory of its own."""
LONGEST = 1000
"""Characters of a name or a path."""


class Settings(BaseModel):
    """The base of every group of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _text_is_text(cls, value: Any) -> Any:
        for text in _texts(value):
            if len(text) > LONGEST:
                raise ValueError(f"it has {len(text):,} characters: give at most {LONGEST:,}")
            if "\0" in text or (not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text)):
                raise ValueError("it has a NUL or bytes that are not UTF-8: leave them out")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if _has_truth(value) and not _takes(cls.model_fields[str(info.field_name)].annotation, bool):
            raise ValueError(f"{printable(str(value).lower(), 40)} is not what this key takes: give a number or a name")
        return value


@dataclass(frozen=True)
class Within:
    """Bounds of a number, both included, as an annotation of its type.

    Attributes:
        low: the lowest value.
        high: the highest value.
        unit: its unit, for the error.
    """

    low: float
    high: float
    unit: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: Any) -> Any:
        if not self.low <= value <= self.high:
            unit = f" {self.unit}" if self.unit else ""
            raise ValueError(f"give {_written(self.low)} to {_written(self.high)}{unit}")
        return value


Count = Annotated[int, Within(1, COUNT)]
Seed = Annotated[int, Within(0, 2**63 - 1)]
Temperature = Annotated[float, Within(1e-6, 1e6)]


def _written(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _texts(value: Any) -> Iterator[str]:
    """Yield ``value`` if it is text, else the texts in it: items of a list, keys and values of a mapping."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        yield from (part for part in value if isinstance(part, str))
    elif isinstance(value, dict):
        yield from (part for pair in value.items() for part in pair if isinstance(part, str))


def _has_truth(value: Any) -> bool:
    """Return whether ``value``, or an item of its lists, is a bool."""
    if isinstance(value, list | tuple):
        return any(isinstance(part, bool) or (isinstance(part, list | tuple) and _has_truth(part)) for part in value)
    return isinstance(value, bool)


def _takes(annotation: Any, kind: type) -> bool:
    """Return whether ``kind`` is named anywhere in ``annotation``."""
    return annotation is kind or any(_takes(part, kind) for part in get_args(annotation))
