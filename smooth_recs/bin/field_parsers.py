"""How the value of a flag is read: as the type that the annotation of a field states."""

from __future__ import annotations

import ast
import types
import typing
from typing import Any

from absl import flags
from ml_collections import config_flags

from smooth_recs import fields
from smooth_recs.config import Config

_TRUE, _FALSE = ("true", "t", "1", "yes"), ("false", "f", "0", "no")


class FieldParser(flags.ArgumentParser[Any]):
    """Reads the text after a flag as a value of the type `kind`; where that fails, says what it must be."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def parse(self, argument: Any) -> Any:
        if not isinstance(argument, str):
            return argument  # what the configuration file says
        try:
            return _read(self._kind, argument)
        except (ValueError, SyntaxError):
            raise ValueError(f"must be {fields.words(self._kind, typed=True)}") from None


def register() -> None:
    """Makes the types of a configuration's fields known to ml_collections."""
    for _, kind, _ in fields.walk(Config()):
        config_flags.register_flag_parser_for_type(kind, FieldParser(kind))


def _read(kind: Any, text: str) -> Any:
    """`0.3` as a number, `0.3,0.2` and `(0.3,)` as a tuple, `null` and `none` as None, each where it is possible."""
    several = fields.alternatives(kind)
    tells = {tuple: "," in text, dict: text.startswith("{"), types.NoneType: text.lower() in ("null", "none")}
    fitting = [each for each in several if tells.get(typing.get_origin(each) or each, True)]
    one = (fitting or several)[-1]
    origin, arguments = typing.get_origin(one), typing.get_args(one)
    if origin is tuple:
        unquoted = _unquoted if arguments[0] is str else str
        return tuple(_read(arguments[0], unquoted(item)) for item in _items(text))
    if origin is dict:
        return ast.literal_eval(text)
    if one is types.NoneType:
        return None
    if one is bool:
        if text.lower() not in _TRUE + _FALSE:
            raise ValueError(text)
        return text.lower() in _TRUE
    return one(text) if one in (int, float) else text


def _items(text: str) -> list[str]:
    """What stands between the commas, without the brackets of a tuple or list and a comma at the end."""
    text = text.strip()
    if text[:1] + text[-1:] in ("()", "[]"):
        text = text[1:-1]
    items = [item.strip() for item in text.split(",")]
    return items if items[-1] else items[:-1]


def _unquoted(item: str) -> str:
    return str(ast.literal_eval(item)) if item[:1] in ("'", '"') else item
