"""FuxiCTR's building blocks, put together as its model zoo's DNN. Needs `pip install fuxictr torch`."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.layers import FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel

from throughput_contenders import work as works
from throughput_contenders.work import Turn, Work, rows


class Network(BaseModel):  # type: ignore[misc]
    """`FeatureEmbedding` and `MLP_Block`; the numbers as they are, which FuxiCTR would embed too."""

    def __init__(self, features: FeatureMap, work: Work) -> None:
        super().__init__(features, verbose=0, model_root=".", metrics=["AUC"])
        self.embedding = FeatureEmbedding(features, work.dim)
        self.tower = MLP_Block(work.inputs, list(work.units), output_dim=1, output_activation="sigmoid")
        self.compile("Adagrad", "binary_crossentropy", works.DENSE_RATE)
        self.reset_parameters()

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        embedded = self.embedding(self.get_inputs({name: batch[name] for name in self.feature_map.features}))
        return {"y_pred": self.tower(torch.cat([embedded.flatten(1), batch["numeric"]], dim=1))}


def dnn(work: Work) -> Turn:
    """Its own `train_epoch`: dense gradients of the tables, the norm of all gradients clipped."""
    features = FeatureMap("throughput", ".")
    features.labels = ["label"]
    for name, count in zip(work.names, work.rows, strict=True):
        features.features[name] = {"type": "categorical", "source": "", "vocab_size": count}
    model, found = Network(features, work), rows(work)
    model._max_gradient_norm, model._eval_steps, model._total_steps, model._stop_training = 10.0, math.inf, 0, False
    columns = dict(zip(work.names, found.ids, strict=True)) | {"numeric": found.numeric, "label": found.label}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in columns.items()}
    batches = itertools.cycle([{name: each[k] for name, each in tensors.items()} for k in range(work.batches)])

    def turn(steps: int) -> int:
        model.train_epoch(itertools.islice(batches, steps))
        return steps * work.batch_size

    return turn
