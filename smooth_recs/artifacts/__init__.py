"""What predicts: exports, Keras models, and the files that hold predictions."""
