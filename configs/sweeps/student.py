"""How many examples a student of a gSmeLU teacher needs to reach what the undistilled student ends with (section 6)."""

from pathlib import Path

from smooth_recs.experiments import sweeps

SMELU = {"model.activation": "smelu", "model.beta": 0.15, "train.evaluations": 50, "train.evaluation_examples": 20_000}
GSMELU = {  # as in docs/beta.md
    "model.activation": {
        "class_name": "GSmeLU",
        "config": {"alpha": 0.15, "beta": 0.15, "t": -0.1, "learn": "all", "per": "unit"},
    },
    "train.evaluations": 50,
    "train.evaluation_examples": 20_000,
}

VARIANTS = [
    sweeps.Variant("plain", "SmeLU", SMELU),
    sweeps.Variant("teacher", "gSmeLU, learned", GSMELU),
    sweeps.Variant("student", "SmeLU, taught by gSmeLU", {**SMELU, "distillation.teachers": ("@teacher",)}),
]


def get_sweep() -> sweeps.Sweep:
    return sweeps.Sweep(
        sweeps.config_of(Path(__file__).parents[1] / "demo_falling.py"), VARIANTS, baseline="plain", pairs=3
    )
