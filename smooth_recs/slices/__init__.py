"""Slices of the examples, and PD and accuracy within each, in NumPy.

A dictionary of groups maps the name of a slice to its rows: their numbers, or a mask. Slices may overlap.
"""

from smooth_recs.slices.grouping import Groups, by_decile, by_frequency, by_position, by_value
from smooth_recs.slices.measures import measure

__all__ = ["Groups", "by_decile", "by_frequency", "by_position", "by_value", "measure"]
