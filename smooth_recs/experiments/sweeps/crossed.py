"""Variants from flags: every activation with every value of some fields."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs import activations
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments import variants
from smooth_recs.experiments.sweeps.sweep import Variant
from smooth_recs.workdir.finished_runs import activation_label

_BETA = "model.beta"


def crossed(config: Config, texts: Sequence[str], fields: Mapping[str, Sequence[Any]]) -> list[Variant]:
    """The variants of `config`, without those that are equal, as an activation without a width is for every beta.

    Args:
      config: what they have in common.
      texts: activations: a name, `name:beta:beta:...` or the dictionary of a layer; none = that of `config`.
      fields: values by the field's path.

    Raises:
      InputError: no such activation or field, a value that breaks a rule, or a width beside those of `model.beta`.

    >>> from smooth_recs.config import Config
    >>> found = crossed(Config(), ["relu", "smelu:0.1:0.2"], {"model.norm_value": [1.0, 1.4]})
    >>> [variant.name for variant in found][:3]
    ['relu/norm_value=1.0', 'relu/norm_value=1.4', 'smelu:0.1/norm_value=1.0']
    """
    several: list[str | None] = [single for text in texts for single in _each_width(text)]
    found: list[tuple[Config, Variant]] = []
    for text in several or [None]:
        for values in itertools.product(*fields.values()):
            chosen = _without_idle_beta(config, text, dict(zip(fields, values, strict=True)))
            result = variants.with_fields(config, {**_fields(text), **chosen})
            if all(result != other for other, _ in found):
                found.append((result, _variant(result, text, chosen)))
    return _told_apart([variant for _, variant in found])


def _told_apart(variants: Sequence[Variant]) -> list[Variant]:
    """With labels that differ, as the names do."""
    times = collections.Counter(variant.label for variant in variants)
    return [dataclasses.replace(each, label=each.name) if times[each.label] > 1 else each for each in variants]


def _variant(config: Config, text: str | None, chosen: Mapping[str, Any]) -> Variant:
    parts = [f"{path.rpartition('.')[2]}={_short(value)}" for path, value in chosen.items()]
    said = [part.replace("=", " ", 1) for path, part in zip(chosen, parts, strict=True) if path != _BETA]
    of_activation = [] if text is None and _BETA not in chosen else [activation_label(config.to_dict())]
    beta = config.model.beta
    width = float(beta) if isinstance(beta, float | int) else None
    spelled = activation_label({"model": {"activation": config.model.activation}})
    return Variant(
        "/".join([*([] if text is None else [_short(text)]), *parts]),
        ", ".join([*of_activation, *said]),
        {**_fields(text), **chosen},
        line="" if width is None else ", ".join([spelled, *said]),
        width=width,
    )


def _each_width(text: str) -> list[str]:
    """`smelu:0.1:0.2` as `smelu:0.1` and `smelu:0.2`.

    >>> _each_width("smelu:0.1:0.2"), _each_width("relu")
    (['smelu:0.1', 'smelu:0.2'], ['relu'])
    """
    name, *betas = [text] if text.startswith("{") else text.split(":")
    return [f"{name}:{beta}" for beta in betas] or [text]


def _fields(text: str | None) -> dict[str, Any]:
    return {} if text is None else variants.of_activation(text)


def _without_idle_beta(config: Config, text: str | None, chosen: dict[str, Any]) -> dict[str, Any]:
    """Without the beta of an activation that takes none."""
    activation = {"model.activation": config.model.activation, **_fields(text), **chosen}["model.activation"]
    if isinstance(activation, str) and activations.takes_beta(activation):
        if _BETA in chosen and _BETA in _fields(text):
            raise InputError(f"an activation must have no width where {_BETA} has values of its own, got {text}")
        return chosen
    return {path: value for path, value in chosen.items() if path != _BETA}


def _short(value: Any) -> str:
    """A value without spaces, as a name needs it.

    >>> _short((64, 32)), _short({"a": 1})
    ('64-32', "{'a':1}")
    """
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return "".join(str(value).split())
