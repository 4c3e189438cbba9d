"""A large model on a TPU, found by TensorFlow's TPUClusterResolver: widths are multiples of 128, the batch is one of 8.

Nothing has been run on a TPU. Tried on CPU: the dense step of this model compiles whole under XLA with static shapes,
without an op of the host in it, and gives the numbers of the uncompiled one (tests/test_xla.py); `TPUStackedEmbedding`
trains on CPU to the tables of the other embedding layer (tests/layers/test_tpu_embedding.py). Not tried: reaching a
TPU, its embedding units, and a whole training step there, last batches of another size included.

  python -m smooth_recs.bin.train --config=configs/tpu.py --workdir=runs/tpu
"""

from smooth_recs import config


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(source="synthetic", examples=1_024_000, eval_examples=102_400),
        model=config.Model(activation="smelu", beta=0.15, norm_value=1.4, hidden_units=(1024, 512, 256, 128)),
        train=config.Train(
            batch_size=4_096,  # a divisor of the examples: every batch has the same shape
            dense_learning_rate=0.02,
            embedding_learning_rate=0.3,
            final_learning_rate_share=0.02,
        ),
        distribution=config.Distribution(strategy="tpu"),
    )
