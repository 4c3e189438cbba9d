"""Widths by layer, with weight and with layer normalisation, on the demo: constant, wide to narrow, narrow to wide.

Section 5.1: layers near the input can take wider transition regions, and such a schedule helps with weight norm but not
with layer norm. The constant width is about the mean of the others.
"""

from pathlib import Path

from smooth_recs.experiments import sweeps

WIDE_TO_NARROW = (0.3, 0.2, 0.15, 0.1, 0.05)
NORMALIZATIONS = {"weight": "weight norm", "layer": "layer norm"}
WIDTHS = {
    "constant": ("SmeLU 0.15", 0.15),
    "wide_to_narrow": ("SmeLU 0.3 to 0.05", WIDE_TO_NARROW),
    "narrow_to_wide": ("SmeLU 0.05 to 0.3", WIDE_TO_NARROW[::-1]),
}


def get_sweep() -> sweeps.Sweep:
    variants = []
    for normalization, said in NORMALIZATIONS.items():
        norm = {"model.normalization": normalization}
        variants.append(sweeps.Variant(f"{normalization}/relu", f"ReLU, {said}", {"model.activation": "relu", **norm}))
        for name, (label, beta) in WIDTHS.items():
            fields = {"model.activation": "smelu", "model.beta": beta, **norm}
            variants.append(sweeps.Variant(f"{normalization}/{name}", f"{label}, {said}", fields))
    return sweeps.Sweep(
        sweeps.config_of(Path(__file__).parents[1] / "demo_falling.py"), variants, baseline="weight/relu", pairs=3
    )
