"""The Open Bandit Dataset: impressions of fashion items, under 1% of them clicked.

Pass the log: `--config.data.path=DIR/men.csv`; `item_context.csv` beside it is joined in.
"""

from smooth_recs import config


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(source="open_bandit", shuffle_window=2_000),
        model=config.Model(activation="smelu", hidden_units=(64, 32, 16), embedding_dim=8),
    )
