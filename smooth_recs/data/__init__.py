"""Examples for training: read from files, growing folders or a generator, encoded, split and shuffled."""
