"""The synthetic click log: a sibling pair in a minute on a laptop. `make demo` runs it for ReLU and for SmeLU.

Learning rates are constant, as where a model trains without end, and what is measured and exported are the averages of
the weights, with a half-life of a tenth of the run: PD of the weights themselves is that of the last few batches. The
settings were chosen on seeds 1 to 5; docs/averaging.md says what was tried and what seeds 21 to 25 gave.
"""

from smooth_recs import config


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(source="synthetic"),
        model=config.Model(activation="smelu", beta=0.2, norm_value=1.4),
        train=config.Train(dense_learning_rate=0.01, embedding_learning_rate=0.3, average=0.1),
    )
