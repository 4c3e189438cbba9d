"""The demo without averages of the weights: both learning rates fall to a fiftieth over the run.

The settings were chosen on seeds 1 to 5 (docs/demo.md says what was tried and what seeds 6 to 10 gave). With constant
rates and no averages the last few batches shift the mean prediction of each sibling, and the PD tells more about that
shift than about the activation. The pages on widths, alternatives and the trade-off were measured with this file.
"""

from smooth_recs import config


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(source="synthetic"),
        model=config.Model(activation="smelu", beta=0.15, norm_value=1.4),
        train=config.Train(dense_learning_rate=0.01, embedding_learning_rate=0.3, final_learning_rate_share=0.02),
    )
