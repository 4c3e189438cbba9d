"""Shuffle windows on the demo: how much of the PD, and of what SmeLU cuts of it, comes from the order of the examples.

Section 5.1: under too aggressive shuffling smoothness stops helping. The largest window holds the whole log.
"""

from pathlib import Path

from smooth_recs.experiments import sweeps

ACTIVATIONS = {
    "relu": ("ReLU", {"model.activation": "relu"}),
    "smelu": ("SmeLU 0.15", {"model.activation": "smelu", "model.beta": 0.15}),
}


def get_sweep() -> sweeps.Sweep:
    variants = [
        sweeps.Variant(f"{name}/{rows}", f"{label}, {rows:,} rows", {**fields, "data.shuffle_window": rows})
        for rows in (100_000, 1_000, 10_000, 1_000_000)
        for name, (label, fields) in ACTIVATIONS.items()
    ]
    return sweeps.Sweep(
        sweeps.config_of(Path(__file__).parents[1] / "demo_falling.py"), variants, baseline="relu/100000", pairs=3
    )
