"""Measures of models and of the difference between them, in NumPy."""
