"""The synthetic click log: a sibling pair in a minute on a laptop. `make demo` runs it for ReLU and for SmeLU."""

from smooth_recs import config


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(source="synthetic"),
        model=config.Model(activation="smelu", beta=0.1, norm_value=1.4),
    )
