"""The paper's comparison network (section 6): six layers, five features, 240 inputs; here on the synthetic log.

The learning rates are the best of six pairs for ReLU's accuracy on 200,000 rows (docs/tradeoff.md).
"""

from smooth_recs import config


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(source="synthetic", features=("user", "item", "publisher", "campaign", "context")),
        model=config.Model(activation="smelu", hidden_units=(1024, 512, 256, 128, 64, 16), embedding_dim=48),
        train=config.Train(dense_learning_rate=0.03, embedding_learning_rate=1.0, final_learning_rate_share=0.02),
    )
