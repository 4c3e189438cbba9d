"""Grids of runs: what a file in `configs/sweeps/` is made of, and from its first run to a choice."""

from smooth_recs.experiments.sweeps.sweep_plan import Sweep, Variant, activation, config_of

__all__ = ["Sweep", "Variant", "activation", "config_of"]
