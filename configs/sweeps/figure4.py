"""Figure 4 on the demo: relative PD against per-query AUC loss, for smooth activations of several widths and ReLU.

SmeLU and gSmeLU are the wider the larger beta is, Swish, GELU and Softplus the wider the smaller it is: each line has
values of its own, from narrow to wide. Where the gradient rises through 1/2 its slope is 1 / (2 beta) for SmeLU,
0.8 beta for GELU, beta / 2 for Swish and beta / 4 for Softplus, which the values below match roughly. gSmeLU is
asymmetric here: its transition begins twice as far to the left (alpha = 2 beta).
"""

from collections.abc import Iterable
from pathlib import Path

from smooth_recs.experiments import sweeps


def get_sweep() -> sweeps.Sweep:
    return sweeps.Sweep(
        sweeps.config_of(Path(__file__).parents[1] / "demo_falling.py"),
        variants(
            smelu=(0.05, 0.1, 0.15, 0.2, 0.3),
            gsmelu=(0.05, 0.1, 0.15, 0.2),
            swish=(20.0, 10.0, 5.0, 3.0),
            gelu=(12.0, 6.0, 3.0, 2.0),
            softplus=(40.0, 20.0, 10.0, 5.0),
        ),
        baseline="relu",
        pairs=3,
        choose="min pd subject to per_query_auc_loss <= relu + 0.5%",
    )


def variants(*, gsmelu: Iterable[float], **betas: Iterable[float]) -> list[sweeps.Variant]:
    """ReLU, and a line of each activation."""
    lines = {name: sweeps.activation(name, *values) for name, values in betas.items()}
    lines["gsmelu"] = [_gsmelu(beta) for beta in gsmelu]
    order = ("smelu", "gsmelu", "swish", "gelu", "softplus")
    return [*sweeps.activation("relu"), *(variant for name in order for variant in lines[name])]


def _gsmelu(beta: float) -> sweeps.Variant:
    layer = {"class_name": "GSmeLU", "config": {"alpha": 2 * beta, "beta": beta}}
    return sweeps.Variant(f"gsmelu:{beta}", f"gSmeLU {beta}", {"model.activation": layer}, line="gSmeLU", width=beta)
