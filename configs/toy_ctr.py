"""The paper's comparison network (section 6): six layers, five features, 240 inputs; here on the synthetic log.

The learning rates, of dense layers and of embeddings, are the best for ReLU's accuracy (seed 101, 200,000 rows) of 0.01
and 0.3, 0.004 and 0.1, 0.01 and 0.1, 0.03 and 0.3, 0.03 and 1.0, 0.01 and 1.0.
"""

from smooth_recs import config


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(source="synthetic", features=("user", "item", "publisher", "campaign", "context")),
        model=config.Model(activation="smelu", hidden_units=(1024, 512, 256, 128, 64, 16), embedding_dim=48),
        train=config.Train(dense_learning_rate=0.03, embedding_learning_rate=1.0, final_learning_rate_share=0.02),
    )
