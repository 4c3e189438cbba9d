"""How the value of a `--config.FIELD=VALUE` flag is read, for every type that a configuration is made of."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from absl import flags
from ml_collections import config_flags

from smooth_recs import config

_TRUE, _FALSE = ("true", "t", "1", "yes"), ("false", "f", "0", "no")


class FieldParser(flags.ArgumentParser[Any]):
    """Reads a text with `read`; where that fails, says that the value must be `words`."""

    def __init__(self, words: str, read: Callable[[str], Any]) -> None:
        self._words = words
        self._read = read

    def parse(self, argument: Any) -> Any:
        if not isinstance(argument, str):
            return argument  # what the configuration file says
        try:
            return self._read(argument)
        except (ValueError, SyntaxError):
            raise ValueError(f"must be {self._words}") from None


def register() -> None:
    """Makes the parsers known to ml_collections."""
    for kind, parser in _PARSERS.items():
        config_flags.register_flag_parser_for_type(kind, parser)


def parse(kind: Any, text: str) -> Any:
    """The value of a field of type `kind` that `text` stands for; ValueError says what it must be."""
    return text if kind is str else _PARSERS[kind].parse(text)


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError(text)
    return text.lower() in _TRUE


def _activation(text: str) -> Any:
    return ast.literal_eval(text) if text.startswith("{") else text


def _beta(text: str) -> float | tuple[float, ...] | None:
    """`0.3` as a number, `0.3,0.2` and `(0.3,)` as a tuple, `null` and `none` as None."""
    if text.lower() in ("null", "none"):
        return None
    return _number_or_numbers(text)


def _number_or_numbers(text: str) -> float | tuple[float, ...]:
    return tuple(map(float, _items(text))) if "," in text else float(text)


def _items(text: str) -> list[str]:
    """What stands between the commas, without the brackets of a tuple or list and a comma at the end."""
    text = text.strip()
    if text[:1] + text[-1:] in ("()", "[]"):
        text = text[1:-1]
    items = [item.strip() for item in text.split(",")]
    return items if items[-1] else items[:-1]


def _unquoted(item: str) -> str:
    return str(ast.literal_eval(item)) if item[:1] in ("'", '"') else item


_PARSERS: dict[Any, FieldParser] = {
    bool: FieldParser("true or false", _boolean),
    int: FieldParser("an integer", int),
    float: FieldParser("a number", float),
    tuple[int, ...]: FieldParser("integers with commas", lambda text: tuple(map(int, _items(text)))),
    tuple[str, ...]: FieldParser("names with commas", lambda text: tuple(map(_unquoted, _items(text)))),
    config.Activation: FieldParser("a name or a dictionary", _activation),
    config.Beta: FieldParser("a number, numbers with commas, or null", _beta),
    config.Ramp: FieldParser("a number, or two with a comma", _number_or_numbers),
}
