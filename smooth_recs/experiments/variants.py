"""Configurations that differ from a given one in a few fields."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from typing import Any

from smooth_recs import activations, validation
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
