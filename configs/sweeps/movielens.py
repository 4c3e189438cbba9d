"""Figure 4 on MovieLens 100K. Pass the folder: `--config.data.path=DIR`.

Wider activations than on the demo, whose widths match across activations as in figure4.py.
"""

import runpy
from pathlib import Path

from smooth_recs.experiments import sweeps


def get_sweep() -> sweeps.Sweep:
    variants = runpy.run_path(str(Path(__file__).with_name("figure4.py")))["variants"]
    return sweeps.Sweep(
        sweeps.config_of(Path(__file__).parents[1] / "movielens.py"),
        variants(
            smelu=(0.1, 0.25, 0.5, 1.0),
            gsmelu=(0.1, 0.25, 0.5, 1.0),
            swish=(10.0, 4.0, 2.0, 1.0),
            gelu=(6.0, 2.5, 1.25, 0.6),
            softplus=(20.0, 8.0, 4.0, 2.0),
        ),
        baseline="relu",
        pairs=3,
        choose="min pd subject to auc_loss <= relu + 0.5%",
    )
