"""Variants of a configuration: other values for some of its fields, from flags, and a run for each variant and seed."""

from __future__ import annotations

import ast
import collections
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from smooth_recs import activations, validation
from smooth_recs.activations import registry
from smooth_recs.config import Config
from smooth_recs.errors import InputError
from smooth_recs.experiments import cells
from smooth_recs.experiments.cells import REFERENCE, Cell
from smooth_recs.experiments.sweeps import Sweep, Variant
from smooth_recs.fields import is_section
from smooth_recs.models import from_config
from smooth_recs.workdir.finished_runs import activation_label

# The width of an activation: only one of them is set.
_WIDTHS = ("model.beta", "model.relative_beta")


def with_fields(config: Config, fields: Mapping[str, Any]) -> Config:
    """`config` with other values for the fields named by their paths, validated; `config` itself stays as it is.

    An activation without a width has no beta, so that two configurations of one run are equal; and a width replaces one
    of the other kind.

    Raises:
      InputError: there is no such field, or a value breaks a rule.

    >>> from smooth_recs.config import Config
    >>> with_fields(Config(), {"model.activation": "relu", "seed": 7}).model.beta is None
    True
    """
    if given := [path for path in _WIDTHS if fields.get(path) is not None]:
        fields = {**dict.fromkeys(_WIDTHS), **fields}
        if len(given) == 2:
            raise InputError(f"an activation must have one width, got {' and '.join(given)}")
    for path, value in fields.items():
        try:
            config = _with_field(config, path, value)
        except (AttributeError, TypeError):
            raise InputError(f"there must be a field of each name, got {path}") from None
    # All fields first, then the rules: a rule may be about two of them.
    config = from_config.resolved(config)
    validation.validate(config)
    return config


def _with_field(section: Any, path: str, value: Any) -> Any:
    name, _, rest = path.partition(".")
    if is_section(type(getattr(section, name))) != bool(rest):
        raise TypeError(path)
    return dataclasses.replace(section, **{name: _with_field(getattr(section, name), rest, value) if rest else value})


def of_activation(text: str) -> dict[str, Any]:
    """The fields of an activation as one writes it: a name, `name:beta`, `name:SHARErms`, or the dictionary of a layer.

    A name alone keeps the configuration's width.

    Raises:
      InputError: no such activation, or a beta that it cannot have.

    >>> of_activation("smelu:0.25")
    {'model.activation': 'smelu', 'model.beta': 0.25}
    """
    try:
        if text.startswith("{"):
            layer = ast.literal_eval(text)
            activations.get(layer)
            return {"model.activation": layer}
        name, width = activations.spelled(text)
        activations.with_beta(name, **width)
    except (SyntaxError, TypeError, ValueError) as error:
        raise InputError(f"an activation must be a name, name:beta or a dictionary, got {text!r}: {error}") from error
    return {"model.activation": name, **{f"model.{key}": value for key, value in width.items()}}


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


def crossed(config: Config, texts: Sequence[str], fields: Mapping[str, Sequence[Any]]) -> list[Variant]:
    """Every activation with every value of some fields, those that are equal once.

    An activation without a width is equal for every beta.

    Args:
      config: what they have in common.
      texts: activations: a name, `name:beta:beta:...` (each a number, or a share: `0.3rms`) or the dictionary of a
        layer; none = that of `config`.
      fields: values by the field's path.

    Raises:
      InputError: no such activation or field, a value that breaks a rule, or a width beside those of `fields`.

    >>> from smooth_recs.config import Config
    >>> found = crossed(Config(), ["relu", "smelu:0.1:0.2"], {"model.norm_value": [1.0, 1.4]})
    >>> [variant.name for variant in found][:3]
    ['relu/norm_value=1.0', 'relu/norm_value=1.4', 'smelu:0.1/norm_value=1.0']
    """
    # `smelu:0.1:0.2` as `smelu:0.1` and `smelu:0.2`.
    single: list[str | None] = []
    for each in texts:
        name, *betas = [each] if each.startswith("{") else each.split(":")
        single += [f"{name}:{beta}" for beta in betas] or [each]
    found: list[tuple[Config, Variant]] = []
    for text, values in itertools.product(single or [None], itertools.product(*fields.values())):
        own = {} if text is None else of_activation(text)
        chosen = dict(zip(fields, values, strict=True))
        activation = {"model.activation": config.model.activation, **own, **chosen}["model.activation"]
        varied = [path for path in _WIDTHS if path in chosen]
        if not isinstance(activation, str) or not activations.takes_beta(activation):
            for path in varied:
                del chosen[path]
        elif varied and not own.keys().isdisjoint(_WIDTHS):
            raise InputError(f"an activation must have no width where {varied[0]} has values of its own, got {text}")
        result = with_fields(config, {**own, **chosen})
        if any(result == other for other, _ in found):
            continue
        parts = {path: (path.rpartition(".")[2], _without_spaces(value)) for path, value in chosen.items()}
        others = [" ".join(part) for path, part in parts.items() if path not in _WIDTHS]
        named = [] if text is None and chosen.keys().isdisjoint(_WIDTHS) else [activation_label(result.to_dict())]
        beta, relative = result.model.beta, result.model.relative_beta
        width = relative if beta is None else beta
        # A schedule over the layers is no point of a line.
        has_width = isinstance(width, float | int)
        spelled = activation_label({"model": {"activation": result.model.activation}})
        spelled += "" if relative is None else f" {registry.RELATIVE}"
        variant = Variant(
            name="/".join([*([] if text is None else [_without_spaces(text)]), *map("=".join, parts.values())]),
            label=", ".join([*named, *others]),
            fields={**own, **chosen},
            line=", ".join([spelled, *others]) if has_width else "",
            width=float(width) if isinstance(width, float | int) else None,
        )
        found.append((result, variant))
    # Layers given as dictionaries may share a label where only their names differ.
    times = collections.Counter(variant.label for _, variant in found)
    return [
        dataclasses.replace(variant, label=variant.name) if times[variant.label] > 1 else variant
        for _, variant in found
    ]


def _without_spaces(value: Any) -> str:
    """A value as a part of a name, which must have no spaces.

    >>> _without_spaces((64, 32)), _without_spaces({"a": 1})
    ('64-32', "{'a':1}")
    """
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return "".join(str(value).split())


@dataclasses.dataclass(frozen=True)
class Grid:
    """A pair of siblings, or more, for every variant and seed.

    Args:
      config: what all have in common.
      variants: with different names.
      seeds: of the pairs.

    Raises:
      InputError: fields that do not exist, break a rule or are the seed; variants that need an unknown one, or each
        other in a circle.

    ```python
    grid = Grid(Config(), sweeps.activation("smelu", 0.1, 0.2), seeds=(1, 2, 3))
    Folder("runs/widths").run(grid.cells())
    ```
    """

    config: Config
    variants: Sequence[Variant]
    seeds: Sequence[int]

    def __post_init__(self) -> None:
        for variant in self.variants:
            self.cell(variant, self.seeds[0])

    def cells(self) -> list[Cell]:
        """All runs, seed by seed, so that the finished ones soon make a table."""
        return [self.cell(variant, seed) for seed in self.seeds for variant in self.variants]

    def cell(self, variant: Variant, seed: int, within: tuple[str, ...] = ()) -> Cell:
        """The run of a variant with a seed, and those of the same seed that it needs.

        `within` names the variants that need this one, the last one directly.
        """
        if variant.name in within:
            raise InputError(f"variants need each other in a circle: {' needs '.join((*within, variant.name))}")
        named = {other.name: other for other in self.variants}
        needs: dict[str, Cell] = {}
        for path, value in variant.fields.items():
            for item in value if isinstance(value, list | tuple) else (value,):
                if isinstance(item, str) and item.startswith(REFERENCE):
                    name = item.removeprefix(REFERENCE)
                    if name not in named:
                        known = ", ".join(named)
                        raise InputError(f"variant {variant.name}: {path} must name a variant ({known}), got {item}")
                    needs[item] = self.cell(named[name], seed, (*within, variant.name))
        # A cell is named by its configuration, so that this holds the keys of what it needs in place of their names.
        fields = cells.replaced(variant.fields, {item: f"{REFERENCE}{cell.key}" for item, cell in needs.items()})
        if "seed" in fields:
            raise InputError(f"variant {variant.name}: the seed must be left to the pairs, got {fields['seed']!r}")
        try:
            config = with_fields(self.config, {"seed": seed, **fields})
            from_config.layer_activations(config.model)  # raises for an unknown one
        except InputError as error:
            raise InputError(f"variant {variant.name}: {error}") from error
        return Cell(f"{variant.label}, seed {seed}", config, tuple(needs.values()))


def grid_of(sweep: Sweep) -> Grid:
    """All runs of a sweep; InputError where a variant is wrong."""
    return Grid(sweep.config, sweep.variants, sweep.seeds)
