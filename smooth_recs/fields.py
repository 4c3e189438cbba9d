"""Fields of configuration dataclasses: the annotation states type and rule, and all else reads them there.

```python
from typing import Annotated, Literal

from smooth_recs.fields import at_least

@dataclasses.dataclass
class Train:
    epochs: Annotated[int, at_least(1)] = 1
    optimizer: Literal["adagrad", "adam"] = "adagrad"
```

A type is bool, int, float, str, a `Literal` of texts, a dictionary, a dataclass, a tuple of items of one type, or a
union of these and None. `Annotated` adds rules, and a text where the type's own words would not say what is meant.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from smooth_recs.errors import InputError


class Rule(NamedTuple):
    """A rule for a value, which must be `words`; where these are empty, what the type is called."""

    words: str
    holds: Callable[[Any], bool]


def _numbers(value: Any) -> tuple[Any, ...]:
    """The numbers of a field that may have one, several or none."""
    return value if isinstance(value, tuple) else () if value is None else (value,)


def at_least(low: float, below: float = math.inf) -> Rule:
    """Each number is `low` or more, and less than `below`."""
    words = f"at least {low}" if below == math.inf else f"at least {low} and below {below}"
    return Rule(words, lambda value: all(low <= number < below for number in _numbers(value)))


def above(low: float, below: float = math.inf) -> Rule:
    """Each number is more than `low`, and less than `below`."""
    words = f"above {low}" if below == math.inf else f"above {low} and below {below}"
    return Rule(words, lambda value: all(low < number < below for number in _numbers(value)))


def between(low: float, high: float) -> Rule:
    """The number is from `low` to `high`, both included."""
    return Rule(f"from {low} to {high}", lambda value: low <= value <= high)


def zero_or_between(low: float, high: float) -> Rule:
    """Each number is 0, or from `low` to `high`."""
    return Rule(
        f"0 or from {low} to {high}",
        lambda value: all(number == 0 or low <= number <= high for number in _numbers(value)),
    )


not_empty = Rule("", bool)
one_character = Rule("one character", lambda value: len(value) == 1 or value == r"\t")  # a tab as a shell passes it
names_that_differ = Rule("names that differ", lambda value: all(value) and len(set(value)) == len(value))
without_spaces_around = Rule(
    "texts without white space around them", lambda value: all(text == text.strip() for text in value)
)
widths = Rule("widths of at least 1", lambda value: all(width >= 1 for width in value))
one_or_more_widths = Rule("one or more widths of at least 1", lambda value: len(value) > 0 and widths.holds(value))
once_or_twice = Rule(
    "one or two numbers of at least 0",
    lambda value: 1 <= len(_numbers(value)) <= 2 and min(_numbers(value)) >= 0,
)
at_least_0_or_auto = Rule("at least 0, or auto", lambda value: value == "auto" or value >= 0)
share_once_or_twice = Rule(
    "from 0 to 1, once or twice", lambda value: once_or_twice.holds(value) and max(_numbers(value)) <= 1
)


def annotations_of(section: type[Any]) -> dict[str, Any]:
    """The annotations of a dataclass by the names of its fields."""
    return typing.get_type_hints(section, include_extras=True)


def is_section(kind: Any) -> bool:
    """True for the type of a field that holds further fields."""
    return dataclasses.is_dataclass(kind)


def walk(section: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Name, annotation and value of every field, those of sections within included: `("train.epochs", int, 1)`.

    Raises:
      InputError: in the place of a section is something else.
    """
    for field, kind in annotations_of(type(section)).items():
        value, name = getattr(section, field), prefix + field
        if not is_section(kind):
            yield name, kind, value
        elif isinstance(value, kind):
            yield from walk(value, f"{name}.")
        else:
            module = kind.__module__.rpartition(".")[2]
            raise InputError(f"{name} must be a {module}.{kind.__name__}, got {value!r}")


def alternatives(kind: Any) -> tuple[Any, ...]:
    """The types of a union, without what `Annotated` adds; of any other type that one alone."""
    kind = typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind
    # `int | None` is a types.UnionType, `int | Literal["auto"]` a typing.Union (Python 3.13).
    return typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)


def choices(kind: Any) -> tuple[str, ...]:
    """The texts of a `Literal`; none of any other type."""
    return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()


def is_a(value: Any, kind: Any) -> bool:
    """`isinstance` for the types of fields; an int is a float, a bool is no number."""
    several = alternatives(kind)
    if len(several) > 1:
        return any(is_a(value, each) for each in several)
    (kind,) = several
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and all(is_a(item, arguments[0]) for item in value)
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool)  # bool is a subclass of int
    return isinstance(value, origin or kind)


_ONE: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    dict: "a dictionary",
    types.NoneType: "None",
}
_SEVERAL: dict[Any, str] = {int: "integers", float: "numbers", str: "texts"}


def words(kind: Any, *, typed: bool = False) -> str:
    """The name of a type of values in errors, or, where they are `typed` as text after a flag, in `--help`.

    >>> words(float | tuple[float, ...] | None), words(float | tuple[float, ...] | None, typed=True)
    ('a number, a tuple of numbers or None', 'a number, numbers with commas, or null')
    """
    own = [text for text in getattr(kind, "__metadata__", ()) if isinstance(text, str)]
    if own:
        return own[0]
    found = []
    for each in alternatives(kind):
        if choices(each):
            found.append(f"one of {', '.join(choices(each))}")
        elif typing.get_origin(each) is tuple:
            item = typing.get_args(each)[0]
            with_commas = f"{'names' if item is str else _SEVERAL[item]} with commas"
            found.append(with_commas if typed else f"a tuple of {_SEVERAL[item]}")
        elif typed and each is types.NoneType:
            found.append("null")
        else:
            found.append(_ONE.get(typing.get_origin(each) or each) or f"a {each.__name__}")
    *others, last = found
    return f"{', '.join(others)}{',' * typed} or {last}" if others else last


def check(name: str, value: Any, kind: Any) -> None:
    """Raises InputError, which says what `name` must be, where the value is not of the type or breaks a rule.

    >>> check("optimizer", "lamb", Literal["adagrad", "adam"])
    Traceback (most recent call last):
    smooth_recs.errors.InputError: optimizer must be one of adagrad, adam, got 'lamb'
    """
    if not is_a(value, kind):
        raise InputError(f"{name} must be {words(kind)}, got {value!r}")
    if not all(math.isfinite(number) for number in _numbers(value) if isinstance(number, float)):
        raise InputError(f"{name} must be finite, got {value!r}")
    if not all(-(2**63) <= number < 2**63 for number in _numbers(value) if isinstance(number, int)):
        raise InputError(f"{name} must be below 2^63 in size where it has no point, got {value!r}")
    check_rules(name, value, kind)


def check_rules(name: str, value: Any, kind: Any) -> None:
    """Checks rules and choices alone: the value may be of a type that behaves alike, such as a number of NumPy."""
    if choices(kind) and value not in choices(kind):
        raise InputError(f"{name} must be {words(kind)}, got {value!r}")
    for rule in rules(kind):
        if not rule.holds(value):
            raise InputError(f"{name} must be {rule.words or words(kind)}, got {value!r}")


def rules(kind: Any) -> list[Rule]:
    """The rules that the annotation adds to the type."""
    return [rule for rule in getattr(kind, "__metadata__", ()) if isinstance(rule, Rule)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The question `did you mean a or b?` with the known names that look like this one; empty where none does."""
    near = difflib.get_close_matches(name, list(known))
    return f"did you mean {' or '.join(near)}?" if near else ""


def from_dict(kind: type[Any], values: Any, path: str = "") -> Any:
    """An instance of the dataclass `kind` with these values; a field that is not named keeps its default.

    The reverse of `dataclasses.asdict`, also after a trip through JSON: dataclasses inside are made likewise, and lists
    become tuples where the field is a tuple. Where a field may be one of several dataclasses, the one that knows all
    the names is taken. Types are checked, rules are not.

    Args:
      kind: a dataclass.
      values: a mapping from names of fields.
      path: what errors call `values`.

    Raises:
      InputError: a name is unknown or missing, or a value is not of its field's type.

    >>> from smooth_recs.schema import Numeric
    >>> from_dict(Numeric, {"name": "price", "missing": "mean"})
    Numeric(name='price', transform='standardize', missing='mean')
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{path or kind.__name__} must be an object with fields, got {_shown(values)}")
    kinds = typing.get_type_hints(kind)
    for name in values:
        if name not in kinds:
            hint = did_you_mean(str(name), kinds) or f"fields of {kind.__name__}: {', '.join(kinds)}"
            raise InputError(f"{_join(path, name)}: no such field; {hint}")
    for field in dataclasses.fields(kind):
        if field.name not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise InputError(f"{_join(path, field.name)} must be given")
    return kind(**{name: _from_json(kinds[name], value, _join(path, name)) for name, value in values.items()})


def _from_json(kind: Any, value: Any, path: str) -> Any:
    """The value of a field of type `kind` from what JSON made of it."""
    several = alternatives(kind)
    sections = [each for each in several if is_section(each)]
    if sections and not (value is None and types.NoneType in several):
        section = sections[0]
        if len(sections) > 1 and isinstance(value, Mapping):
            fitting = [each for each in sections if set(value) <= {field.name for field in dataclasses.fields(each)}]
            if len(fitting) != 1:
                names, given = " or ".join(each.__name__ for each in sections), ", ".join(map(str, value)) or "none"
                raise InputError(f"{path} must have the fields of either {names}, got {given}")
            section = fitting[0]
        return from_dict(section, value, path)
    for each in several:
        if typing.get_origin(each) is tuple and isinstance(value, list | tuple):
            item_kind = typing.get_args(each)[0]
            return tuple(_from_json(item_kind, item, f"{path}[{index}]") for index, item in enumerate(value))
    if not is_a(value, kind):
        # The type by its name in Python: who reads a file wants to know whether 6 or "6" belongs there.
        wanted = words(kind) if choices(kind) else f"of type {kind if typing.get_args(kind) else kind.__name__}"
        raise InputError(f"{path} must be {wanted}, got {_shown(value)}")
    return value


_MOST_SHOWN = 200  # values of a list, and of those inside, in a message


def _shown(value: Any) -> str:
    """The value as Python writes it; its type and size where that is long: aliases of YAML nest without end."""
    waiting, met = [value], 0
    while waiting and met < _MOST_SHOWN:
        item = waiting.pop()
        met += 1
        if isinstance(item, Mapping | list | tuple):
            waiting += list(item.values() if isinstance(item, Mapping) else item)[:_MOST_SHOWN]
    return f"a {type(value).__name__} of {len(value)} with more inside" if waiting else repr(value)


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
