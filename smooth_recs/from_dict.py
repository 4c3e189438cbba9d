"""A dataclass back from what `dataclasses.asdict` made of it, also after a trip through JSON."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any

from smooth_recs.errors import InputError


def from_dict(kind: type[Any], values: Any, path: str = "") -> Any:
    """The `kind` whose fields have these values; a field that is not named keeps its default.

    Dataclasses inside are made likewise, and lists become tuples where the field is a tuple. Where a field may be one
    of several dataclasses, the one that knows all the names is taken.

    Args:
      kind: a dataclass.
      values: a mapping from names of fields.
      path: what errors call `values`.

    Raises:
      InputError: a name is unknown or missing, or a value is not of its field's type.

    >>> from smooth_recs.data.schema import Numeric
    >>> from_dict(Numeric, {"name": "price", "missing": "mean"})
    Numeric(name='price', transform='standardize', missing='mean')
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{path or kind.__name__} must be an object with fields, got {values!r}")
    kinds = typing.get_type_hints(kind)
    for name in values:
        if name not in kinds:
            near = difflib.get_close_matches(str(name), kinds)
            hint = f"did you mean {' or '.join(near)}?" if near else f"fields of {kind.__name__}: {', '.join(kinds)}"
            raise InputError(f"{_join(path, name)}: no such field; {hint}")
    for field in dataclasses.fields(kind):
        if field.name not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise InputError(f"{_join(path, field.name)} must be given")
    return kind(**{name: _value(kinds[name], value, _join(path, name)) for name, value in values.items()})


def _value(kind: Any, value: Any, path: str) -> Any:
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    sections = [each for each in kinds if dataclasses.is_dataclass(each)]
    if sections and not (value is None and types.NoneType in kinds):
        return from_dict(_section(sections, value, path), value, path)
    for each in kinds:
        if typing.get_origin(each) is tuple and isinstance(value, list | tuple):
            item_kind = typing.get_args(each)[0]
            return tuple(_value(item_kind, item, f"{path}[{index}]") for index, item in enumerate(value))
    if not any(_is_a(value, each) for each in kinds):
        raise InputError(f"{path} must be {_words(kind)}, got {value!r}")
    return value


def _section(sections: list[Any], value: Any, path: str) -> Any:
    """The one dataclass of `sections` that has all the fields of `value`."""
    if len(sections) == 1 or not isinstance(value, Mapping):
        return sections[0]
    fitting = [each for each in sections if set(value) <= {field.name for field in dataclasses.fields(each)}]
    if len(fitting) != 1:
        names = " or ".join(each.__name__ for each in sections)
        raise InputError(f"{path} must have the fields of either {names}, got {', '.join(map(str, value)) or 'none'}")
    return fitting[0]


def _is_a(value: Any, kind: Any) -> bool:
    """`isinstance` for the plain types of a field; an integer is a float, true and false are no numbers."""
    if typing.get_origin(kind) is typing.Literal:
        return value in typing.get_args(kind)
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool)
    return isinstance(value, typing.get_origin(kind) or kind)


def _words(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return f"one of {', '.join(typing.get_args(kind))}"
    return f"of type {kind if typing.get_args(kind) else kind.__name__}"


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
