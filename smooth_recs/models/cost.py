"""What a model costs per example, counted from its configuration, and ensembles that cost what one network does."""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from smooth_recs import activations
from smooth_recs import config as config_lib
from smooth_recs.data.encoding import Encoder
from smooth_recs.errors import InputError

FLOAT = 4  # bytes
CROSSES = 2  # the depth of `interactions.Cross`
NORMALIZED = ("layer", "batch")  # with a scale and a shift for each unit


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one sibling: of all components of an ensemble.

    Attributes:
      table_parameters: trained numbers in embedding tables.
      dense_parameters: all others.
      multiply_adds: of the matrix products and the interaction, for one example. What a unit does by itself
        (activation, clipping, normalisation) and what is done once a batch (norms of rows of weights) is not counted.
      lookups: table rows that are read for one example.
      lookup_bytes: of the numbers in these rows.
    """

    table_parameters: int
    dense_parameters: int
    multiply_adds: int
    lookups: int
    lookup_bytes: int

    @property
    def parameters(self) -> int:
        return self.table_parameters + self.dense_parameters

    def to_dict(self) -> dict[str, int]:
        return {"parameters": self.parameters, **dataclasses.asdict(self)}


class _Part(NamedTuple):
    """A part of a network: its parameters, its multiply-adds an example and the width of its output."""

    parameters: int
    multiply_adds: int
    outputs: int


def cost(config: config_lib.Config, encoder: Encoder) -> Cost:
    """What the model of `config` costs, for rows that `encoder` encodes, without making it.

    ```python
    from smooth_recs import config
    from smooth_recs.data.encoding import Encoder
    from smooth_recs.schema import Categorical, Schema
    from smooth_recs.models.cost import cost

    encoder = Encoder(Schema((Categorical("user", "hash", 98),)))
    found = cost(config.Config(model=config.Model(embedding_dim=3, hidden_units=(2,))), encoder)
    assert (found.table_parameters, found.dense_parameters) == (100 * 3, (3 + 1) * 2 + (2 + 1))
    assert (found.multiply_adds, found.lookups, found.lookup_bytes) == (3 * 2 + 2, 1, 12)
    ```
    """
    config = narrowed(config, encoder)
    model, components = config.model, config.ensemble.components
    features, linear = encoder.schema.categorical, int(config.model.linear)
    width, numeric = components * model.embedding_dim + linear, _numeric(encoder)
    values = sum(feature.max_values for feature in features)
    tables = components if config.ensemble.tables == "separate" else 1
    one = _component(model, encoder)
    return Cost(
        table_parameters=sum(encoder.table_rows(feature) for feature in features) * width,
        dense_parameters=components * one.parameters + linear * numeric,
        multiply_adds=components * one.multiply_adds + linear * numeric,
        lookups=values * (tables + linear),
        lookup_bytes=values * width * FLOAT,
    )


def single(config: config_lib.Config) -> config_lib.Config:
    """The configuration with one network, as wide as `model` says, in place of an ensemble."""
    return dataclasses.replace(config, ensemble=config_lib.Ensemble())


def narrowed(config: config_lib.Config, encoder: Encoder) -> config_lib.Config:
    """The configuration whose `model` has the widths that `ensemble.equal_cost` asks for, which is then `none`.

    The components share the width of the embeddings; all hidden layers, those over the numeric features included, are
    narrowed in the same ratio, the largest, up to 1, with which the ensemble costs no more than the single network.

    Raises:
      InputError: embeddings narrower than there are components; layers that would have to go below one unit.
    """
    what = config.ensemble.equal_cost
    if what == "none":
        return config
    limit, model = _counted(single(config), encoder, what), _narrowed_embeddings(config, encoder)
    units = (*model.hidden_units, *model.bottom_units)
    ratios = sorted({Fraction(width, of) for of in units for width in range(1, of + 1) if width * min(units) >= of})

    def with_ratio(ratio: Fraction) -> config_lib.Config:
        hidden, bottom = _narrowed_units(model.hidden_units, ratio), _narrowed_units(model.bottom_units, ratio)
        ensemble = dataclasses.replace(config.ensemble, equal_cost="none")
        narrow = dataclasses.replace(model, hidden_units=hidden, bottom_units=bottom)
        return dataclasses.replace(config, model=narrow, ensemble=ensemble)

    found = bisect.bisect_right(ratios, limit, key=lambda ratio: _counted(with_ratio(ratio), encoder, what))
    if not found:
        least = with_ratio(ratios[0])
        raise InputError(
            f"ensemble.equal_cost {what} needs layers that can be narrowed, each to at least 1 unit: "
            f"{config.ensemble.components} components with hidden units {_listed(least.model)} have "
            f"{_counted(least, encoder, what):,}, above the {limit:,} of the single network, got {_listed(model)}"
        )
    return with_ratio(ratios[found - 1])


def equal_cost_line(config: config_lib.Config, encoder: Encoder) -> str:
    """What the narrowed ensemble of a configuration with `ensemble.equal_cost` is, and what it costs."""
    narrow = narrowed(config, encoder)
    ours, of_single = cost(narrow, encoder), cost(single(config), encoder)
    return (
        f"equal cost  {narrow.ensemble.components} components of embedding_dim {narrow.model.embedding_dim}, "
        f"hidden units {_listed(narrow.model)}: {ours.parameters:,} parameters (single network: "
        f"{of_single.parameters:,}), {ours.multiply_adds:,} multiplications an example ({of_single.multiply_adds:,}), "
        f"{ours.lookups:,} lookups ({of_single.lookups:,})"
    )


def _counted(config: config_lib.Config, encoder: Encoder, what: str) -> int:
    found = cost(config, encoder)
    return found.parameters if what == "parameters" else found.multiply_adds


def _narrowed_embeddings(config: config_lib.Config, encoder: Encoder) -> config_lib.Model:
    """So that the embeddings of all components together are no wider than the single network's."""
    width, components = config.model.embedding_dim, config.ensemble.components
    if not encoder.schema.categorical:
        return config.model
    if width < components:
        raise InputError(
            f"model.embedding_dim must be at least ensemble.components for ensemble.equal_cost, got {width} "
            f"for {components} components"
        )
    return dataclasses.replace(config.model, embedding_dim=width // components)


def _narrowed_units(units: Sequence[int], ratio: Fraction) -> tuple[int, ...]:
    return tuple(math.floor(width * ratio) for width in units)


def _listed(model: config_lib.Model) -> str:
    """`141 70 35`, and `141 70 35 (bottom 8 4)` with a bottom stack."""
    bottom = f" (bottom {' '.join(map(str, model.bottom_units))})" if model.bottom_units else ""
    return " ".join(map(str, model.hidden_units)) + bottom


def _component(model: config_lib.Model, encoder: Encoder) -> _Part:
    """One network without its tables: the bottom stack, the interaction, the top stack and the output layer."""
    numeric = _numeric(encoder)
    bottom = _tower(numeric, model.bottom_units, model) if numeric else _Part(0, 0, 0)
    interaction = _interaction(len(encoder.schema.categorical), bottom.outputs, model)
    top = _tower(interaction.outputs, model.hidden_units, model)
    parts = (bottom, interaction, top, _Part(top.outputs + 1, top.outputs, 1))
    return _Part(sum(part.parameters for part in parts), sum(part.multiply_adds for part in parts), 1)


def _tower(inputs: int, units: Sequence[int], model: config_lib.Model) -> _Part:
    parameters = multiply_adds = 0
    for width in units:
        scales = 2 * width if model.normalization in NORMALIZED else 0
        parameters += (inputs + 1) * width + scales + _learned(model.activation, width)
        multiply_adds += inputs * width
        inputs = width
    return _Part(parameters, multiply_adds, inputs)


def _interaction(vectors: int, numeric: int, model: config_lib.Model) -> _Part:
    """Of so many embeddings and a vector of so many numbers, as `models.interactions` makes it."""
    dim = model.embedding_dim
    inputs = vectors * dim + numeric
    if model.interaction == "cross":
        return _Part(CROSSES * (inputs + 1) * inputs, CROSSES * (inputs + 1) * inputs, inputs)
    if model.interaction == "dot":
        projection = _Part((numeric + 1) * dim, numeric * dim, dim) if numeric else _Part(0, 0, inputs)
        vectors += numeric > 0
        outputs = projection.outputs + vectors * (vectors - 1) // 2
        return _Part(projection.parameters, projection.multiply_adds + vectors * vectors * dim, outputs)
    return _Part(0, 0, inputs)


def _learned(activation: Any, units: int) -> int:
    """The numbers that an activation of a layer learns: only one that a dictionary describes can learn any."""
    if not isinstance(activation, dict):
        return 0
    layer: Any = activations.get(activation)
    layer.build((None, units))
    return sum(math.prod(weight.shape) for weight in layer.trainable_variables)


def _numeric(encoder: Encoder) -> int:
    """How many inputs the numeric features are."""
    return sum(feature.width for feature in encoder.schema.numeric)
