"""Configuration keys that take a number within bounds or one word, and say so if they get neither."""

from __future__ import annotations

from typing import Any

from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema


class Worded:
    """The validation of such a key, as an annotation of its type.

    Args:
        word: the one word.
        remedy: the sentence for any other word, and for a number out of bounds.
        bounds: of the number, as pydantic names them: ``gt``, ``ge``, ``lt``, ``le``, ``allow_inf_nan``.
    """

    def __init__(self, word: str, remedy: str, **bounds: Any) -> None:
        self._word, self._remedy, self._bounds = word, remedy, bounds

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        number = core_schema.float_schema(**self._bounds)
        as_it_is = core_schema.plain_serializer_function_ser_schema(lambda value: value)
        return core_schema.no_info_wrap_validator_function(self._check, number, serialization=as_it_is)

    def _check(self, value: Any, handler: core_schema.ValidatorFunctionWrapHandler) -> Any:
        if value == self._word:
            return value
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise ValueError(self._remedy) from None
        try:
            return handler(value)
        except ValidationError:
            raise ValueError(self._remedy) from None
