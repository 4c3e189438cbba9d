"""Names and import paths that users' programs and configuration files have: none of them may break."""

from __future__ import annotations

import functools
import importlib

import pytest

import smooth_recs as sr

pytestmark = pytest.mark.both_generations
NAMES = [
    *(f"activations.{name}" for name in ("smelu", "gsmelu", "rescu", "softplus", "swish", "gelu", "mish", "tanhexp")),
    *(
        f"activations.{name}"
        for name in ("relu", "leaky_relu", "elu", "selu", "celu", "get", "probe", "width_schedule")
    ),
    *(f"layers.{name}" for name in ("SmeLU", "GSmeLU", "RESCU", "Softplus", "Swish", "GELU", "NormalizedDense")),
    *(f"layers.{name}" for name in ("Clip", "Tower", "StackedEmbedding", "EmbeddedFeature")),
    "constraints.RowNorm",
    *(f"prediction_difference.{name}" for name in ("relative", "absolute", "interval", "interval_over_seeds")),
    *(f"prediction_difference.{name}" for name in ("Accumulator", "statistics")),
    *(f"metrics.{name}" for name in ("RelativePredictionDifference", "AUCLoss", "PerQueryAUCLoss", "SwapRate")),
    *(f"callbacks.{name}" for name in ("PredictionDifference", "KeepBest")),
    *(f"models.{name}" for name in ("RankingModel", "SiblingModel", "EnsembleModel")),
    *("accuracy.auc_loss", "gates.Limits", "increases.increase", "recommendations.swap_rate", "slices.measure"),
    *("losses.Ramp", "losses.decorrelation", "cluster.Task", "distribution.strategy", "config.Config"),
    "testing.assert_reproducible",
    *("training.train_and_evaluate", "training.plan"),
]
PATHS = [
    "smooth_recs.config:Config",
    "smooth_recs.data.schema:Schema",
    "smooth_recs.data.schema:Categorical",
    "smooth_recs.data.schema:Numeric",
    "smooth_recs.data.presets:open_source",
    "smooth_recs.prediction_difference:relative",
    "smooth_recs.constraints:RowNorm",
    "smooth_recs.testing:assert_reproducible",
    "smooth_recs.training:train_and_evaluate",
    "smooth_recs.experiments.sweeps:Sweep",
    "smooth_recs.errors:InputError",
    "smooth_recs.validation:validate",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_an_attribute_of_the_package(name: str) -> None:
    assert callable(functools.reduce(getattr, name.split("."), sr))


@pytest.mark.parametrize("path", PATHS)
def test_every_import_path_of_users_files_stays(path: str) -> None:
    module, _, name = path.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
