"""What else lowers PD, on trivago's log: ensembles, distillation, averages of the weights, dropout, smaller rates.

Pass the folder: `--config.data.path=DIR`. Equal cost and full width are as in alternatives.py; averages are those of
runs at constant rates, with a half-life of a tenth of the run.
"""

from pathlib import Path

from smooth_recs.experiments import sweeps

RELU = {"model.activation": "relu"}
SMELU = {"model.activation": "smelu", "model.beta": 0.15}
THREE = {**RELU, "ensemble.components": 3}
AVERAGED = {"train.final_learning_rate_share": 1.0, "train.average": 0.1}

VARIANTS = [
    sweeps.Variant("relu", "ReLU", RELU),
    sweeps.Variant("smelu", "SmeLU", SMELU),
    sweeps.Variant("ensemble", "3 ReLU networks, equal cost", {**THREE, "ensemble.equal_cost": "parameters"}),
    sweeps.Variant("wide_ensemble", "3 ReLU networks, full width", {**THREE, "ensemble.tables": "separate"}),
    sweeps.Variant(
        "distilled", "ReLU, taught by 3 of full width", {**RELU, "distillation.teachers": ("@wide_ensemble",)}
    ),
    sweeps.Variant("averaged", "ReLU, averaged", {**RELU, **AVERAGED}),
    sweeps.Variant("smelu_averaged", "SmeLU, averaged", {**SMELU, **AVERAGED}),
    sweeps.Variant("dropout", "ReLU, dropout 0.1", {**RELU, "model.dropout": 0.1}),
    sweeps.Variant(
        "slower",
        "ReLU, half the learning rates",
        {**RELU, "train.dense_learning_rate": 0.025, "train.embedding_learning_rate": 0.1},
    ),
]


def get_sweep() -> sweeps.Sweep:
    return sweeps.Sweep(
        sweeps.config_of(Path(__file__).parents[1] / "trivago.py"),
        VARIANTS,
        baseline="relu",
        pairs=3,
        choose="min pd subject to per_query_auc_loss <= relu + 0.5%",
    )
