"""What a configuration must hold before a run starts: a rule for every field, each violation one line.

Activation names are not checked here but by `smooth_recs.activations.get`: this module needs no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from smooth_recs import config as config_lib
from smooth_recs.data.schema import Schema
from smooth_recs.errors import InputError

PRESETS = ("criteo", "movielens", "open_bandit")
SCHEMA_SOURCES = ("csv", "tfrecord", "parquet")


class Rule(NamedTuple):
    """`field` must be `words`."""

    words: str
    holds: Callable[[Any], bool]


def _one_of(*choices: str) -> Rule:
    return Rule(f"one of {', '.join(choices)}", lambda value: value in choices)


def _at_least(low: float) -> Rule:
    return Rule(f"at least {low}", lambda value: value >= low)


def _above(low: float) -> Rule:
    return Rule(f"above {low}", lambda value: value > low)


_ANYTHING = Rule("anything", lambda value: True)
_SEED = Rule("from 0 to 2147483647", lambda value: 0 <= value < 2**31)
_SHARE = Rule("from 0 to 1", lambda value: 0 <= value <= 1)
_RATE = Rule("at least 0 and below 1", lambda value: 0 <= value < 1)
_WIDTHS = Rule("widths of at least 1", lambda value: all(width >= 1 for width in value))
_NAMES = Rule("names that differ", lambda value: all(value) and len(set(value)) == len(value))
_RAMP = Rule(
    "one or two numbers of at least 0", lambda value: 1 <= len(_as_tuple(value)) <= 2 and min(_as_tuple(value)) >= 0
)
_LAYERS = Rule("one or more widths of at least 1", lambda value: len(value) > 0 and _WIDTHS.holds(value))

RULES: dict[str, Rule] = {
    "seed": _SEED,
    "data.source": _one_of("synthetic", *PRESETS, *SCHEMA_SOURCES),
    "data.path": _ANYTHING,
    "data.features": _NAMES,
    "data.schema": _ANYTHING,
    "data.delimiter": Rule("one character", lambda value: len(value) == 1),
    "data.header": _ANYTHING,
    "data.column_names": _NAMES,
    "data.examples": _at_least(0),
    "data.eval_examples": _at_least(0),
    "data.split": _one_of("tail", "time", "user_time", "random"),
    "data.train_fraction": Rule("above 0 and below 1", lambda value: 0 < value < 1),
    "data.eval_path": _ANYTHING,
    "data.follow_seconds": _at_least(0),
    "data.shuffle_window": _at_least(1),
    "data.seed": _SEED,
    "data.max_malformed": _SHARE,
    "data.synthetic.users": _at_least(1),
    "data.synthetic.items": _at_least(1),
    "data.synthetic.publishers": _at_least(1),
    "data.synthetic.campaigns": _at_least(1),
    "data.synthetic.contexts": _at_least(1),
    "data.synthetic.candidates": _at_least(1),
    "data.synthetic.zipf_exponent": _at_least(0),
    "data.synthetic.latent_dim": _at_least(1),
    "data.synthetic.signal": _at_least(0),
    "data.synthetic.bias": _ANYTHING,
    "data.synthetic.drift": _at_least(0),
    "data.synthetic.missing_rate": _RATE,
    "model.activation": Rule("a name or a dictionary", bool),
    "model.beta": Rule("at least 0", lambda value: all(beta >= 0 for beta in _as_tuple(value))),
    "model.hidden_units": _LAYERS,
    "model.bottom_units": _WIDTHS,
    "model.interaction": _one_of("concat", "dot", "cross"),
    "model.normalization": _one_of("weight", "layer", "batch", "none"),
    "model.norm_value": _above(0),
    "model.clip": _at_least(0),
    "model.embedding_dim": _at_least(1),
    "model.admission": _at_least(0),
    "model.dropout": _RATE,
    "model.precision": _one_of("float32", "bfloat16"),
    "model.l2": _at_least(0),
    "model.linear": _ANYTHING,
    "ensemble.components": _at_least(1),
    "ensemble.average": _one_of("probability", "logit"),
    "ensemble.init": _one_of("different", "same"),
    "ensemble.equal_cost": _one_of("none", "parameters", "multiplications"),
    "ensemble.tables": _one_of("shared", "separate"),
    "ensemble.deployed": _one_of("average", "first"),
    "ensemble.decorrelation": _RAMP,
    "ensemble.codistillation": _RAMP,
    "ensemble.stale_steps": _at_least(0),
    "distillation.teachers": _NAMES,
    "distillation.loss": _one_of("soft_label", "logit"),
    "distillation.weight": Rule(
        "from 0 to 1, once or twice", lambda value: _RAMP.holds(value) and max(_as_tuple(value)) <= 1
    ),
    "distillation.where": _one_of("pipeline", "step"),
    "siblings.replicas": _at_least(1),
    "siblings.differ": _one_of("order", "init", "both", "nothing"),
    "train.batch_size": _at_least(1),
    "train.epochs": _at_least(1),
    "train.dense_optimizer": _one_of("adagrad", "adam", "sgd"),
    "train.dense_learning_rate": _above(0),
    "train.embedding_learning_rate": _above(0),
    "train.final_learning_rate_share": _SHARE,
    "train.initial_accumulator": _at_least(0),
    "train.clip_norm": _at_least(0),
    "train.deterministic": _ANYTHING,
    "train.threads": _at_least(0),
    "train.steps_per_execution": _at_least(1),
    "train.evaluations": _at_least(0),
    "train.evaluation_examples": _at_least(1),
    "train.progressive": _ANYTHING,
    "train.patience": _at_least(0),
    "train.max_pd": _at_least(0),
    "train.checkpoint_seconds": _at_least(0),
    "train.warm_start": _ANYTHING,
    "train.anchor": _at_least(0),
    "train.export_steps": _at_least(0),
    "train.keep_exports": _at_least(0),
    "train.huge_pages": _ANYTHING,
    "evaluation.slices": _NAMES,
    "evaluation.k": _at_least(1),
    "evaluation.order_by": _ANYTHING,
    "evaluation.threshold": _SHARE,
    "evaluation.estimate": _ANYTHING,
    "distribution.strategy": _one_of(
        "auto", "one_device", "mirrored", "multi_worker_mirrored", "parameter_server", "tpu"
    ),
    "distribution.warn_seconds": _above(0),
    "distribution.limit_seconds": _above(0),
    "distribution.start_seconds": _above(0),
    "distribution.chief_seconds": _above(0),
}


def validate(config: config_lib.Config) -> None:
    """Checks every field for its type and its rule, and the fields that depend on each other.

    Raises:
      InputError: the first violation, naming the field, the rule and the value.

    ```python
    from smooth_recs import config, validation

    validation.validate(config.Config())
    ```
    """
    for name, kind, value in fields_of(config):
        if not _is_a(value, kind):
            raise InputError(f"{name} must be {_words(kind)}, got {value!r}")
        if not all(math.isfinite(number) for number in _as_tuple(value) if isinstance(number, float)):
            raise InputError(f"{name} must be finite, got {value!r}")
        if not RULES[name].holds(value):
            raise InputError(f"{name} must be {RULES[name].words}, got {value!r}")
    _validate_source(config.data)
    _validate_beta(config.model)
    _validate_ensemble(config)
    if not config.distillation.teachers and config.distillation != config_lib.Distillation():
        name = _first_changed(config.distillation, config_lib.Distillation())
        raise InputError(f"distillation.{name} needs distillation.teachers, got none")
    if config.train.anchor and not config.train.warm_start:
        raise InputError(f"train.anchor needs train.warm_start, got anchor {config.train.anchor} and no warm_start")
    if config.train.max_pd and not config.train.patience:
        raise InputError(f"train.max_pd needs train.patience, got max_pd {config.train.max_pd} and patience 0")
    if config.train.patience and config.siblings.replicas == 1:
        raise InputError("train.patience must be 0 for a single replica, which has no PD, got siblings.replicas 1")


def fields_of(section: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Name, type and value of every field, sections opened: `("train.epochs", int, 1)`."""
    for field in dataclasses.fields(section):
        kind: Any = field.type
        value, name = getattr(section, field.name), prefix + field.name
        if not is_section(kind):
            yield name, kind, value
        elif isinstance(value, kind):
            yield from fields_of(value, f"{name}.")
        else:
            raise InputError(f"{name} must be a config.{kind.__name__}, got {value!r}")


def is_section(kind: Any) -> bool:
    """True for the type of a field that holds further fields."""
    return dataclasses.is_dataclass(kind)


def _validate_source(data: config_lib.Data) -> None:
    for name in ("path", "eval_path", "schema") if data.source == "synthetic" else ():
        if value := getattr(data, name):
            raise InputError(f"data.{name} needs a data.source of files, got {value!r} and synthetic")
    if data.source != "synthetic" and not data.path:
        raise InputError(f"data.path must name a file, a folder or a glob for data.source {data.source!r}, got ''")
    if data.source in SCHEMA_SOURCES and data.schema is None:
        raise InputError(f"data.schema must be given for data.source {data.source!r}, got None")
    if data.source == "csv" and not data.header and not data.column_names:
        raise InputError("data.column_names must name the columns where data.header is False, got ()")
    if data.schema is not None:
        data.schema.validate()
        if data.split in ("time", "user_time") and data.schema.timestamp is None and not data.eval_path:
            raise InputError(f"data.schema must have a timestamp for data.split {data.split!r}, got None")


def _validate_beta(model: config_lib.Model) -> None:
    if isinstance(model.beta, tuple) and len(model.beta) != len(model.hidden_units):
        raise InputError(
            f"model.beta must have one number for each of the {len(model.hidden_units)} hidden layers, got {model.beta}"
        )


def _validate_ensemble(config: config_lib.Config) -> None:
    ensemble, defaults = config.ensemble, config_lib.Ensemble()
    if ensemble.components == 1 and ensemble != defaults:
        name = _first_changed(ensemble, defaults)
        raise InputError(f"ensemble.{name} needs ensemble.components of 2 or more, got 1")
    if ensemble.components > 1 and ensemble.init == "same" and not config.model.dropout:
        raise InputError(
            "ensemble.init must be different where nothing else tells components apart, got same with model.dropout 0"
        )
    if ensemble.stale_steps and not any(_as_tuple(ensemble.codistillation)):
        raise InputError(f"ensemble.stale_steps needs ensemble.codistillation, got {ensemble.stale_steps} and 0")


def _first_changed(section: Any, defaults: Any) -> str:
    """The name of a field that is not as in `defaults`."""
    return next(name for name, value in vars(section).items() if value != getattr(defaults, name))


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _is_a(value: Any, kind: Any) -> bool:
    """`isinstance` for the types that a configuration is made of; an int is a float, a bool is no number."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _is_a(value, arguments[0])
    if origin in (typing.Union, types.UnionType):
        return any(_is_a(value, argument) for argument in arguments)
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_a(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict)
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool)
    return isinstance(value, kind)


_WORDS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    tuple[int, ...]: "a tuple of integers",
    tuple[str, ...]: "a tuple of texts",
    config_lib.Activation: "a name or a dictionary",
    config_lib.Beta: "a number, a tuple of numbers or None",
    config_lib.Ramp: "a number or a tuple of numbers",
    Schema | None: "a Schema or None",
}


def _words(kind: Any) -> str:
    return _WORDS[kind]
