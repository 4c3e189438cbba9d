"""trivago's RecSys Challenge 2019: which of the hotels in a list is clicked? Trained on the first 80% by time.

Pass the folder: `--config.data.path=DIR` with `impressions.csv.gz`, a row for each hotel shown.
"""

from smooth_recs import config


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(source="trivago", split="time", shuffle_window=20_000),
        model=config.Model(activation="smelu", beta=0.15, hidden_units=(64, 32, 16), embedding_dim=8),
        train=config.Train(dense_learning_rate=0.05, embedding_learning_rate=0.2, final_learning_rate_share=0.02),
    )
