"""What else lowers PD, on the demo: ensembles, anti-distillation, co-distillation, distillation, and the simple means.

Equal cost means as many parameters as the single network, all components together. The others are at full width: the
ensemble with tables of its own for each component, which is also the teacher; and the co-distilled networks, of which
one is served, at the single network's cost. `given` is one network, trained on the first half of the log, that others
start from or are held near; its own measures are on other held-out rows.
"""

from pathlib import Path

from smooth_recs.experiments import sweeps

RELU = {"model.activation": "relu"}
SMELU = {"model.activation": "smelu", "model.beta": 0.15}
GSMELU = {  # as in docs/beta.md
    "model.activation": {
        "class_name": "GSmeLU",
        "config": {"alpha": 0.15, "beta": 0.15, "t": -0.1, "learn": "all", "per": "unit"},
    }
}
THREE = {**RELU, "ensemble.components": 3}
EQUAL_COST = {**THREE, "ensemble.equal_cost": "parameters"}
STARTED = {**RELU, "train.warm_start": "@given"}

VARIANTS = [
    sweeps.Variant("relu", "ReLU", RELU),
    sweeps.Variant("smelu", "SmeLU", SMELU),
    sweeps.Variant("ensemble", "3 ReLU networks, equal cost", EQUAL_COST),
    sweeps.Variant("anti_distilled", "3, equal cost, anti-distilled", {**EQUAL_COST, "ensemble.decorrelation": 0.1}),
    sweeps.Variant("wide_ensemble", "3 ReLU networks, full width", {**THREE, "ensemble.tables": "separate"}),
    sweeps.Variant(
        "co_distilled",
        "3, full width, co-distilled, one served",
        {**THREE, "ensemble.codistillation": 0.5, "ensemble.deployed": "first"},
    ),
    sweeps.Variant(
        "distilled", "ReLU, taught by 3 of full width", {**RELU, "distillation.teachers": ("@wide_ensemble",)}
    ),
    sweeps.Variant("gsmelu", "gSmeLU, learned", GSMELU),
    sweeps.Variant("student", "SmeLU, taught by gSmeLU", {**SMELU, "distillation.teachers": ("@gsmelu",)}),
    sweeps.Variant("dropout", "ReLU, dropout 0.1", {**RELU, "model.dropout": 0.1}),
    sweeps.Variant("no_norm", "ReLU, no weight norm", {**RELU, "model.normalization": "none"}),
    sweeps.Variant("l2", "ReLU, no weight norm, L2 0.0001", {**RELU, "model.normalization": "none", "model.l2": 1e-4}),
    sweeps.Variant(
        "slower",
        "ReLU, half the learning rates",
        {**RELU, "train.dense_learning_rate": 0.005, "train.embedding_learning_rate": 0.15},
    ),
    sweeps.Variant("given", "ReLU, first half of the log", {**RELU, "data.examples": 500_000, "siblings.replicas": 1}),
    sweeps.Variant("warm_start", "ReLU, started from a given one", STARTED),
    sweeps.Variant("anchored", "ReLU, held near a given one", {**STARTED, "train.anchor": 0.001}),
]


def get_sweep() -> sweeps.Sweep:
    return sweeps.Sweep(
        sweeps.config_of(Path(__file__).parents[1] / "demo_falling.py"),
        VARIANTS,
        baseline="relu",
        pairs=3,
        choose="min pd subject to per_query_auc_loss <= relu",
    )
