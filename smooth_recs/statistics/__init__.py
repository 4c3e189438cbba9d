"""Statistics over many rows in NumPy and float64: checked arrays, bootstrap, rank correlation, ridge regression."""
