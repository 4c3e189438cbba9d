"""The model and the optimizer that a configuration describes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from smooth_recs import activations
from smooth_recs import config as config_lib
from smooth_recs.data.encoding import Encoder, Encoding
from smooth_recs.errors import InputError
from smooth_recs.layers import EmbeddedFeature, StackedEmbedding, Tower, compiled
from smooth_recs.layers.embedding import Columns
from smooth_recs.losses import Ramp
from smooth_recs.models import generation, interactions
from smooth_recs.models.cost import narrowed
from smooth_recs.models.ensemble import EnsembleModel
from smooth_recs.models.interactions import Linear
from smooth_recs.models.ranking import RankingModel

POLICIES = {"float32": None, "bfloat16": "mixed_bfloat16"}  # None is Keras' global policy


def resolved(config: config_lib.Config) -> config_lib.Config:
    """Completes a configuration with what follows from it.

    An activation without a width has no beta, and a width in the activation's text (`smelu:0.3rms`) is in its field.
    """
    model = config.model
    if isinstance(model.activation, str):
        name, width = activations.spelled(model.activation)
        if width and not (model.beta is model.relative_beta is None):
            field = "relative_beta" if model.beta is None else "beta"
            raise InputError(f"model.{field} must be null where model.activation has a width, got {model.activation}")
        changes: dict[str, Any] = {"activation": name, **width}
        model = dataclasses.replace(model, **changes)
    if isinstance(model.activation, dict) or not activations.takes_beta(model.activation):
        model = dataclasses.replace(model, beta=None, relative_beta=None)
    return dataclasses.replace(config, model=model)


def model(
    config: config_lib.Config,
    encoder: Encoder,
    *,
    total_steps: int = 1,
    distillation: Any = None,
) -> RankingModel | EnsembleModel:
    """Makes an uncompiled model for rows that `encoder` encodes: one network, or the ensemble that `config` asks for.

    Args:
      config: the run's configuration.
      encoder: the run's encoder.
      total_steps: the steps of the run, over which weights of losses change.
      distillation: see `RankingModel`; each component of an ensemble learns from the teacher.

    Raises:
      InputError: the activation or the interaction is not possible, or the ensemble cannot be narrowed.
    """
    config = narrowed(config, encoder)
    tpu = None
    if config.distribution.strategy == "tpu":  # a TPU updates its tables itself, with the optimizer it is given here
        if config.model.admission:
            raise InputError(f"model.admission must be 0 with distribution.strategy tpu, got {config.model.admission}")
        tpu = _sparse_optimizer(config.train, total_steps)
    made = _ranker(config, encoder, total_steps, distillation, tpu)
    made.compile_dense, _ = compiles_dense(config)
    return made


def _ranker(
    config: config_lib.Config, encoder: Encoder, total_steps: int, distillation: Any, tpu: Any
) -> RankingModel | EnsembleModel:
    """Makes the network, or the ensemble, of a configuration that is narrowed."""
    if config.ensemble.components == 1:
        return ranking_model(config.model, encoder, distillation, tpu)
    ensemble = config.ensemble
    shape = (config.model, encoder, ensemble.components, ensemble.tables == "separate")
    stale = EnsembleModel(_networks(*shape, tpu=tpu)) if ensemble.stale_steps else None
    return EnsembleModel(
        _networks(*shape, distillation, tpu),
        average=ensemble.average,
        deployed=ensemble.deployed,
        init=ensemble.init,
        decorrelation=Ramp(ensemble.decorrelation, total_steps),
        codistillation=Ramp(ensemble.codistillation, total_steps),
        stale=stale,
        stale_steps=ensemble.stale_steps,
    )


def compiles_dense(config: config_lib.Config) -> tuple[bool, str]:
    """Whether XLA compiles the passes of training steps under the strategy of this scope, by `model.compile_dense`.

    It follows from the configuration, the devices and what is installed alone, so that a resumed run has it as before.

    Returns:
      The answer, and why it is no where the configuration asks for it or a compiler is missing; else an empty text.
    """
    wanted, units = config.model.compile_dense, (*config.model.bottom_units, *config.model.hidden_units)
    strategy = tf.distribute.get_strategy()
    batch_size = config.train.batch_size // strategy.num_replicas_in_sync
    if wanted == "never" or (wanted == "auto" and not compiled.pays(batch_size, units)):
        return False, ""
    if config.model.normalization != "weight":
        reason = f"model.normalization is {config.model.normalization}, not weight"
    elif isinstance(strategy, tf.distribute.TPUStrategy | tf.distribute.ParameterServerStrategy):
        reason = f"the strategy is a {type(strategy).__name__}"
    elif reason := compiled.missing():
        return False, reason
    else:
        return wanted == "always" or not tf.config.list_physical_devices("GPU"), ""
    return False, reason if wanted == "always" else ""


def averaged(config: config_lib.Config, encoder: Encoder) -> RankingModel | EnsembleModel:
    """Makes an uncompiled model that predicts as `model` does, for the averages of its weights: it does not train.

    Its tables are in float32, since an average moves by less than 16 bits can hold.
    """
    ensemble = dataclasses.replace(config.ensemble, decorrelation=0.0, codistillation=0.0, stale_steps=0)
    network = dataclasses.replace(config.model, embedding_precision="float32")
    return model(dataclasses.replace(config, model=network, ensemble=ensemble), encoder)


def ranking_model(model: config_lib.Model, encoder: Encoder, distillation: Any = None, tpu: Any = None) -> RankingModel:
    """Makes one network, with tables of its own.

    Args:
      model, encoder, distillation: see `model`.
      tpu: the optimizer of the tables on a TPU; None elsewhere.
    """
    (network,) = _networks(model, encoder, 1, True, distillation, tpu)
    return network


def _networks(
    model: config_lib.Model, encoder: Encoder, count: int, separate: bool, distillation: Any = None, tpu: Any = None
) -> list[RankingModel]:
    """Makes the networks of a model, each with tables of its own (`separate`) or with its columns of shared ones."""
    check(model, encoder)
    schema = encoder.schema
    numeric = [feature.name for feature in schema.numeric]
    features = [EmbeddedFeature(f.name, encoder.table_rows(f), f.max_values, f.combiner) for f in schema.categorical]
    # Half of it: the square's derivative is 2 w.
    penalty = tf.keras.regularizers.L2(model.embedding_l2 / 2) if model.embedding_l2 else None
    tasks = len(schema.labels) if len(schema.labels) > 1 else 1
    linear = None
    if model.linear:
        linear = Linear(features, numeric, penalty, tasks, model.embedding_precision, name="linear")

    def table(dim: int) -> Any:
        if tpu is not None:
            from smooth_recs.layers import TPUStackedEmbedding  # needs TensorFlow Recommenders

            return TPUStackedEmbedding(features, dim, optimizer=tpu, name="embeddings")
        return StackedEmbedding(
            features,
            dim,
            admission=model.admission,
            embeddings_regularizer=penalty,
            embeddings_dtype=model.embedding_precision,
            name="embeddings",
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
            dropout_seed=dropout_seed,
            dtype=POLICIES[model.precision],
            name=name,
        )

    if not features:
        embeddings: list[Any] = [None] * count
    elif separate:
        embeddings = [table(model.embedding_dim) for _ in range(count)]
    else:
        shared = table(count * model.embedding_dim)
        embeddings = [Columns(shared, k, count, name=f"columns_{k}") for k in range(count)]
    networks = []
    for k, own in enumerate(embeddings):
        # Siblings drop the same units, since dropout is not what is different between them; components drop others.
        seed = 10_000 * k
        widest = next(iter(_widths(model)), {})
        bottom = [_activation(model, widest) for _ in model.bottom_units]
        networks.append(
            RankingModel(
                embeddings=own,
                numeric=numeric,
                bottom_stack=tower(model.bottom_units, bottom, "bottom", 1000 + seed) if numeric and bottom else None,
                interaction=interactions.by_name(model.interaction),
                top_stack=tower(model.hidden_units, layer_activations(model), "top", 2000 + seed),
                linear=linear,
                outputs=tasks,
                task_weights=(model.task_weights or (1.0,) * tasks) if tasks > 1 else (),
                distillation=distillation,
            )
        )
    return networks


def check(model: config_lib.Model, encoder: Encoder | Encoding) -> None:
    """Raises InputError where the activation, the interaction or the weights of tasks are not possible."""
    layer_activations(model)
    labels = encoder.schema.labels
    if model.task_weights and not len(model.task_weights) == len(labels) > 1:
        raise InputError(
            f"model.task_weights must be one for each of several labels, got {len(model.task_weights)} for "
            f"{', '.join(labels)}"
        )
    if model.interaction in ("dot", "deepfm") and not encoder.schema.categorical:
        raise InputError(
            "model.interaction must be concat or cross where the schema has no categorical feature, got "
            f"{model.interaction}"
        )


def layer_activations(model: config_lib.Model) -> list[Any]:
    """Makes one activation a hidden layer; raises InputError, with the field, for an unknown name or a bad width."""
    return [_activation(model, width) for width in _widths(model)]


def _widths(model: config_lib.Model) -> list[dict[str, float]]:
    """The width of each hidden layer: `beta` or `relative_beta` by its name, or nothing for the default."""
    layers = len(model.hidden_units)
    widths: list[dict[str, float]] = [{} for _ in range(layers)]
    for name, given in (("beta", model.beta), ("relative_beta", model.relative_beta)):
        values = list(given) if isinstance(given, (tuple, list)) else [given] * layers
        if len(values) != layers:
            message = f"model.{name} must be a number or one a hidden layer, got {len(values)} for {layers} layers"
            raise InputError(message)
        for width, value in zip(widths, values, strict=True):
            width |= {} if value is None else {name: value}
    return widths


def _activation(model: config_lib.Model, width: dict[str, float]) -> Any:
    try:
        if isinstance(model.activation, dict) or not width:
            return activations.get(model.activation)
        return activations.with_beta(model.activation, **width)
    except (TypeError, ValueError) as error:
        raise InputError(f"model.activation or model.beta: {error}") from error


DENSE_OPTIMIZERS: dict[str, Callable[[Any, config_lib.Train, dict[str, Any]], Any]] = {
    "adagrad": lambda rate, train, clipping: generation.Adagrad(
        rate, initial_accumulator_value=train.initial_accumulator, **clipping
    ),
    "adam": lambda rate, train, clipping: generation.Adam(rate, **clipping),
    "sgd": lambda rate, train, clipping: generation.SGD(rate, **clipping),
}
SPARSE_OPTIMIZERS: dict[str, Callable[[Any, config_lib.Train, dict[str, float]], Any]] = {
    **DENSE_OPTIMIZERS,
    "adam": lambda rate, train, clipping: generation.RowAdam(rate, **clipping),
}


def optimizer(model: RankingModel | EnsembleModel, train: config_lib.Train, total_steps: int) -> Any:
    """Makes the configured optimizers: one for the embeddings (sparse updates) and one for everything else."""
    clipping: dict[str, Any] = {}
    if train.clip_norm and isinstance(model, EnsembleModel):
        clipping = {"gradient_transformers": [_clipped(model, train.clip_norm)]}
    elif train.clip_norm:
        clipping = {"global_clipnorm": train.clip_norm}
    dense_rate = _rate(train.dense_learning_rate, train, total_steps)
    pairs = [(DENSE_OPTIMIZERS[train.dense_optimizer](dense_rate, train, clipping), lambda: model.dense_variables)]
    if model.embedding_layers:
        shared = [getattr(layer, "shared", layer) for layer in model.embedding_layers]
        on_tpu = [layer.optimizer for layer in shared if hasattr(layer, "optimizer")]  # the table updates itself
        sparse = on_tpu[0] if on_tpu else _sparse_optimizer(train, total_steps)
        pairs.append((sparse, lambda: model.embedding_variables))
    return generation.CompositeOptimizer(pairs)


def _clipped(model: EnsembleModel, norm: float) -> Callable[[list[Any]], list[Any]]:
    """Clips the global norm of each component's gradients, and of what they share, so that none slows another down."""

    def clip(pairs: list[Any]) -> list[Any]:
        owners: dict[Any, tuple[int, ...]] = {}
        for k, component in enumerate(model.components):
            for variable in component.dense_variables:
                owners[id(variable)] = (*owners.get(id(variable), ()), k)
        groups: dict[tuple[int, ...], list[int]] = {}
        for position, (_, variable) in enumerate(pairs):
            groups.setdefault(owners.get(id(variable), ()), []).append(position)
        clipped = list(pairs)
        for positions in groups.values():
            gradients, _ = tf.clip_by_global_norm([pairs[position][0] for position in positions], norm)
            for position, gradient in zip(positions, gradients, strict=True):
                clipped[position] = (gradient, pairs[position][1])
        return clipped

    return clip


def _sparse_optimizer(train: config_lib.Train, total_steps: int) -> Any:
    rate = _rate(train.embedding_learning_rate, train, total_steps)
    return SPARSE_OPTIMIZERS[train.embedding_optimizer](rate, train, {})


def _rate(initial: float, train: config_lib.Train, total_steps: int) -> Any:
    if train.final_learning_rate_share == 1:
        return initial
    final = initial * train.final_learning_rate_share
    return tf.keras.optimizers.schedules.PolynomialDecay(initial, total_steps, final)
