"""A large model on the GPUs of one machine: mirrored where there are several, each with a part of every batch.

Nothing has been run on a GPU. Tried on CPU: the dense step of this network compiles whole under XLA with static shapes
and gives the numbers of the uncompiled one (tests/test_xla.py), and two mirrored logical CPU devices train to the same
tables as one device and exchange only the rows of the batch (tests/layers/test_embedding_distributed.py). Not known:
speed, and memory beyond what `--dry_run` counts.

  python -m smooth_recs.bin.train --config=configs/gpu.py --workdir=runs/gpu
"""

from smooth_recs import config


def get_config() -> config.Config:
    return config.Config(
        data=config.Data(source="synthetic"),
        model=config.Model(activation="smelu", beta=0.15, norm_value=1.4, hidden_units=(1024, 512, 256, 128)),
        train=config.Train(
            batch_size=8_192,  # below a few thousand rows a GPU waits for its next op most of the time
            dense_learning_rate=0.02,
            embedding_learning_rate=0.3,
            final_learning_rate_share=0.02,
        ),
        distribution=config.Distribution(strategy="auto"),
    )
