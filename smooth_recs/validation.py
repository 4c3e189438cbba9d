"""Validation of a configuration before a run starts: the rules of its fields, and those between fields.

Activation names are not checked here but by `smooth_recs.activations.get`: this module needs no TensorFlow.
"""

from __future__ import annotations

from typing import Any

from smooth_recs import config as config_lib
from smooth_recs import fields
from smooth_recs.errors import InputError

SCHEMA_SOURCES = fields.choices(config_lib.FileFormat)


def validate(config: config_lib.Config) -> None:
    """Checks every field for its type and its rule, and the fields that depend on each other.

    Raises:
      InputError: the first violation, naming the field, the rule and the value.

    ```python
    from smooth_recs import config, validation

    validation.validate(config.Config())
    ```
    """
    for name, kind, value in fields.walk(config):
        fields.check(name, value, kind)
    _validate_data(config.data)
    beta, relative, layers = config.model.beta, config.model.relative_beta, len(config.model.hidden_units)
    for name, width in (("beta", beta), ("relative_beta", relative)):
        if isinstance(width, tuple) and len(width) != layers:
            raise InputError(f"model.{name} must have one number for each of the {layers} hidden layers, got {width}")
    if beta is not None and relative is not None:
        raise InputError(f"model.beta must be null where model.relative_beta sets the width, got {beta} and {relative}")
    if config.model.embedding_l2 and config.model.embedding_precision != "float32":
        raise InputError(
            "model.embedding_l2 must be 0 with model.embedding_precision float16, which is for updates of single rows, "
            f"got {config.model.embedding_l2}"
        )
    ensemble = config.ensemble
    if ensemble.components == 1 and ensemble != config_lib.Ensemble():
        name = _first_changed(ensemble, config_lib.Ensemble())
        raise InputError(f"ensemble.{name} needs ensemble.components of 2 or more, got 1")
    if ensemble.components > 1 and ensemble.init == "same" and not config.model.dropout:
        raise InputError(
            "ensemble.init must be different where nothing else tells components apart, got same with model.dropout 0"
        )
    if ensemble.stale_steps and ensemble.codistillation in (0, (0,), (0, 0)):
        raise InputError(f"ensemble.stale_steps needs ensemble.codistillation, got {ensemble.stale_steps} and 0")
    if not config.distillation.teachers and config.distillation != config_lib.Distillation():
        name = _first_changed(config.distillation, config_lib.Distillation())
        raise InputError(f"distillation.{name} needs distillation.teachers, got none")
    if config.train.anchor and not config.train.warm_start:
        raise InputError(f"train.anchor needs train.warm_start, got anchor {config.train.anchor} and no warm_start")
    if config.train.max_pd and not config.train.patience:
        raise InputError(f"train.max_pd needs train.patience, got max_pd {config.train.max_pd} and patience 0")
    if config.train.max_pd and config.siblings.replicas == 1:
        raise InputError(f"train.max_pd must be 0 for a single replica, which has no PD, got {config.train.max_pd}")
    for name in ("plateau", "best"):
        if not config.train.patience and getattr(config.train, name) != getattr(config_lib.Train(), name):
            raise InputError(f"train.{name} needs train.patience, got {getattr(config.train, name)!r} and patience 0")
    if config.train.plateau and config.train.final_learning_rate_share != 1:
        raise InputError(
            "train.final_learning_rate_share must be 1 with train.plateau, which cuts constant rates, got "
            f"{config.train.final_learning_rate_share}"
        )


def _validate_data(data: config_lib.Data) -> None:
    for name in ("path", "eval_path", "validation_path", "schema", "labels") if data.source == "synthetic" else ():
        if value := getattr(data, name):
            raise InputError(f"data.{name} needs a data.source of files, got {value!r} and synthetic")
    if data.source != "synthetic" and not data.path:
        raise InputError(f"data.path must name a file, a folder or a glob for data.source {data.source!r}, got ''")
    if data.validation_path and data.validation_fraction:
        raise InputError(
            f"data.validation_fraction must be 0 with data.validation_path, got {data.validation_fraction}"
        )
    if data.source in SCHEMA_SOURCES and data.schema is None:
        raise InputError(f"data.schema must be given for data.source {data.source!r}, got None")
    if data.source == "csv" and not data.header and not data.column_names:
        raise InputError("data.column_names must name the columns where data.header is False, got ()")
    if data.schema is not None:
        data.schema.validate()
        if data.split in ("time", "user_time") and data.schema.timestamp is None and not data.eval_path:
            raise InputError(f"data.schema must have a timestamp for data.split {data.split!r}, got None")


def _first_changed(section: Any, defaults: Any) -> str:
    """The name of a field that is not as in `defaults`."""
    return next(name for name, value in vars(section).items() if value != getattr(defaults, name))
