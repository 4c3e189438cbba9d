"""The ranking model that a configuration describes."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from smooth_recs import activations, keras_generation
from smooth_recs import config as config_lib
from smooth_recs.data.encoding import Encoder
from smooth_recs.errors import InputError
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, Tower

keras_generation.require_legacy("a ranking model (TensorFlow Recommenders)")

import tensorflow_recommenders as tfrs  # noqa: E402  needs the check above

from smooth_recs.models import interactions  # noqa: E402
from smooth_recs.models.linear import Linear  # noqa: E402
from smooth_recs.models.ranking import RankingModel  # noqa: E402


def resolved(config: config_lib.Config) -> config_lib.Config:
    """The configuration with what follows from it: an activation without a width has no beta."""
    name = config.model.activation
    beta = config.model.beta if isinstance(name, str) and activations.takes_beta(name) else None
    return dataclasses.replace(config, model=dataclasses.replace(config.model, beta=beta))


def ranking_model(model: config_lib.Model, encoder: Encoder, table_rows: int | None = None) -> RankingModel:
    """A new, uncompiled model for rows that `encoder` encodes; `table_rows` makes every feature's table that long."""
    features = [
        EmbeddedFeature(f.name, table_rows or encoder.table_rows(f), f.max_values, f.combiner)
        for f in encoder.schema.categorical
    ]
    numeric = [feature.name for feature in encoder.schema.numeric]
    if model.interaction == "dot" and not features:
        raise InputError(
            "model.interaction must be concat or cross where the schema has no categorical feature, got dot"
        )

    def tower(units: tuple[int, ...], activation: Any, name: str, dropout_seed: int) -> Tower:
        return Tower(
            units,
            activation,
            normalization=model.normalization,
            norm_value=model.norm_value,
            clip=model.clip or None,
            dropout=model.dropout,
            l2=model.l2,
            dropout_seed=dropout_seed,  # the same units in all siblings: dropout is not what differs between them
            name=name,
        )

    has_bottom = bool(numeric and model.bottom_units)
    widest = next(iter(_widths(model)), None)
    bottom = [_activation(model, widest) for _ in model.bottom_units]
    return RankingModel(
        embeddings=_embeddings(features, model) if features else None,
        numeric=numeric,
        bottom_stack=tower(model.bottom_units, bottom, "bottom", 1000) if has_bottom else None,
        interaction=interactions.by_name(model.interaction),
        top_stack=tower(model.hidden_units, layer_activations(model), "top", 2000),
        linear=Linear(features, numeric, name="linear") if model.linear else None,
    )


def _embeddings(features: list[EmbeddedFeature], model: config_lib.Model) -> StackedEmbedding:
    return StackedEmbedding(features, model.embedding_dim, admission=model.admission, name="embeddings")


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


def optimizer(model: RankingModel, train: config_lib.Train, total_steps: int) -> Any:
    """Adagrad for the embeddings (sparse updates) and the configured optimizer for everything else.

    Keras' legacy optimizers, because their sparse Adagrad is one fused op and the TPU embedding takes no others.
    """
    legacy = tf.keras.optimizers.legacy

    def rate(initial: float) -> Any:
        if train.final_learning_rate_share == 1:
            return initial
        final = initial * train.final_learning_rate_share
        return tf.keras.optimizers.schedules.PolynomialDecay(initial, total_steps, final)

    clipping = {"global_clipnorm": train.clip_norm} if train.clip_norm else {}
    dense = {
        "adagrad": lambda r: legacy.Adagrad(r, initial_accumulator_value=train.initial_accumulator, **clipping),
        "adam": lambda r: legacy.Adam(r, **clipping),
        "sgd": lambda r: legacy.SGD(r, **clipping),
    }
    sparse = legacy.Adagrad(rate(train.embedding_learning_rate), initial_accumulator_value=train.initial_accumulator)
    pairs = [(dense[train.dense_optimizer](rate(train.dense_learning_rate)), lambda: model.dense_variables)]
    if model.embeddings is not None:
        pairs.append((sparse, lambda: model.embedding_variables))
    return tfrs.experimental.optimizers.CompositeOptimizer(pairs)
