"""Figure 4 on KuaiRand's exposures of short videos, every activation at its own best learning rates.

Pass the folder: `--config.data.path=DIR`. Of six pairs of rates each activation takes those that are best for its
middle width on the last fifth of the training rows. SmeLU is the wider the larger beta is, Swish the wider the smaller
it is.
"""

from pathlib import Path

from smooth_recs.experiments import sweeps

WIDTHS = {"smelu": (0.05, 0.1, 0.2, 0.4), "swish": (10.0, 5.0, 2.5)}
RATES = {"train.dense_learning_rate": (0.02, 0.05, 0.1), "train.embedding_learning_rate": (0.1, 0.3)}


def get_sweep() -> sweeps.Sweep:
    return sweeps.Sweep(
        sweeps.config_of(Path(__file__).parents[1] / "kuairand.py"),
        [*sweeps.activation("relu"), *(each for name in WIDTHS for each in sweeps.activation(name, *WIDTHS[name]))],
        baseline="relu",
        pairs=3,
        choose="min pd subject to per_query_auc_loss <= relu + 0.5%",
        tune=RATES,
    )
