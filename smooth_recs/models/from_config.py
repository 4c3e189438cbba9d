"""The ranking model that a configuration describes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from smooth_recs import activations, keras_generation
from smooth_recs import config as config_lib
from smooth_recs.data.encoding import Encoder
from smooth_recs.errors import InputError
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, Tower
from smooth_recs.layers.embedding import Columns
from smooth_recs.layers.tpu_embedding import TPUStackedEmbedding
from smooth_recs.losses import Ramp
from smooth_recs.models import interactions
from smooth_recs.models.cost import narrowed
from smooth_recs.models.ensemble import EnsembleModel
from smooth_recs.models.interactions import Linear
from smooth_recs.models.ranking import RankingModel

POLICIES = {"float32": None, "bfloat16": "mixed_bfloat16"}  # None: Keras' global one

tfrs = keras_generation.recommenders("a ranking model")


def resolved(config: config_lib.Config) -> config_lib.Config:
    """The configuration with what follows from it: an activation without a width has no beta."""
    name = config.model.activation
    beta = config.model.beta if isinstance(name, str) and activations.takes_beta(name) else None
    return dataclasses.replace(config, model=dataclasses.replace(config.model, beta=beta))


def model(
    config: config_lib.Config,
    encoder: Encoder,
    *,
    total_steps: int = 1,
    distillation: Any = None,
) -> RankingModel | EnsembleModel:
    """A new, uncompiled model for rows that `encoder` encodes: one network, or the ensemble that `config` asks for.

    Args:
      config, encoder: of the run.
      total_steps: over which weights of losses change.
      distillation: see `RankingModel`; each component of an ensemble learns from the teacher.

    Raises:
      InputError: an activation or an interaction that is not possible, or an ensemble that cannot be narrowed.
    """
    config = narrowed(config, encoder)
    tpu = _tpu_optimizer(config, total_steps)
    if config.ensemble.components == 1:
        return ranking_model(config.model, encoder, distillation, tpu)
    ensemble = config.ensemble
    stale = EnsembleModel(_components(config, encoder, tpu=tpu)) if ensemble.stale_steps else None
    return EnsembleModel(
        _components(config, encoder, distillation, tpu),
        average=ensemble.average,
        deployed=ensemble.deployed,
        init=ensemble.init,
        decorrelation=Ramp(ensemble.decorrelation, total_steps),
        codistillation=Ramp(ensemble.codistillation, total_steps),
        stale=stale,
        stale_steps=ensemble.stale_steps,
    )


def ranking_model(model: config_lib.Model, encoder: Encoder, distillation: Any = None, tpu: Any = None) -> RankingModel:
    """One network, with tables of its own; the arguments are those of `model`, and the optimizer of tables on a TPU."""
    features = _features(encoder)
    embeddings = _embeddings(features, model, tpu) if features else None
    return _network(model, encoder, embeddings, _linear(model, encoder, features), distillation)


def _components(
    config: config_lib.Config, encoder: Encoder, distillation: Any = None, tpu: Any = None
) -> list[RankingModel]:
    """Of an ensemble, with embeddings side by side in one table, or in a table each."""
    model, count = config.model, config.ensemble.components
    features = _features(encoder)
    linear = _linear(model, encoder, features)
    if not features:
        embeddings: list[Any] = [None] * count
    elif config.ensemble.tables == "separate":
        embeddings = [_embeddings(features, model, tpu) for _ in range(count)]
    else:
        shared = _embeddings(features, dataclasses.replace(model, embedding_dim=count * model.embedding_dim), tpu)
        embeddings = [Columns(shared, k, count, name=f"columns_{k}") for k in range(count)]
    return [_network(model, encoder, own, linear, distillation, k) for k, own in enumerate(embeddings)]


def _network(
    model: config_lib.Model, encoder: Encoder, embeddings: Any, linear: Any, distillation: Any, component: int = 0
) -> RankingModel:
    check(model, encoder)
    numeric = [feature.name for feature in encoder.schema.numeric]

    def tower(units: tuple[int, ...], activation: Any, name: str, dropout_seed: int) -> Tower:
        return Tower(
            units,
            activation,
            normalization=model.normalization,
            norm_value=model.norm_value,
            clip=model.clip or None,
            dropout=model.dropout,
            l2=model.l2,
            # Siblings drop the same units, since dropout is not what differs between them; components drop others.
            dropout_seed=dropout_seed + 10_000 * component,
            dtype=POLICIES[model.precision],
            name=name,
        )

    has_bottom = bool(numeric and model.bottom_units)
    widest = next(iter(_widths(model)), None)
    bottom = [_activation(model, widest) for _ in model.bottom_units]
    return RankingModel(
        embeddings=embeddings,
        numeric=numeric,
        bottom_stack=tower(model.bottom_units, bottom, "bottom", 1000) if has_bottom else None,
        interaction=interactions.by_name(model.interaction),
        top_stack=tower(model.hidden_units, layer_activations(model), "top", 2000),
        linear=linear,
        distillation=distillation,
    )


def _features(encoder: Encoder) -> list[EmbeddedFeature]:
    return [
        EmbeddedFeature(f.name, encoder.table_rows(f), f.max_values, f.combiner) for f in encoder.schema.categorical
    ]


def _embeddings(features: list[EmbeddedFeature], model: config_lib.Model, tpu: Any) -> Any:
    if tpu is not None:
        return TPUStackedEmbedding(features, model.embedding_dim, optimizer=tpu, name="embeddings")
    return StackedEmbedding(features, model.embedding_dim, admission=model.admission, name="embeddings")


def _tpu_optimizer(config: config_lib.Config, total_steps: int) -> Any:
    """The one of embedding tables on a TPU, which updates them itself; None elsewhere."""
    if config.distribution.strategy != "tpu":
        return None
    if config.model.admission:
        raise InputError(f"model.admission must be 0 with distribution.strategy tpu, got {config.model.admission}")
    return _sparse_optimizer(config.train, total_steps)


def _linear(model: config_lib.Model, encoder: Encoder, features: list[EmbeddedFeature]) -> Linear | None:
    numeric = [feature.name for feature in encoder.schema.numeric]
    return Linear(features, numeric, name="linear") if model.linear else None


def check(model: config_lib.Model, encoder: Encoder) -> None:
    """Raises InputError for an activation or an interaction that is not possible."""
    layer_activations(model)
    if model.interaction == "dot" and not encoder.schema.categorical:
        raise InputError(
            "model.interaction must be concat or cross where the schema has no categorical feature, got dot"
        )


def layer_activations(model: config_lib.Model) -> list[Any]:
    """One activation object a hidden layer; InputError names the field for an unknown name or a bad width."""
    return [_activation(model, width) for width in _widths(model)]


def _widths(model: config_lib.Model) -> list[float | None]:
    """beta of each hidden layer."""
    layers, beta = len(model.hidden_units), model.beta
    widths: list[float | None] = list(beta) if isinstance(beta, (tuple, list)) else [beta] * layers
    if len(widths) != layers:
        raise InputError(f"model.beta must be a number or one a hidden layer, got {len(widths)} for {layers} layers")
    return widths


def _activation(model: config_lib.Model, beta: float | None) -> Any:
    try:
        if isinstance(model.activation, dict):
            return activations.get(model.activation)
        return activations.with_beta(model.activation, beta)
    except (TypeError, ValueError) as error:
        raise InputError(f"model.activation or model.beta: {error}") from error


_legacy = tf.keras.optimizers.legacy
DENSE_OPTIMIZERS: dict[str, Callable[[Any, config_lib.Train, dict[str, float]], Any]] = {
    "adagrad": lambda rate, train, clipping: _legacy.Adagrad(
        rate, initial_accumulator_value=train.initial_accumulator, **clipping
    ),
    "adam": lambda rate, train, clipping: _legacy.Adam(rate, **clipping),
    "sgd": lambda rate, train, clipping: _legacy.SGD(rate, **clipping),
}


def optimizer(model: RankingModel | EnsembleModel, train: config_lib.Train, total_steps: int) -> Any:
    """Adagrad for the embeddings (sparse updates) and the configured optimizer for everything else.

    Keras' legacy optimizers, because their sparse Adagrad is one fused op and the TPU embedding takes no others.
    """
    clipping = {"global_clipnorm": train.clip_norm} if train.clip_norm else {}
    dense_rate = _rate(train.dense_learning_rate, train, total_steps)
    pairs = [(DENSE_OPTIMIZERS[train.dense_optimizer](dense_rate, train, clipping), lambda: model.dense_variables)]
    if model.embedding_layers:
        shared = [getattr(layer, "shared", layer) for layer in model.embedding_layers]
        on_tpu = [layer.optimizer for layer in shared if isinstance(layer, TPUStackedEmbedding)]
        sparse = on_tpu[0] if on_tpu else _sparse_optimizer(train, total_steps)
        pairs.append((sparse, lambda: model.embedding_variables))
    return tfrs.experimental.optimizers.CompositeOptimizer(pairs)


def _sparse_optimizer(train: config_lib.Train, total_steps: int) -> Any:
    rate = _rate(train.embedding_learning_rate, train, total_steps)
    return tf.keras.optimizers.legacy.Adagrad(rate, initial_accumulator_value=train.initial_accumulator)


def _rate(initial: float, train: config_lib.Train, total_steps: int) -> Any:
    if train.final_learning_rate_share == 1:
        return initial
    final = initial * train.final_learning_rate_share
    return tf.keras.optimizers.schedules.PolynomialDecay(initial, total_steps, final)
