"""The cost of a model per example, counted from its configuration, and ensembles that cost no more than one network."""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from smooth_recs import activations
from smooth_recs import config as config_lib
from smooth_recs.data.encoding import Encoder, Encoding
from smooth_recs.errors import InputError

FLOAT = 4  # bytes
CROSSES = 2  # the depth of `interactions.Cross`
NORMALIZED = ("layer", "batch")  # with a scale and a shift for each unit


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of one sibling; of an ensemble, that of all components together.

    Attributes:
      table_parameters: trained numbers in embedding tables.
      dense_parameters: all other trained numbers.
      multiply_adds: multiply-adds of the matrix products and the interaction for one example. Work of single units
        (activation, clipping, normalisation) and work once a batch (norms of rows of weights) is not counted.
      lookups: table rows that are read for one example.
      lookup_bytes: bytes of the numbers in these rows.
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
    """A part of a network: its parameters, its multiply-adds for one example, and the width of its output."""

    parameters: int
    multiply_adds: int
    outputs: int


def cost(config: config_lib.Config, encoder: Encoder | Encoding) -> Cost:
    """Counts what the model of `config` costs, for rows that `encoder` encodes, without making it.

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
    tasks = max(len(encoder.schema.labels), 1)
    features, linear = encoder.schema.categorical, int(config.model.linear)
    numeric = sum(feature.width for feature in encoder.schema.numeric)
    width = components * model.embedding_dim + linear * tasks
    values = sum(feature.max_values for feature in features)
    tables = components if config.ensemble.tables == "separate" else 1
    # One network without its tables: the bottom stack, the interaction, the top stack and the output layer.
    bottom = _tower(numeric, model.bottom_units, model) if numeric else _Part(0, 0, 0)
    interaction = _interaction(len(features), bottom.outputs, model)
    top = _tower(interaction.outputs, model.hidden_units, model)
    network = (bottom, interaction, top, _Part((top.outputs + 1) * tasks, top.outputs * tasks, tasks))
    return Cost(
        table_parameters=sum(encoder.table_rows(feature) for feature in features) * width,
        dense_parameters=components * sum(part.parameters for part in network) + linear * tasks * numeric,
        multiply_adds=components * sum(part.multiply_adds for part in network) + linear * tasks * numeric,
        lookups=values * (tables + linear),
        lookup_bytes=values * width * stored_bytes(model),
    )


def stored_bytes(model: config_lib.Model) -> int:
    """Bytes of a number in a table, as `model.embedding_precision` says."""
    return np.dtype(model.embedding_precision).itemsize


def single(config: config_lib.Config) -> config_lib.Config:
    """Replaces the ensemble of a configuration by one network, as wide as `model` says."""
    return dataclasses.replace(config, ensemble=config_lib.Ensemble())


def narrowed(config: config_lib.Config, encoder: Encoder | Encoding) -> config_lib.Config:
    """Gives the `model` of a configuration the widths that `ensemble.equal_cost` asks for, which becomes `none`.

    The components share the width of the embeddings. All hidden layers, those over the numeric features included, are
    narrowed in the same ratio: the largest, up to 1, with which the ensemble costs no more than the single network.

    Raises:
      InputError: the embeddings are narrower than there are components, or a layer would have less than one unit.
    """
    what = config.ensemble.equal_cost
    if what == "none":
        return config
    model, components = config.model, config.ensemble.components
    if encoder.schema.categorical:
        if model.embedding_dim < components:
            raise InputError(
                f"model.embedding_dim must be at least ensemble.components for ensemble.equal_cost, got "
                f"{model.embedding_dim} for {components} components"
            )
        model = dataclasses.replace(model, embedding_dim=model.embedding_dim // components)

    def counted(config: config_lib.Config) -> int:
        found = cost(config, encoder)
        return found.parameters if what == "parameters" else found.multiply_adds

    limit = counted(single(config))
    # The ratios at which some layer has a whole number of units, and the narrowest at least one: no others make a
    # difference. They are fractions, since rounding could cost a unit.
    units = (*model.hidden_units, *model.bottom_units)
    ratios = sorted({Fraction(width, of) for of in units for width in range(1, of + 1) if width * min(units) >= of})

    def with_ratio(ratio: Fraction) -> config_lib.Config:
        hidden = tuple(math.floor(width * ratio) for width in model.hidden_units)
        bottom = tuple(math.floor(width * ratio) for width in model.bottom_units)
        ensemble = dataclasses.replace(config.ensemble, equal_cost="none")
        narrow = dataclasses.replace(model, hidden_units=hidden, bottom_units=bottom)
        return dataclasses.replace(config, model=narrow, ensemble=ensemble)

    found = bisect.bisect_right(ratios, limit, key=lambda ratio: counted(with_ratio(ratio)))
    if not found:
        least = with_ratio(ratios[0])
        raise InputError(
            f"ensemble.equal_cost {what} needs layers that can be narrowed, each to at least 1 unit: "
            f"{components} components with hidden units {_listed(least.model)} have "
            f"{counted(least):,}, above the {limit:,} of the single network, got {_listed(model)}"
        )
    return with_ratio(ratios[found - 1])


def equal_cost_line(config: config_lib.Config, encoder: Encoder | Encoding) -> str:
    """Describes the narrowed ensemble of a configuration with `ensemble.equal_cost` in one line, with its cost."""
    narrow = narrowed(config, encoder)
    ours, of_single = cost(narrow, encoder), cost(single(config), encoder)
    return (
        f"equal cost  {narrow.ensemble.components} components of embedding_dim {narrow.model.embedding_dim}, "
        f"hidden units {_listed(narrow.model)}: {ours.parameters:,} parameters (single network: "
        f"{of_single.parameters:,}), {ours.multiply_adds:,} multiplications an example ({of_single.multiply_adds:,}), "
        f"{ours.lookups:,} lookups ({of_single.lookups:,})"
    )


def _listed(model: config_lib.Model) -> str:
    """Lists the hidden units: `141 70 35`, and `141 70 35 (bottom 8 4)` with a bottom stack."""
    bottom = f" (bottom {' '.join(map(str, model.bottom_units))})" if model.bottom_units else ""
    return " ".join(map(str, model.hidden_units)) + bottom


def _tower(inputs: int, units: Sequence[int], model: config_lib.Model) -> _Part:
    """A stack of hidden layers as `layers.Tower` makes it."""
    parameters = multiply_adds = 0
    for width in units:
        parameters += (inputs + 1) * width + (2 * width if model.normalization in NORMALIZED else 0)
        if isinstance(model.activation, dict):  # only an activation that a dictionary describes can learn numbers
            layer: Any = activations.get(model.activation)
            layer.build((None, width))
            parameters += sum(math.prod(weight.shape) for weight in layer.trainable_variables)
        multiply_adds += inputs * width
        inputs = width
    return _Part(parameters, multiply_adds, inputs)


def _interaction(vectors: int, numeric: int, model: config_lib.Model) -> _Part:
    """The interaction of so many embeddings with a vector of so many numbers, as `models.interactions` makes it."""
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
