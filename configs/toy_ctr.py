"""The paper's comparison network (section 6): six layers, five features, 240 inputs; here on the synthetic log."""

from smooth_recs import config


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(source="synthetic", features=("user", "item", "publisher", "campaign", "context")),
        model=config.Model(activation="smelu", hidden_units=(1024, 512, 256, 128, 64, 16), embedding_dim=48),
    )
