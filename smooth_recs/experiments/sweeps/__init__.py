"""Sweeps: grids of runs from the file in `configs/sweeps/` that states them to the choice of a variant."""

from smooth_recs.experiments.sweeps.sweep_plan import Sweep, Variant, activation, config_of

__all__ = ["Sweep", "Variant", "activation", "config_of"]
