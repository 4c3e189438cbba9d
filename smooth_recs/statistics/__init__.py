"""Checked arrays, and intervals, correlations and regressions over many rows, in NumPy and float64."""
