"""Sums, intervals and regressions over many rows: NumPy, float64, exact or streaming."""
