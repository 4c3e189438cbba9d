"""Logs in the format of the Criteo display advertising challenge: label, 13 integers, 26 hashed categories.

Pass the files: `--config.data.path='train/day_*.gz'`. The last fifth of the rows is held out.
"""

from smooth_recs import config


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(source="criteo", shuffle_window=200_000),
        model=config.Model(
            activation="smelu", hidden_units=(1024, 512, 256), bottom_units=(512, 256, 16), interaction="dot"
        ),
        train=config.Train(batch_size=2048, dense_learning_rate=0.01),
    )
