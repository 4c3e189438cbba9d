"""Flags for the fields of a dataclass, so that names, defaults and texts stand in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from absl import flags

from smooth_recs import fields
from smooth_recs.bin.field_parsers import FieldParser

flags.disclaim_key_flags()  # a flag defined here is the binary's own

Settings = TypeVar("Settings")


def define(settings: type[Settings]) -> Callable[[], Settings]:
    """Defines a flag for each field of the dataclass `settings`, whose metadata say `help`.

    Fields are integers, numbers, booleans and tuples of numbers, all with a default.

    Returns:
      What makes a `settings` of the flags, once they are parsed.
    """
    kinds = fields.annotations_of(settings)
    of_settings = dataclasses.fields(settings)  # type: ignore[arg-type]
    holders = {each.name: _define(kinds[each.name], each) for each in of_settings}
    return lambda: settings(**{name: holder.value for name, holder in holders.items()})


def _define(kind: Any, field: dataclasses.Field[Any]) -> flags.FlagHolder[Any]:
    name, default, text = field.name, field.default, field.metadata["help"]
    if kind is bool:
        return flags.DEFINE_boolean(name, default, text)
    if kind is int:
        return flags.DEFINE_integer(name, default, text)
    if kind is float:
        return flags.DEFINE_float(name, default, text)
    return flags.DEFINE(FieldParser(kind), name, default, f"with commas: {text}")
