"""What a sweep trains: variants of one configuration, each with several pairs of siblings. No TensorFlow.

```python
from smooth_recs import config
from smooth_recs.experiments import sweeps


def get_sweep():
    variants = [*sweeps.activation("relu"), *sweeps.activation("smelu", 0.1, 0.2, 0.4)]
    return sweeps.Sweep(config.Config(), variants, baseline="relu", pairs=3)
```

Variants from flags: every activation with every value of some fields.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import re
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smooth_recs import activations
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments import variants
from smooth_recs.workdir.finished_runs import activation_label

_NAME = re.compile(r"[^\s@]+")


@dataclasses.dataclass(frozen=True)
class Variant:
    """Values for some fields of a configuration.

    Attributes:
      name: by which commands and files name it, and other variants: the field value "@NAME", or ("@NAME",) where a
        field holds several, is the workdir of that variant's run with the same seed, which is trained first.
      label: by which a reader knows it.
      fields: values by the fields' paths, such as `model.beta`.
      line: what it has in common with the variants from which its width alone tells it apart; empty = nothing.
      width: where it stands on that line: the activation's own beta.
    """

    name: str
    label: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    line: str = ""
    width: float | None = None


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What `get_sweep()` of a file in `configs/sweeps/` returns.

    Attributes:
      config: what all variants have in common; its seed is the first one.
      variants: any number.
      baseline: name of the variant that the others are compared with.
      pairs: how many seeds, counted on from `config.seed`; 2 or more for intervals.
      choose: what is wanted of the best variant, such as `min pd subject to per_query_auc_loss <= relu`.

    Raises:
      InputError: no variants, a name or a label twice, a name that is none, a baseline that is none of them, no
        pairs, or a single sibling.
    """

    config: Config
    variants: Sequence[Variant]
    baseline: str
    pairs: int = 3
    choose: str = ""

    def __post_init__(self) -> None:
        names = [variant.name for variant in self.variants]
        if not names:
            raise InputError("variants must be one or more, got none")
        for name, times in collections.Counter(names).items():
            if not _NAME.fullmatch(name):
                raise InputError(f"the name of a variant must have neither spaces nor @, got {name!r}")
            if times > 1:
                raise InputError(f"the names of variants must differ, got {name!r} {times} times")
        for label, times in collections.Counter(variant.label for variant in self.variants).items():
            if times > 1:  # a report goes by labels
                raise InputError(f"the labels of variants must differ, got {label!r} {times} times")
        if self.baseline not in names:
            raise InputError(f"baseline must be one of {', '.join(names)}, got {self.baseline!r}")
        if self.pairs < 1:
            raise InputError(f"pairs must be at least 1, got {self.pairs}")
        if self.config.siblings.replicas < 2:
            raise InputError(f"siblings.replicas must be at least 2, got {self.config.siblings.replicas}")

    @property
    def seeds(self) -> range:
        return range(self.config.seed, self.config.seed + self.pairs)


def activation(name: str, *betas: float) -> list[Variant]:
    """A variant for each width of an activation, in order, or one of an activation that has none.

    Args:
      name: of the activation.
      *betas: its widths; none: the activation has no width, or keeps its default.

    >>> [variant.name for variant in activation("smelu", 0.1, 0.2)]
    ['smelu:0.1', 'smelu:0.2']
    >>> activation("relu")[0].label
    'ReLU'
    """
    spelled = activation_label({"model": {"activation": name}})
    if not betas:
        return [Variant(name, spelled, {"model.activation": name})]
    return [
        Variant(
            f"{name}:{beta:g}",
            f"{spelled} {beta:g}",
            {"model.activation": name, "model.beta": float(beta)},
            line=spelled,
            width=float(beta),
        )
        for beta in betas
    ]


def config_of(path: Path) -> Config:
    """What `get_config()` of another configuration file, at `path`, returns.

    ```python
    config = sweeps.config_of(Path(__file__).parents[1] / "demo.py")
    ```
    """
    config: Config = runpy.run_path(str(path))["get_config"]()
    return config


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
