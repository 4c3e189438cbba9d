"""Configurations that differ from a given one in a few fields.

Measures of several training runs of one configuration, a seed each: their mean, and its interval.
"""

from __future__ import annotations

import ast
import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs import activations, prediction_difference, validation
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.fields import is_section
from smooth_recs.models import from_config
from smooth_recs.workdir.finished_runs import activation_label


def with_fields(config: Config, fields: Mapping[str, Any]) -> Config:
    """`config` with other values for the fields named by their paths, validated; `config` itself stays as it is.

    An activation without a width has no beta, so that two configurations of one run are equal.

    Raises:
      InputError: there is no such field, or a value breaks a rule.

    >>> from smooth_recs.config import Config
    >>> with_fields(Config(), {"model.activation": "relu", "seed": 7}).model.beta is None
    True
    """
    for path, value in fields.items():
        try:
            config = _with_field(config, path, value)
        except (AttributeError, TypeError):
            raise InputError(f"there must be a field of each name, got {path}") from None
    config = from_config.resolved(config)
    validation.validate(config)
    return config


def of_activation(text: str) -> dict[str, Any]:
    """The fields of an activation as one writes it: a name, `name:beta`, or the dictionary of a layer.

    A name alone keeps the configuration's beta.

    Raises:
      InputError: no such activation, or a beta that it cannot have.

    >>> of_activation("smelu:0.25")
    {'model.activation': 'smelu', 'model.beta': 0.25}
    """
    name, colon, beta = (text, "", "") if text.startswith("{") else text.partition(":")
    try:
        if name.startswith("{"):
            layer = ast.literal_eval(name)
            activations.get(layer)
            return {"model.activation": layer}
        width = float(beta) if colon else None
        activations.with_beta(name, width)
    except (SyntaxError, TypeError, ValueError) as error:
        raise InputError(f"an activation must be a name, name:beta or a dictionary, got {text!r}: {error}") from error
    return {"model.activation": name} | ({} if width is None else {"model.beta": width})


def listed(text: str) -> list[str]:
    """What stands between the commas of `text`, not counting those inside of brackets.

    >>> listed("relu,{'class_name': 'SmeLU', 'config': {'beta': 0.5}}")
    ['relu', "{'class_name': 'SmeLU', 'config': {'beta': 0.5}}"]
    """
    items, depth = [""], 0
    for character in text:
        depth += (character in "{[(") - (character in "}])")
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    return [item.strip() for item in items if item.strip()]


def label(text: str, config: Config) -> str:
    """An activation as a reader knows it, with the width that it has in `config`.

    >>> from smooth_recs.config import Config
    >>> label("relu", Config()), label("smelu:0.25", Config())
    ('ReLU', 'SmeLU 0.25')
    """
    return activation_label(with_fields(config, of_activation(text)).to_dict())


def _with_field(section: Any, path: str, value: Any) -> Any:
    name, _, rest = path.partition(".")
    if is_section(type(getattr(section, name))) != bool(rest):
        raise TypeError(path)
    return dataclasses.replace(section, **{name: _with_field(getattr(section, name), rest, value) if rest else value})


def mean(values: Sequence[float | None]) -> float | None:
    """None where there is no value, or where one is not known."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def interval(values: Sequence[float | None], *, least: float = -math.inf) -> list[float] | None:
    """95% interval of the mean, whose ends are at least `least`; None for a single run, or where a value is unknown."""
    known = [value for value in values if value is not None]
    if len(known) < 2 or len(known) < len(values):
        return None
    return [max(end, least) for end in prediction_difference.interval_over_seeds(known)]


def measured(values: Sequence[float | None]) -> dict[str, Any]:
    """`value` and `interval` of a measure that is at least 0.

    >>> measured([0.5])
    {'value': 0.5, 'interval': None}
    """
    return {"value": mean(values), "interval": interval(values, least=0.0)}


def ratios(values: Sequence[float | None], baseline: Sequence[float | None]) -> list[float | None]:
    """The share by which each value lies above the baseline's of the same seed; None where there is no such share.

    >>> ratios([0.5, 2.0], [1.0, 1.0])
    [-0.5, 1.0]
    """
    pairs = zip(values, baseline, strict=True)
    return [None if value is None or not base else value / base - 1 for value, base in pairs]


def differences(values: Sequence[float | None], baseline: Sequence[float | None]) -> list[float | None]:
    """How far each value lies above the baseline's of the same seed; None where one of them is unknown."""
    pairs = zip(values, baseline, strict=True)
    return [None if value is None or base is None else value - base for value, base in pairs]
