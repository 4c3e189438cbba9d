"""MovieLens 100K: is a rating 4 or more? Trained on the first 80% by time, mostly other users than in the rest.

Pass the folder: `--config.data.path=DIR` with `ml-100k.inter` or the original `u.data`.
"""

from smooth_recs import config


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(source="movielens", split="time", shuffle_window=10_000),
        model=config.Model(activation="smelu", hidden_units=(64, 32), embedding_dim=8),
        train=config.Train(epochs=2),
    )
