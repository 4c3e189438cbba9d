"""Exports: SavedModels that TF Serving loads as they are."""
