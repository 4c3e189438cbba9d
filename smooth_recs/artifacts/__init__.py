"""Exports, Keras models and files of predictions: what a path holds, and the models in it as things that predict."""
